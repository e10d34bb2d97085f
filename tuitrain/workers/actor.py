"""Acting: observations in, transitions out.

``Actor.step`` is one vector step and a plain call: it does not know which process it runs in, who
calls it, or what happens to the rows it writes. The frames it acts on are read back from the rows
it wrote, with the function the learner uses, so there is no second memory that could disagree.
"""

from __future__ import annotations

from collections.abc import Callable
from contextlib import AbstractContextManager
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from tuitrain.envs.metrics import EnvMetrics
from tuitrain.envs.spec import PolicySpec
from tuitrain.envs.turns import AnyLanes, TurnLanes, TurnRow
from tuitrain.envs.vector import Lanes, LaneStep
from tuitrain.learning.exploration import actor_epsilon, epsilon_at
from tuitrain.learning.policy import Policy
from tuitrain.learning.weights import WeightStore, sha256
from tuitrain.metrics.counters import UNTIMED, Phases
from tuitrain.replay.layout import ABSENT
from tuitrain.replay.limiter import Ticket
from tuitrain.replay.shard import ShardWriter
from tuitrain.replay.window import gather_stack
from tuitrain.seeding import GlobalRandom, stream
from tuitrain.workers.blueprint import Blueprint
from tuitrain.workers.build import close_lanes
from tuitrain.workers.episodes import Episodes
from tuitrain.workers.stores import Stores

Wait = Callable[[Callable[[], bool], str], None]

_ALL = slice(None)


@dataclass(frozen=True)
class Committed:
    """What one chunk added: transitions per policy (in blueprint order) and environment steps."""

    inserts: tuple[int, ...]
    steps: int


