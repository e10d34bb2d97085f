"""What one policy has in one actor: its lanes' rows in the shard, its weights, their episodes.

Observations are written where they lie in the shard, and the frames that are acted on are read back
from there, with the function the learner uses. Knows neither environments nor processes.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any

import numpy as np
from numpy.typing import NDArray

from tuitrain.envs.lanes.turns import TurnRow
from tuitrain.envs.lanes.vector import LaneStep
from tuitrain.envs.spaces import EnvError
from tuitrain.envs.spec import PolicySpec
from tuitrain.learning.policy import Policy
from tuitrain.learning.weights import WeightStore
from tuitrain.learning.weights_layout import sha256
from tuitrain.metrics.counters import CHANCE_EPSILON
from tuitrain.replay.layout import ABSENT
from tuitrain.replay.saved_rows import Held, take_over
from tuitrain.replay.shard import ShardWriter
from tuitrain.replay.window import gather_stack
from tuitrain.workers.acting.episodes import Episodes
from tuitrain.workers.acting.row_figures import RowFigures

ALL = slice(None)
"""Of the lanes."""


class PolicyLanes:
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
        where: str,
        figures: RowFigures,
    ) -> None:
        """`where` says whose observations these are, for errors."""
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
        self._where = where
        self._floats = writer.observation_dtype.kind == "f"
        self._lane_ids = np.arange(lanes)
        self._shard_ids = np.full(lanes, writer.shard)
        self._rows = np.zeros(lanes, np.int64)
        self._stacked = np.empty(
            (lanes, n_frames, *writer.observation_shape), writer.observation_dtype
        )
        self._episodes = Episodes(lanes)
        self.stats = self._episodes.stats
        self.figures: RowFigures | None = figures
        """What is measured of the rows for checks; None is nothing."""
        self._explored: NDArray[np.bool_] | None = None
        self._epsilon = 0.0
        """Of the newest actions."""
        self._least_stamp = 0
        self._first = writer.head
        self._began = 0
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

    def put_first(self, first: LaneStep | None) -> None:
        """What is seen after reset becomes the first pending row; a wrong form is refused.

        Where agents take turns there is nothing yet: each observation comes in its agent's turn.
        """
        age = np.zeros(len(self._lane_ids), np.int64)
        self._began = row = self.writer.head
        if first is None:
            self.writer.put_marks(row, age, 0)
            return
        flags = 0 if first.absent is None else first.absent * np.uint8(ABSENT)
        self.writer.put_observation(row, first.observation, age, flags)
        self._episodes.begin(first.absent)
        if first.legal is not None:
            self.writer.put_legal(row, first.legal)

    def begin(self, rows: int, stamp: int) -> None:
        """The next `rows` rows of the shard are reserved, and the pending one after them.

        Rows are counted from this shard's own head: of an actor that was killed between two
        policies' commits, shards end at different rows.
        """
        if rows > len(self._reward):
            self._reserve(rows)
        row = self.writer.head
        self._settled = row
        self._first = row
        self._stamp = max(stamp, self._least_stamp)
        self._observations = self.writer.observations(row, rows + 1)
        self._legal = self.writer.legal(row, rows + 1)
        self._explored = None if self.figures is None else self.figures.begin(row, rows)

    def take_figures(self) -> dict[str, float]:
        """What a `train` record says of the episodes since the last one; call if there are some."""
        return self.stats.take() | self._take_measured()

    def take_row_figures(self) -> dict[str, float]:
        """What a `rows` record says: of the rows alone; empty if there are no new ones."""
        measured = self._take_measured()
        return measured if "reward_min" in measured else {}

    def _take_measured(self) -> dict[str, float]:
        return {} if self.figures is None else self.figures.take()

    def state(self) -> dict[str, Any]:
        """All but the rows, between two chunks, as plain values and arrays."""
        return {
            "tail": self.writer.tail,
            "head": self.writer.head,
            "generator": self._rng.bit_generator.state,
            "updates_held": self.updates_held,
            "episodes": self._episodes.state(),
            "figures": None if self.figures is None else self.figures.state(),
        }

    def take_rows(self, state: Mapping[str, Any], fill: Callable[[Held], None]) -> None:
        """Fill the empty shard with the rows of a saved one; see ``saved_rows.take_over``."""
        take_over(self.writer, state["tail"], state["head"], fill)
        self._first = self.writer.head
        if state["head"] > state["tail"]:
            # Stamps never fall in a shard. In `async` a row can be younger than the counts saved.
            newest = (state["head"] - 1) % self.writer.ring.rows
            self._least_stamp = int(self.writer.columns.stamp[self.writer.shard, newest])

    def restore(self, state: Mapping[str, Any]) -> None:
        """Go on where ``state`` was taken, in the midst of the episodes; the rows are here."""
        self._rng.bit_generator.state = state["generator"]
        self.updates_held = state["updates_held"]
        self._episodes.restore(state["episodes"])
        # a state of an older version has none
        if self.figures is not None and state.get("figures") is not None:
            self.figures.restore(state["figures"])

    def row(self, k: int) -> int:
        """Number, in this policy's shard, of the k-th row since ``begin``."""
        return self._first + k

    def first_lane(self, row: int) -> NDArray[Any]:
        """A copy of the first lane's observation in a row of the shard that has been written."""
        columns, rows = self.writer.columns, self.writer.ring.rows
        seen: NDArray[Any] = columns.observation[self.writer.shard, row % rows, 0]
        return seen.copy()

    def choose(self, row: int, epsilon: float, lanes: slice = ALL) -> NDArray[np.int64]:
        """Actions of these lanes for the pending row, from the frames in the shard."""
        if self._n_frames > 1:
            self.settle(row)
        return self._act(row, epsilon, lanes)

    def _act(self, row: int, epsilon: float, lanes: slice | NDArray[np.int64]) -> NDArray[np.int64]:
        """Actions for a row whose observations are there, and whose ages where they are needed."""
        stacked, legal = self._stack(row, lanes)
        self._epsilon = epsilon
        action = self.policy.act(stacked, epsilon, self._rng, legal)
        if self._explored is not None and self.policy.explored is not None:
            self._explored[row - self._first, lanes] = self.policy.explored
        return action

    def _stack(
        self, row: int, lanes: slice | NDArray[np.int64]
    ) -> tuple[NDArray[Any], NDArray[np.bool_] | None]:
        """The stacks of these lanes, and what is legal there."""
        legal = self._legal[row - self._first]
        if legal is not None:
            legal = legal[lanes]
        if self._n_frames == 1:
            newest = self._observations[row - self._first]
            if lanes is not ALL:
                newest = np.ascontiguousarray(newest[lanes])
            return newest[:, None], legal
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
        return stacked, legal

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
        # epsilon falls: what has ended in these rows was played with no less
        by_chance = self._epsilon >= CHANCE_EPSILON
        after = self._episodes.follow(*outcome, absent, by_chance=by_chance)
        self.writer.put_outcome(
            self._settled, self._action[at], *outcome, self._version[at], self._stamp
        )
        self.writer.put_marks(self._settled + 1, after.age, after.flags)
        self._idle[at] = after.idle
        self.inserts += after.transitions
        self._settled = head

    def check_finite(self, row: int, head: int) -> None:
        """Refuse settled rows before `head`, from `row` on, in which something is not finite.

        One NaN that is learned from makes every weight NaN, long after it was seen, so rows are
        looked at before anybody can read them, all at once: a look costs little, a call does.

        Raises:
            EnvError: the message names the agent, its lane, and what it has observed.
        """
        if not self._floats:
            return
        ring, size = self.writer.columns.observation[self.writer.shard], self.writer.ring.rows
        first = row % size
        last = first + head - row
        if not np.isfinite(ring[first:last]).all() or (
            last > size and not np.isfinite(ring[: last - size]).all()
        ):
            self._name_what_is_not_finite(row, head)

    def _name_what_is_not_finite(self, row: int, head: int) -> None:
        columns, shard, size = self.writer.columns, self.writer.shard, self.writer.ring.rows
        for slot in (r % size for r in range(row, head)):
            seen = columns.observation[shard, slot].reshape(len(self._lane_ids), -1)
            there = (columns.flags[shard, slot] & ABSENT) == 0
            for lane, place in np.argwhere(~np.isfinite(seen) & there[:, None])[:1].tolist():
                agent = self._spec.agents[lane % self.n_agents]
                index = np.unravel_index(place, self.writer.observation_shape)
                raise EnvError(
                    f"{self._where}, agent {agent!r}, lane {lane}: observation"
                    f"{[int(i) for i in index]} is {seen[lane, place]}, not a finite number. "
                    "Weights that learn from it would all become NaN: make the environment return "
                    "finite numbers."
                )

    # ---- to be audited ---------------------------------------------------------------------------

    def watch(self, lane: int, lanes: slice | NDArray[np.int64] = ALL) -> None:
        """Keep what is acted on in this lane, if it is among those that choose next."""
        if lanes is ALL:
            self.policy.watch(lane)
            return
        for place in np.flatnonzero(self._lane_ids[lanes] == lane).tolist():
            self.policy.watch(place)

    def history(self, row: int, lane: int) -> int:
        """Rows before this one in the same episode, at most n_frames - 1; -1: no transition begins.

        Counted row by row from what the environment said, not from the ages and flags that follow
        from it when rows are settled.
        """
        if self._idle_in(row, lane):
            return -1
        for back in range(self._n_frames - 1):
            if row - back == self._began or self._idle_in(row - back - 1, lane):
                return back
        return self._n_frames - 1

    def _idle_in(self, row: int, lane: int) -> bool:
        """Whether the row shows an end, or its agent was absent."""
        k = row - 1 - self._first
        if k >= 0:
            over = self._terminated[k, lane] or self._truncated[k, lane]
            return bool(over or (self._spec.absences and self._absent[k, lane]))
        # what was said before this chunk is in the shard alone
        columns, shard, rows = self.writer.columns, self.writer.shard, self.writer.ring.rows
        if columns.flags[shard, row % rows, lane] & ABSENT:
            return True
        at = shard, (row - 1) % rows, lane
        return row > self._began and bool(columns.terminated[at] or columns.truncated[at])

    # ---- what is counted and kept ----------------------------------------------------------------

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
