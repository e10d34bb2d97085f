"""What writers wrote, in plain lists, and what may be learned from it: the model of the replay.

It knows nothing of rings, slots, ages, flags, tails or pins. A lane's past is a list of lines; an
episode is the lines that carry its number, and no number is ever used twice in a lane, whoever
writes. What a reader hands out is compared with what follows from the lists.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

import numpy as np

from tuitrain.replay.buffer import NothingToSample, ReplayReader, Window
from tuitrain.replay.layout import (
    ABSENT,
    BOUNDARY,
    CUT,
    HEADER_HEAD,
    HEADER_TAIL,
    Columns,
)
from tuitrain.replay.shard import ShardWriter, Wait

TAGS = 5  # shard, lane, episode, step, row
BETA = 0.5
"""Exponent of importance weights."""

Cell = tuple[int, int, int]
"""Shard, row and lane."""


@dataclass(frozen=True)
class Line:
    """What one lane left behind in one row."""

    tags: tuple[int, int, int, int, int]
    action: int
    reward: float
    terminated: bool
    truncated: bool
    boundary: bool
    absent: bool
    version: int
    stamp: int
    legal: tuple[bool, ...] = ()
    """Of each action, if the policy is masked."""

    @property
    def episode(self) -> int:
        """Number of the episode, never used again in this lane."""
        return self.tags[2]

    @property
    def step(self) -> int:
        """Steps since the episode began."""
        return self.tags[3]


@dataclass
class Story:
    """One shard's past: ``lanes[lane][row]``, committed rows only; ``draft`` holds the others."""

    shard: int
    lanes: list[list[Line]]
    draft: list[list[Line]] = field(default_factory=list)
    """``draft[k][lane]``: row ``head + k``."""
    episodes: int = 0
    """Numbers given to episodes so far."""

    @property
    def head(self) -> int:
        """Rows that were committed."""
        return len(self.lanes[0])

    def settle(self, head: int) -> None:
        """Rows before ``head`` were committed, whatever else was written is lost."""
        accepted = head - self.head
        assert 0 <= accepted <= len(self.draft), f"head {head}, but {self.head} rows are committed"
        for lines in self.draft[:accepted]:
            for lane, line in zip(self.lanes, lines, strict=True):
                lane.append(line)
        self.draft.clear()


def stories(shards: int, lanes: int) -> list[Story]:
    """Empty ones."""
    return [Story(shard, [[] for _ in range(lanes)]) for shard in range(shards)]


