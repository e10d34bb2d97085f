"""What one reader knows of every transition it may draw, worked out once per row.

A row is drawn many times, but its n-step return, its bootstrap discount and the cells of its frames
do not change once the rows they need are committed. So they are computed when the row becomes
sampleable, by the pure functions of ``window`` on contiguous new rows, and a draw is a look-up. The
index is private to its reader: it holds no shared memory and no lock, and a successor builds it
anew from the rows that are there. Knows nothing of pins, random draws or priorities.
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import NamedTuple

import numpy as np

from tuitrain.replay.layout import Columns, ReplayLayout
from tuitrain.replay.window import Int, Ring, cells, n_step, pieces, stack_rows

_AT_ONCE_CELLS = 1 << 15
"""Cells looked at together, to bound the memory it takes when a whole ring is new."""


class Moved(NamedTuple):
    """What a step of the window changed.

    Attributes:
        entered: int64 [k], cells at which a transition begins that was not sampleable before.
        left: [start, stop) ranges of cells that may not be drawn any more.
    """

    entered: Int
    left: list[tuple[int, int]]


class TransitionIndex:
    """The sampleable transitions of all shards of one policy; cells are ``window.cells``.

    A row enters once n_step rows after it are committed (whether or not its episode ended before
    that), and leaves when the window's low edge passes it. In every shard rows enter and leave in
    order, so the sampleable cells of a shard are a queue, and a uniform draw is a position in it.

    Args:
        layout: sizes of the replay; its ``n_step`` is the one that is used.
        columns: the shared rows, read by ``advance`` only.
        gamma: discount per step.

    Attributes:
        frames: int64 [cells, K]: the cells of the observations that make the state and the next
            state; see ``overlap``.
        action: int64 [cells].
        returns: float32 [cells], n-step return.
        discount: float32 [cells], factor of the bootstrap value.
        row: int64 [cells], absolute row.
        version: int64 [shards * T], weights version the row was acted with.
        stamp: int64 [shards * T], policy-wide count of inserts when the row was made.
    """

    def __init__(self, layout: ReplayLayout, columns: Columns, gamma: float) -> None:
        self._columns = columns
        self._ring = Ring(layout.ring_rows, layout.lanes, layout.n_actors)
        self._n_frames = layout.n_frames
        self._n_step = layout.n_step
        self._gamma = gamma
        self._overlap = overlap(layout.n_frames, layout.n_step)
        self._per_shard = layout.ring_rows * layout.lanes
        total = layout.n_actors * self._per_shard
        self.frames = np.zeros((total, 2 * layout.n_frames - self._overlap), np.int64)
        self.action, self.row = np.zeros((2, total), np.int64)
        self.returns, self.discount = np.zeros((2, total), np.float32)
        self.version, self.stamp = np.zeros((2, layout.n_actors * layout.ring_rows), np.int64)
        # Rows [low, known) of each shard have been looked at; ``looked`` is how many ever were.
        self._low = np.zeros(layout.n_actors, np.int64)
        self._known = np.zeros(layout.n_actors, np.int64)
        self._looked = np.zeros(layout.n_actors, np.int64)
        self._in_row = np.zeros(layout.n_actors * layout.ring_rows, np.int64)
        # The queues: positions [first, last) of each, modulo a power of two.
        self._queue_size = 1 << (self._per_shard - 1).bit_length()
        self._queues = np.zeros(layout.n_actors * self._queue_size, np.int64)
        self._starts = np.arange(layout.n_actors, dtype=np.int64) * self._queue_size
        self._first = np.zeros(layout.n_actors, np.int64)
        self._last = np.zeros(layout.n_actors, np.int64)
        self._ends = np.zeros(layout.n_actors, np.int64)
        self._shift = np.zeros(layout.n_actors, np.int64)

    @property
    def sampleable(self) -> int:
        """Transitions that may be drawn."""
        return int(self._ends[-1])

    @property
    def sampleable_of(self) -> Int:
        """The same per shard."""
        return self._last - self._first

    @property
    def rejected_of(self) -> Int:
        """Per shard, cells looked at so far at which no transition begins."""
        return self._looked * self._ring.lanes - self._last

    def advance(self, low: Int, head: Int) -> Moved:
        """Move the window to rows [low, head) of every shard; neither may fall.

        The caller has pinned ``n_frames - 1`` rows below ``low`` too, which hold the history of
        the first rows.
        """
        left = [piece for shard in range(len(low)) for piece in self._leave(shard, int(low[shard]))]
        self._low[:] = low
        start = np.maximum(self._known, low)
        stop = np.maximum(head - self._n_step, start)
        entered = [
            self._enter(shards, rows, head)
            for shards, rows in _blocks(start, stop, max(1, _AT_ONCE_CELLS // self._ring.lanes))
        ]
        self._looked += stop - start
        self._known[:] = stop
        counts = self._last - self._first
        np.cumsum(counts, out=self._ends)
        np.subtract(self._first, self._ends - counts, out=self._shift)
        return Moved(np.concatenate(entered) if entered else np.empty(0, np.int64), left)

    def positions(self, drawn: Int) -> Int:
        """Cells of positions in [0, ``sampleable``), which are counted shard by shard. int64 [B].

        ``drawn`` is used up.
        """
        if len(self._ends) == 1:
            drawn += self._shift
            drawn &= self._queue_size - 1
        else:
            shard = self._ends.searchsorted(drawn, side="right")
            drawn += self._shift.take(shard)
            drawn &= self._queue_size - 1
            drawn += self._starts.take(shard)
        return self._queues.take(drawn)

    def _leave(self, shard: int, low: int) -> list[tuple[int, int]]:
        """Take rows before ``low`` out of the queue; the ranges of cells they were in."""
        ring, left = self._ring, []
        base = shard * self._per_shard
        gone = min(low, int(self._known[shard]))
        for start, stop in pieces(int(self._low[shard]), gone, ring.rows):
            slots = slice(shard * ring.rows + start, shard * ring.rows + stop)
            self._first[shard] += self._in_row[slots].sum()
            left.append((base + start * ring.lanes, base + stop * ring.lanes))
        return left

    def _enter(self, of: Int, rows: Int, head: Int) -> Int:
        """Look at whole rows, ``rows[i]`` of shard ``of[i]``; the cells where transitions begin."""
        columns, ring, frames = self._columns, self._ring, self._n_frames
        times = of * ring.rows + rows % ring.rows
        self.version[times] = columns.flat_version.take(times)
        self.stamp[times] = columns.flat_stamp.take(times)
        shard, row = of.repeat(ring.lanes), rows.repeat(ring.lanes)
        lane = np.tile(np.arange(ring.lanes, dtype=np.int64), len(rows))
        found = n_step(
            columns, ring, shard, row, lane, self._n_step, self._gamma,
            np.maximum(row - (frames - 1), 0), head.take(shard), n_frames=frames,
        )  # fmt: skip
        at, after = cells(ring, shard, row, lane), cells(ring, shard, found.next_rows, lane)
        self.action[at] = columns.flat_action.take(at)
        self.returns[at] = found.returns
        self.discount[at] = found.discount
        self.row[at] = row
        self.frames[at, :frames] = self._stack(shard, row, lane, at)
        next_stack = self._stack(shard, found.next_rows, lane, after)
        self.frames[at, frames:] = next_stack[:, self._overlap :]
        self._in_row[times] = found.valid.reshape(-1, ring.lanes).sum(1)
        entered = at[found.valid]
        queue = shard[found.valid]
        came = np.bincount(queue, minlength=ring.shards)
        # the n-th of those that came to a queue lies n places behind its last
        place = np.arange(len(entered)) - (came.cumsum() - came).take(queue)
        place += self._last.take(queue)
        place &= self._queue_size - 1
        self._queues[self._starts.take(queue) + place] = entered
        self._last += came
        return entered

    def _stack(self, shards: Int, rows: Int, lanes: Int, at: Int) -> Int:
        if self._n_frames == 1:
            return at[:, None]
        stacked = stack_rows(rows, self._columns.flat_age.take(at), self._n_frames)
        return cells(self._ring, shards[:, None], stacked, lanes[:, None])


def overlap(n_frames: int, n_step: int) -> int:
    """Frames that state and next state have in common: the last of one, the first of the other.

    With one-step returns the next stack is the stack moved on by one frame (also before the
    episode is as long as the stack, where the first observation repeats in both), so
    n_frames + 1 observations make a transition instead of 2 * n_frames. With longer returns an
    episode's end may lie in between, and nothing is assumed.
    """
    return n_frames - 1 if n_step == 1 else 0


def _blocks(start: Int, stop: Int, at_once: int) -> Iterator[tuple[Int, Int]]:
    """Shard and number of rows [start, stop) of every shard in order, so many at once."""
    spans = [
        (shard, first, min(first + at_once, end))
        for shard, (begin, end) in enumerate(zip(start.tolist(), stop.tolist(), strict=True))
        for first in range(begin, end, at_once)
    ]
    while spans:
        count, rows = 0, 0
        while count < len(spans) and (count == 0 or rows < at_once):
            rows += spans[count][2] - spans[count][1]
            count += 1
        block, spans = spans[:count], spans[count:]
        shards = np.repeat([s for s, _, _ in block], [end - first for _, first, end in block])
        yield shards, np.concatenate([np.arange(first, end) for _, first, end in block])
