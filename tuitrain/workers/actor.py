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

from tuitrain.envs.vector import Lanes, LaneStep
from tuitrain.learning.exploration import actor_epsilon, epsilon_at
from tuitrain.learning.policy import Policy
from tuitrain.learning.weights import WeightStore, sha256
from tuitrain.metrics.counters import UNTIMED, EpisodeStats, Phases
from tuitrain.replay.layout import BOUNDARY, MAX_AGE
from tuitrain.replay.limiter import Ticket
from tuitrain.replay.shard import Row, ShardWriter
from tuitrain.replay.window import gather_stack
from tuitrain.seeding import GlobalRandom, stream
from tuitrain.workers.blueprint import Blueprint
from tuitrain.workers.build import close_lanes
from tuitrain.workers.stores import Stores

Wait = Callable[[Callable[[], bool], str], None]


@dataclass(frozen=True)
class Committed:
    """What one chunk added: transitions per policy (in blueprint order) and environment steps."""

    inserts: tuple[int, ...]
    steps: int


class _PolicyLanes:
    """The lanes of one policy in this actor: their shard, their weights, their episodes."""

    def __init__(
        self,
        policy: Policy,
        writer: ShardWriter,
        store: WeightStore,
        reader: int,
        n_agents: int,
        n_frames: int,
        rng: np.random.Generator,
    ) -> None:
        lanes = writer.ring.lanes
        self.policy = policy
        self.writer = writer
        self.n_agents = n_agents
        self.stats = EpisodeStats()
        self.inserts = 0
        self.updates_held = 0
        self._store = store
        self._reader = reader
        self._rng = rng
        self._n_frames = n_frames
        self._weights = np.empty(store.layout.nbytes, np.uint8)
        self._lane_ids = np.arange(lanes)
        self._shard_ids = np.full(lanes, writer.shard)
        self._rows = np.zeros(lanes, np.int64)
        self._stacked = np.empty(
            (lanes, n_frames, *writer.observation_shape), writer.observation_dtype
        )
        self._age = np.zeros(lanes, np.int64)
        self._over = np.zeros(lanes, bool)
        """Lanes whose episode has ended: their pending row is a boundary row."""
        self._n_over = 0
        self._return = np.zeros(lanes, np.float64)
        self._here: Row
        self._next: Row

    def pull(self) -> None:
        """Take the newest weights if they are not the ones held."""
        if self._store.version() != self.policy.version:
            published = self._store.pull(self._reader, self._weights)
            self.policy.load(self._weights, published.version)
            self.updates_held = published.updates

    def weights_hash(self) -> str:
        """SHA-256 of the weights held, as they were pulled."""
        return sha256(self._weights)

    def choose(self, row: int, epsilon: float) -> NDArray[np.int64]:
        """Actions for the pending row, from the frames in the shard."""
        if self._n_frames == 1:
            return self.policy.act(self._here.observation[:, None], epsilon, self._rng)
        self._rows[:] = row
        gather_stack(
            self.writer.columns,
            self.writer.ring,
            self._shard_ids,
            self._rows,
            self._lane_ids,
            self._n_frames,
            self._stacked,
        )
        return self.policy.act(self._stacked, epsilon, self._rng)

    def put_first(self, row: int, observation: NDArray[np.generic]) -> None:
        """The observations after reset become the first pending row; a wrong form is refused."""
        self._here = self.writer.open(row)
        self.writer.put_observation(row, observation, self._age, 0)

    def outcome(self, row: int) -> LaneStep:
        """Where the step of `row` is to be written: its outcome, and the next pending row."""
        here = self._here
        self._next = self.writer.open(row + 1)
        return LaneStep(self._next.observation, here.reward, here.terminated, here.truncated)

    def put(self, row: int, action: NDArray[np.int64], stamp: int) -> None:
        """Complete `row` and the next pending row, once its step is written."""
        here, pending, over, age = self._here, self._next, self._over, self._age
        self.writer.complete(row, action, self.policy.version, stamp)
        self.inserts += len(over) - self._n_over
        age += 1
        if self._n_over:
            age[over] = 0
        np.minimum(age, MAX_AGE, out=pending.age, casting="unsafe")
        self._return += here.reward
        np.logical_or(here.terminated, here.truncated, out=over)
        self._n_over = int(np.count_nonzero(over))
        if self._n_over:
            for lane in np.flatnonzero(over):
                self.stats.add(float(self._return[lane]), int(age[lane]))
            self._return[over] = 0.0
            pending.flags[over] |= BOUNDARY
        self._here = pending


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
        make: Callable[[], Lanes],
        policies: dict[str, Policy],
    ) -> None:
        self.index = index
        self.epsilon = float("nan")
        self.steps = 0
        self._blueprint = blueprint
        chooser, env_seeds, globals_seed = stream(
            blueprint.config.run.seed, "actor", index, blueprint.base.session
        ).spawn(3)
        self.random: AbstractContextManager[Any] = GlobalRandom(globals_seed)
        """This actor's global random state; who runs nothing else in the process stays inside."""
        with self.random:
            self._lanes = make()
            seeds = env_seeds.generate_state(self._lanes.n_envs)
            self._first = self._lanes.reset([int(s) for s in seeds])
        generators = chooser.spawn(len(blueprint.policies))
        self.parts = {
            name: _PolicyLanes(
                policies[name],
                stores.replays[name].writer(index),
                stores.weights[name],
                index,
                len(blueprint.spec.policies[name].agents),
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
        for part in self.parts.values():
            part.writer.begin(rows, wait)
        if not self._started:
            for name, part in self.parts.items():
                part.put_first(self._row, self._first[name])
            self._started = True
        self._ticket = ticket
        self._in_chunk = 0
        self._inserts_before = [part.inserts for part in self.parts.values()]

    def step(self, phases: Phases = UNTIMED) -> None:
        """One step of every environment: stack, act, step, write."""
        enter, row = phases.enter, self._row
        enter("act")
        self.epsilon = epsilon = self.planned_epsilon()
        actions = {name: part.choose(row, epsilon) for name, part in self.parts.items()}
        enter("env")
        self._lanes.step(actions, {name: part.outcome(row) for name, part in self.parts.items()})
        enter("write")
        for (name, part), stamp in zip(self.parts.items(), self._ticket.stamp_base, strict=True):
            part.put(row, actions[name], stamp)
        self._row += 1
        self._in_chunk += 1

    def rollout(self, rows: int, tick: Callable[[], None], phases: Phases = UNTIMED) -> None:
        """`rows` steps under this actor's own global random state; `tick` between them."""
        with self.random:
            for _ in range(rows):
                self.step(phases)
                tick()

    def commit(self) -> Committed:
        """Make the steps since ``begin`` readable."""
        parts = list(self.parts.values())
        for part in parts:
            part.writer.commit(self._row)
        inserts = tuple(
            part.inserts - before for part, before in zip(parts, self._inserts_before, strict=True)
        )
        # every agent of an environment has one lane, so any policy's lanes count environments
        steps = inserts[0] // parts[0].n_agents
        self.steps += steps
        return Committed(inserts, steps)

    def planned_epsilon(self) -> float:
        """Epsilon of the next step: a pure function of the global step count and this actor."""
        done = self._ticket.step_base + self._in_chunk * self._blueprint.envs_total
        exploration = self._blueprint.config.exploration
        return actor_epsilon(
            epsilon_at(done, exploration),
            self.index,
            self._blueprint.n_actors,
            exploration.ladder_alpha,
        )

    def close(self) -> None:
        """Close the environments, which may write their last files then."""
        close_lanes(self._lanes)