class _PolicyLanes:
    """The lanes of one policy in this actor: their shard, their weights, their episodes.

    Observations are written where they lie in the shard, step by step. Whatever else a row holds is
    kept in [L, lanes] arrays of this object's and *settled* many rows at once: at the end of the
    chunk, or before frames are stacked, which needs ages.
    """

    def __init__(
        self,
        policy: Policy,
        writer: ShardWriter,
        store: WeightStore,
        reader: int,
        spec: PolicySpec,
        n_frames: int,
        rng: np.random.Generator,
    ) -> None:
        lanes = writer.ring.lanes
        self.policy = policy
        self.writer = writer
        self.n_agents = len(spec.agents)
        self._spec = spec
        self.inserts = 0
        self.updates_held = 0
        self._store = store
        self._reader = reader
        self._rng = rng
        self._n_frames = n_frames
        self._lane_ids = np.arange(lanes)
        self._shard_ids = np.full(lanes, writer.shard)
        self._rows = np.zeros(lanes, np.int64)
        self._stacked = np.empty(
            (lanes, n_frames, *writer.observation_shape), writer.observation_dtype
        )
        self._episodes = Episodes(lanes)
        self.stats = self._episodes.stats
        self._reserve(0)

    def pull(self) -> None:
        """Take the newest weights if they are not the ones held."""
        if self._store.version() != self.policy.version:
            published = self._store.pull(self._reader, self.policy.buffer)
            self.policy.load(self.policy.buffer, published.version)
            self.updates_held = published.updates

    def weights_hash(self) -> str:
        """SHA-256 of the weights held, as they were pulled."""
        return sha256(self.policy.buffer)

    def put_first(self, row: int, first: LaneStep | None) -> None:
        """What is seen after reset becomes the first pending row; a wrong form is refused.

        Where agents take turns there is nothing yet: each observation comes in its agent's turn.
        """
        age = np.zeros(len(self._lane_ids), np.int64)
        if first is None:
            self.writer.put_marks(row, age, 0)
            return
        flags = 0 if first.absent is None else first.absent * np.uint8(ABSENT)
        self.writer.put_observation(row, first.observation, age, flags)
        self._episodes.begin(first.absent)
        if first.legal is not None:
            self.writer.put_legal(row, first.legal)

    def begin(self, row: int, rows: int, stamp: int) -> None:
        """The next `rows` rows from `row` on are reserved, and the pending one after them."""
        if rows > len(self._action):
            self._reserve(rows)
        self._settled = row
        self._first = row
        self._stamp = stamp
        self._observations = self.writer.observations(row, rows + 1)
        self._legal = self.writer.legal(row, rows + 1)

    def choose(self, row: int, epsilon: float, lanes: slice = _ALL) -> NDArray[np.int64]:
        """Actions of these lanes for the pending row, from the frames in the shard."""
        legal = self._legal[row - self._first]
        if legal is not None:
            legal = legal[lanes]
        if self._n_frames == 1:
            newest = self._observations[row - self._first]
            if lanes is not _ALL:
                newest = np.ascontiguousarray(newest[lanes])
            return self.policy.act(newest[:, None], epsilon, self._rng, legal)
        self.settle(row)
        self._rows[:] = row
        ids = self._lane_ids[lanes]
        stacked = gather_stack(
            self.writer.columns,
            self.writer.ring,
            self._shard_ids[lanes],
            self._rows[lanes],
            ids,
            self._n_frames,
            self._stacked[: len(ids)],
        )
        return self.policy.act(stacked, epsilon, self._rng, legal)

    def choose_in_turn(self, row: int, epsilon: float, place: int) -> NDArray[np.int64]:
        """What the agent at this place does in every environment; it is noted in the row."""
        lanes = slice(place, None, self.n_agents)
        action = self.choose(row, epsilon, lanes)
        self._action[row - self._first, lanes] = action
        return action

    def outcome(self, row: int, action: NDArray[np.int64]) -> LaneStep:
        """Where the step of `row` with `action` is to be written: its outcome, the next row."""
        k = row - self._first
        self._action[k] = action
        self._version[k] = self.policy.version  # a resync by hand changes it within a chunk
        return LaneStep(
            self._observations[k + 1], *self._outcomes[k], self._legal[k + 1], self._absences[k]
        )

    def turn(self, row: int) -> TurnRow:
        """Where the turn of `row` is to be written: what is seen in it, and its outcome."""
        k = row - self._first
        self._version[k] = self.policy.version
        return TurnRow(self._observations[k], *self._outcomes[k], self._legal[k], self._absences[k])

    def settle(self, head: int) -> None:
        """Write what rows before `head` still lack, and the marks of the pending row at `head`."""
        at = slice(self._settled - self._first, head - self._first)
        if at.start == at.stop:
            return
        outcome = self._reward[at], self._terminated[at], self._truncated[at]
        absent = self._absent[at] if self._spec.absences else None
        after = self._episodes.follow(*outcome, absent)
        self.writer.put_outcome(
            self._settled, self._action[at], *outcome, self._version[at], self._stamp
        )
        self.writer.put_marks(self._settled + 1, after.age, after.flags)
        self._idle[at] = after.idle
        self.inserts += after.transitions
        self._settled = head

    def live(self, rows: int) -> NDArray[np.bool_]:
        """In which of the first `rows` settled rows an agent made a transition. bool [rows, E]."""
        idle = self._idle[:rows].reshape(rows, -1, self.n_agents)
        return np.asarray(~idle.all(axis=2))

    def _reserve(self, rows: int) -> None:
        shape = (rows, len(self._lane_ids))
        self._action = np.empty(shape, np.int64)
        self._version = np.empty(rows, np.int64)
        self._reward = np.empty(shape, np.float32)
        self._terminated = np.empty(shape, np.bool_)
        self._truncated = np.empty(shape, np.bool_)
        self._outcomes = list(zip(self._reward, self._terminated, self._truncated, strict=True))
        self._idle = np.empty(shape, np.bool_)
        self._absent = np.empty(shape, np.bool_)
        self._absences = list(self._absent) if self._spec.absences else [None] * rows


