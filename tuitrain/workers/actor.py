"""Acting: observations in, transitions out.

``Actor.step`` is one vector step and a plain call: it does not know which process it runs in, who
calls it, or what happens to the rows it writes. The frames it acts on are read back from the rows
it wrote, with the function the learner uses, so there is no second memory that could disagree.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from tuitrain.envs.vector import Lanes, LaneStep
from tuitrain.learning.exploration import actor_epsilon, epsilon_at
from tuitrain.learning.policy import Policy
from tuitrain.learning.weights import WeightStore, sha256
from tuitrain.metrics.counters import UNTIMED, EpisodeStats, Phases
from tuitrain.replay.layout import BOUNDARY
from tuitrain.replay.limiter import Ticket
from tuitrain.replay.shard import ShardWriter
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
        self.age = np.zeros(lanes, np.int64)
        self.over = np.zeros(lanes, bool)
        """Lanes whose episode has ended: their pending row is a boundary row."""
        self._return = np.zeros(lanes, np.float64)

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
        """The observations after reset become the first pending row."""
        self.writer.put_observation(row, observation, self.age, np.zeros(len(self.age), np.uint8))

    def put(self, row: int, action: NDArray[np.int64], result: LaneStep, stamp: int) -> int:
        """Complete `row` and write the next pending row. Returns the transitions added."""
        self.writer.put_outcome(
            row,
            action,
            result.reward,
            result.terminated,
            result.truncated,
            self.policy.version,
            stamp,
        )
        boundary = self.over
        added = len(boundary) - int(boundary.sum())
        self._return += result.reward
        ended = result.terminated | result.truncated
        self.age = np.where(boundary, 0, self.age + 1)
        for lane in np.flatnonzero(ended):
            self.stats.add(float(self._return[lane]), int(self.age[lane]))
        self._return[ended | boundary] = 0.0
        self.over = ended
        self.writer.put_observation(
            row + 1, result.observation, self.age, np.where(ended, BOUNDARY, 0).astype(np.uint8)
        )
        self.inserts += added
        return added


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
        self._global_random = GlobalRandom(globals_seed)
        with self._global_random:
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
        self._chunk_inserts = dict.fromkeys(self.parts, 0)
        self._chunk_steps = 0

    def step(self, phases: Phases = UNTIMED) -> None:
        """One step of every environment: stack, act, step, write."""
        enter = phases.enter
        enter("act")
        self.epsilon = self.planned_epsilon()
        actions = {n: p.choose(self._row, self.epsilon) for n, p in self.parts.items()}
        enter("env")
        results = self._lanes.step(actions)
        enter("write")
        stamps = self._ticket.stamp_base
        for (name, part), stamp in zip(self.parts.items(), stamps, strict=True):
            added = part.put(self._row, actions[name], results[name], stamp)
            self._chunk_inserts[name] += added
        # every agent of an environment has one lane, so any policy's lanes count environments
        self._chunk_steps += added // part.n_agents
        self._row += 1
        self._in_chunk += 1

    def rollout(self, rows: int, tick: Callable[[], None], phases: Phases = UNTIMED) -> None:
        """`rows` steps under this actor's own global random state; `tick` between them."""
        with self._global_random:
            for _ in range(rows):
                self.step(phases)
                tick()

    def commit(self) -> Committed:
        """Make the steps since ``begin`` readable."""
        for part in self.parts.values():
            part.writer.commit(self._row)
        self.steps += self._chunk_steps
        return Committed(tuple(self._chunk_inserts.values()), self._chunk_steps)

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