class Scribe:
    """A writer of random episodes that notes in its story what it hands to the shard.

    Made for a story that has rows already, it is the successor of a writer that died.

    Args:
        in_place: write as actors do: observations where they lie, the rest for all rows at once.
    """

    def __init__(
        self,
        writer: ShardWriter,
        story: Story,
        rng: np.random.Generator,
        *,
        end_chance: float = 0.25,
        absent_chance: float = 0.1,
        in_place: bool = False,
    ) -> None:
        lanes = writer.ring.lanes
        assert writer.head == story.head
        self.writer = writer
        self.story = story
        self._rng = rng
        self._chances = end_chance, absent_chance
        self._in_place = in_place
        self._row = story.head
        self._fresh = True
        self._episode = np.array([self._new_episode() for _ in range(lanes)])
        self._step = np.zeros(lanes, np.int64)
        self._over = np.zeros(lanes, bool)
        self._flags = np.zeros(lanes, np.uint8)
        self._legal = self._new_legal()

    def write(self, rows: int, stamp: int, version: int, wait: Wait | None = None) -> int:
        """Write and commit a chunk; how many transitions it added."""
        writer, first = self.writer, self._row
        writer.begin(rows, wait)
        if self._fresh:
            writer.put_observation(first, self._observation(), self._step, self._flags)
            self._put_legal(first)
            self._fresh = False
        inserts = int((~self._over).sum())
        places = writer.observations(first, rows + 1) if self._in_place else []
        legal = writer.legal(first, rows + 1)
        outcomes, marks = [], []
        for k in range(rows):
            outcome = self._act(stamp, version)
            if self._in_place:
                places[k + 1][:] = self._observation()
                place = legal[k + 1]
                if place is not None:
                    place[:] = self._legal
            else:
                writer.put_outcome(first + k, *outcome, version, stamp)
                writer.put_observation(first + k + 1, self._observation(), self._step, self._flags)
                self._put_legal(first + k + 1)
            outcomes.append(outcome)
            marks.append((self._step, self._flags))
            inserts += int((~self._over).sum()) if k < rows - 1 else 0
        if self._in_place:
            columns = (np.stack(column) for column in zip(*outcomes, strict=True))
            writer.put_outcome(first, *columns, version, stamp)
            writer.put_marks(first + 1, *(np.stack(mark) for mark in zip(*marks, strict=True)))
        writer.commit(self._row)
        self.story.settle(self._row)
        return inserts

    def _act(self, stamp: int, version: int) -> tuple[Any, Any, Any, Any]:
        """Invent the outcome of the pending row and go on to the next; note the line."""
        end_chance, absent_chance = self._chances
        over, lanes = self._over, len(self._over)
        ends = ~over & (self._rng.random(lanes) < end_chance)
        terminated = ends & (self._rng.random(lanes) < 0.5)
        truncated = ends & ~terminated
        action = self._rng.integers(0, 5, lanes)
        reward = np.where(over, 0, self._rng.normal(size=lanes)).astype(np.float32)
        self.story.draft.append(
            [
                Line(
                    tuple(tags),
                    int(action[lane]),
                    float(reward[lane]),
                    bool(terminated[lane]),
                    bool(truncated[lane]),
                    bool(over[lane]),
                    bool(self._flags[lane] & ABSENT),
                    version,
                    stamp,
                    () if self._legal is None else tuple(self._legal[lane].tolist()),
                )
                for lane, tags in enumerate(self._tags().tolist())
            ]
        )
        self._row += 1
        for lane in np.flatnonzero(over):
            self._episode[lane] = self._new_episode()
        self._step = np.where(over, 0, self._step + 1)
        self._over = ends
        absent = ~ends & (self._rng.random(lanes) < absent_chance)
        self._flags = (BOUNDARY * ends + ABSENT * absent).astype(np.uint8)
        self._legal = self._new_legal()
        return action, reward, terminated, truncated

    def _new_episode(self) -> int:
        self.story.episodes += 1
        return self.story.episodes

    def _new_legal(self) -> np.ndarray[Any, Any] | None:
        column = self.writer.columns.legal
        if column is None:
            return None
        legal: np.ndarray[Any, Any] = self._rng.random(column.shape[2:]) < 0.4
        legal[np.arange(len(legal)), self._rng.integers(0, legal.shape[1], len(legal))] = True
        return legal

    def _put_legal(self, row: int) -> None:
        if self._legal is not None:
            self.writer.put_legal(row, self._legal)

    def _tags(self) -> np.ndarray[Any, Any]:
        lanes = len(self._step)
        shard, row = np.full(lanes, self.writer.shard), np.full(lanes, self._row)
        return np.stack([shard, np.arange(lanes), self._episode, self._step, row], axis=1)

    def _observation(self) -> np.ndarray[Any, Any]:
        return self._tags().astype(self.writer.observation_dtype)


# ---- what is in the memory ---------------------------------------------------------------------


def torn_rows(columns: Columns, story: Story) -> list[int]:
    """Readable rows that do not hold what was written as that row."""
    shard = story.shard
    tail, head = (int(columns.header[shard, at]) for at in (HEADER_TAIL, HEADER_HEAD))
    assert 0 <= tail <= head == story.head
    return [row for row in range(tail, head) if not _is_whole(columns, story, row)]


def _is_whole(columns: Columns, story: Story, row: int) -> bool:
    at = story.shard, row % columns.action.shape[1]
    lines = [lane[row] for lane in story.lanes]
    flags = columns.flags[at] & np.uint8(BOUNDARY | ABSENT)
    legal = [[]] * len(lines) if columns.legal is None else columns.legal[at].tolist()
    return (
        columns.observation[at].tolist() == [list(line.tags) for line in lines]
        and legal == [list(line.legal) for line in lines]
        and columns.action[at].tolist() == [line.action for line in lines]
        and columns.reward[at].tolist() == [line.reward for line in lines]
        and columns.terminated[at].tolist() == [line.terminated for line in lines]
        and columns.truncated[at].tolist() == [line.truncated for line in lines]
        and columns.age[at].tolist() == [line.step for line in lines]
        and flags.tolist() == [BOUNDARY * line.boundary + ABSENT * line.absent for line in lines]
        and columns.version[at] == lines[0].version
        and columns.stamp[at] == lines[0].stamp
    )


def cut_rows(columns: Columns, story: Story) -> list[int]:
    """Readable rows of which some lane is marked as a writer's first."""
    shard = story.shard
    flags = columns.flags[shard]
    tail = int(columns.header[shard, HEADER_TAIL])
    return [row for row in range(tail, story.head) if (flags[row % len(flags)] & CUT).any()]


# ---- what may be learned -----------------------------------------------------------------------


@dataclass(frozen=True)
class Transition:
    """What a sample must be: rows of the frames, newest last, and what was learned from."""

    frames: tuple[int, ...]
    next_frames: tuple[int, ...]
    returns: np.float32
    discount: np.float32


def frames_of(lane: Sequence[Line], row: int, n_frames: int) -> tuple[int, ...]:
    """Rows back to the first of the episode, which is repeated."""
    first = row
    while lane[first].step > 0 and row - first < n_frames - 1:
        first -= 1
        assert lane[first].episode == lane[row].episode
    return tuple(max(first, row - back) for back in range(n_frames - 1, -1, -1))