class Actor:
    """Steps E environments with its own copy of the weights.

    A chunk is ``begin(ticket)``, then ``step()`` up to L times, then ``commit()``. Nothing that was
    stepped can be seen by a reader before ``commit``.

    Args:
        make: builds the environments; called under this actor's own global random state, since
            environments may draw from it as they are built.
        policies: acting networks by policy name; they are loaded by ``pull``.
    """

    def __init__(
        self,
        blueprint: Blueprint,
        stores: Stores,
        index: int,
        make: Callable[[], AnyLanes],
        policies: dict[str, Policy],
    ) -> None:
        self.index = index
        self.epsilon = float("nan")
        self.steps = 0
        self._exploration = blueprint.config.exploration
        self._n_actors, self._envs_total = blueprint.n_actors, blueprint.envs_total
        self._absences = any(part.absences for part in blueprint.spec.policies.values())
        chooser, env_seeds, globals_seed = stream(
            blueprint.config.run.seed, "actor", index, blueprint.base.session
        ).spawn(3)
        self.random: AbstractContextManager[Any] = GlobalRandom(globals_seed)
        """This actor's global random state; who runs nothing else in the process stays inside."""
        with self.random:
            self._lanes: AnyLanes = make()
            seeds = env_seeds.generate_state(self._lanes.n_envs)
            self._first = self._lanes.reset([int(s) for s in seeds]) or {}
        self.env_metrics: EnvMetrics | None = getattr(self._lanes, "metrics", None)
        """What the environments have told of themselves, for whoever reports."""
        # Told apart once: to look for a protocol in an object takes longer than a small step.
        lanes = self._lanes
        self._turning = lanes if isinstance(lanes, TurnLanes) else None
        self._stepping = None if isinstance(lanes, TurnLanes) else lanes
        generators = chooser.spawn(len(blueprint.policies))
        self.parts = {
            name: _PolicyLanes(
                policies[name],
                stores.replays[name].writer(index),
                stores.weights[name],
                index,
                blueprint.spec.policies[name],
                blueprint.spec.n_frames,
                np.random.default_rng(seed),
            )
            for name, seed in zip(blueprint.policies, generators, strict=True)
        }
        self._started = False
        self._row = next(iter(self.parts.values())).writer.head
        self._in_chunk = 0
        self._ticket = Ticket(0, (0,) * len(self.parts))
        self._inserts_before = [0] * len(self.parts)

    def pull(self) -> None:
        """Take the newest published weights of every policy."""
        for part in self.parts.values():
            part.pull()

    def begin(self, ticket: Ticket, rows: int, wait: Wait | None = None) -> None:
        """Reserve slots for the next `rows` vector steps.

        Args:
            ticket: the counts that epsilon and row stamps start from.
            wait: how to wait for a reader that pins rows to be overwritten.
        """
        parts = self.parts
        for part in parts.values():
            part.writer.begin(rows, wait)
        if not self._started:
            for name, part in parts.items():
                part.put_first(self._row, self._first.get(name))
            self._started = True
        for part, stamp in zip(parts.values(), ticket.stamp_base, strict=True):
            part.begin(self._row, rows, stamp)
        self._ticket = ticket
        self._in_chunk = 0
        self._inserts_before = [part.inserts for part in parts.values()]

    def step(self, phases: Phases = UNTIMED) -> None:
        """One step of every environment: stack, act, step; where agents take turns, one turn."""
        phases.enter("act")
        self.epsilon = self.planned_epsilon()
        if self._turning is not None:
            self._take_turn(self._turning, phases)
        elif self._stepping is not None:
            self._step_together(self._stepping, phases)
        self._row += 1
        self._in_chunk += 1

    def _step_together(self, lanes: Lanes, phases: Phases) -> None:
        row, epsilon = self._row, self.epsilon
        actions, out = {}, {}
        for name, part in self.parts.items():
            actions[name] = action = part.choose(row, epsilon)
            out[name] = part.outcome(row, action)
        phases.enter("env")
        lanes.step(actions, out)

    def _take_turn(self, lanes: TurnLanes, phases: Phases) -> None:
        row, epsilon = self._row, self.epsilon

        def choose(policy: str, place: int) -> NDArray[np.int64]:
            phases.enter("act")
            action = self.parts[policy].choose_in_turn(row, epsilon, place)
            phases.enter("env")
            return action

        phases.enter("env")
        lanes.turn(choose, {name: part.turn(row) for name, part in self.parts.items()})

    def rollout(self, rows: int, tick: Callable[[], None], phases: Phases = UNTIMED) -> None:
        """`rows` steps under this actor's own global random state; `tick` between them."""
        with self.random:
            for _ in range(rows):
                self.step(phases)
                tick()
        phases.enter("write")

    def commit(self) -> Committed:
        """Make the steps since ``begin`` readable."""
        parts = list(self.parts.values())
        for part in parts:
            part.settle(self._row)
            part.writer.commit(self._row)
        inserts = tuple(
            part.inserts - before for part, before in zip(parts, self._inserts_before, strict=True)
        )
        steps = self._environment_steps(inserts)
        self.steps += steps
        return Committed(inserts, steps)

    def _environment_steps(self, inserts: tuple[int, ...]) -> int:
        """Steps of single environments since ``begin``; resets do not count."""
        parts = list(self.parts.values())
        if not self._absences:
            # every agent of an environment makes one transition, so any policy's count them
            return inserts[0] // parts[0].n_agents
        live = parts[0].live(self._in_chunk)
        for part in parts[1:]:
            live |= part.live(self._in_chunk)
        return int(np.count_nonzero(live))

    def planned_epsilon(self) -> float:
        """Epsilon of the next step: a pure function of the global step count and this actor."""
        done = self._ticket.step_base + self._in_chunk * self._envs_total
        epsilon = epsilon_at(done, self._exploration)
        return actor_epsilon(epsilon, self.index, self._n_actors, self._exploration.ladder_alpha)

    def close(self) -> None:
        """Close the environments, which may write their last files then."""
        close_lanes(self._lanes)