def transition(
    lane: Sequence[Line], row: int, head: int, *, n_frames: int, n_step: int, gamma: float
) -> Transition | None:
    """The transition that begins at a row, None if there is none whose rows are before ``head``."""
    if lane[row].boundary or lane[row].absent:
        return None
    total, discount, at = 0.0, 1.0, row
    for k in range(n_step):
        total += gamma**k * lane[at].reward
        discount = 0.0 if lane[at].terminated else gamma ** (k + 1)
        over = lane[at].terminated or lane[at].truncated
        at += 1
        if at >= head or lane[at].episode != lane[row].episode:
            return None
        if over:
            break
    frames, next_frames = (frames_of(lane, of, n_frames) for of in (row, at))
    return Transition(frames, next_frames, np.float32(total), np.float32(discount))


class Expected:
    """Every transition that a window must offer, and nothing else.

    They begin in rows [low, head - n_step): a transition is offered when as many rows after its
    first are committed as it could ever need.

    Attributes:
        cells: shard, row and lane of each.
        oldest: per shard, the oldest row that any of them looks at; ``head`` if there is none.
    """

    def __init__(
        self,
        past: Sequence[Story],
        low: Sequence[int],
        head: Sequence[int],
        *,
        n_frames: int,
        n_step: int,
        gamma: float,
    ) -> None:
        self.cells: list[Cell] = []
        self.oldest = [int(end) for end in head]
        found: list[tuple[Sequence[Line], int, Transition]] = []
        for k, story in enumerate(past):
            assert head[k] <= story.head
            for number, lane in enumerate(story.lanes):
                for row in range(low[k], head[k] - n_step):
                    one = transition(
                        lane, row, head[k], n_frames=n_frames, n_step=n_step, gamma=gamma
                    )
                    if one is not None:
                        self.cells.append((story.shard, row, number))
                        self.oldest[k] = min(self.oldest[k], one.frames[0])
                        found.append((lane, row, one))
        self._place = {cell: k for k, cell in enumerate(self.cells)}
        self._columns: dict[str, np.ndarray[Any, Any]] = {
            "state": np.array([[lane[r].tags for r in one.frames] for lane, _, one in found]),
            "next_state": np.array(
                [[lane[r].tags for r in one.next_frames] for lane, _, one in found]
            ),
            "action": np.array([lane[row].action for lane, row, _ in found]),
            "returns": np.array([one.returns for _, _, one in found]),
            "discount": np.array([one.discount for _, _, one in found]),
            "version": np.array([lane[row].version for lane, row, _ in found]),
            "stamp": np.array([lane[row].stamp for lane, row, _ in found]),
        }
        if any(lane[row].legal for lane, row, _ in found):
            self._columns |= {
                "legal": np.array([lane[row].legal for lane, row, _ in found]),
                "next_legal": np.array([lane[one.next_frames[-1]].legal for lane, _, one in found]),
            }

    def draw(
        self,
        reader: ReplayReader,
        window: Window,
        rng: np.random.Generator,
        *,
        size: int = 0,
        priorities: Mapping[Cell, float] | None = None,
    ) -> list[str]:
        """Draw from a pinned window; what about the batch is not as it must be, empty if all is.

        Args:
            size: how much to draw; 0 is so much that every transition must come.
            priorities: of every transition, if they are drawn in proportion to these.
        """
        every = int(len(self.cells) * (np.log(max(1, len(self.cells))) + 23)) + 1
        if priorities:  # the least likely one must come too
            every = int(every * max(priorities.values()) / min(priorities.values())) + 1
        try:
            batch = reader.sample(window, size or every, rng, beta=BETA)
        except NothingToSample:
            return [f"{cell} is not offered" for cell in self.cells]
        if not self.cells:
            return ["there is nothing to sample, but something was"]
        origin = reader.origin(batch)
        drawn = list(
            zip(origin.shard.tolist(), batch.rows.tolist(), origin.lane.tolist(), strict=True)
        )
        strangers = sorted({cell for cell in drawn if cell not in self._place})
        if strangers:
            return [f"{cell} is no transition of the window" for cell in strangers]
        at = [self._place[cell] for cell in drawn]
        got = vars(batch) | origin._asdict()
        wrong = [
            f"{name} is wrong"
            for name, column in self._columns.items()
            if not np.array_equal(got[name], column[at])
        ]
        if priorities is not None:
            mean = sum(priorities.values()) / len(priorities)
            weights = np.array([(priorities[cell] / mean) ** -BETA for cell in drawn])
            if not np.allclose(batch.weights, weights / weights.max(), rtol=1e-5):
                wrong.append("a weight is wrong")
        missing = set(self.cells) - set(drawn) if not size else set()  # a chance of 1 in 10^10
        return wrong + [f"{cell} is never drawn" for cell in sorted(missing)]
