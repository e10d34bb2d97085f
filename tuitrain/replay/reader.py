"""The reading side: pin a window of every shard once, then draw batches from it with no lock held.

What a window covers does not change while it is pinned, however far the writers get, so batches
are a pure function of the window and the random generator. Rows newer or older than the window
are never looked at to decide, and nothing is copied before the draw is known to be valid. Knows
nothing of tensors or updates.
"""

from __future__ import annotations

from bisect import bisect_left
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, NamedTuple, NoReturn

import numpy as np
import numpy.typing as npt

from tuitrain.replay.layout import (
    ABSENT,
    BOUNDARY,
    HEADER_HEAD,
    HEADER_TAIL,
    Columns,
    ReplayLayout,
)
from tuitrain.replay.lock import RWLock
from tuitrain.replay.window import Int, NStep, Ring, gather_stack, n_step

_REDRAWS = 16
"""Rounds in which rejected draws are drawn again before the valid cells are listed."""
_LIST_CELLS = 1 << 16
"""Cells looked at together when they are listed, to bound the memory it takes."""


class NothingToSample(Exception):
    """No transition in the window is valid; the text says why."""


@dataclass
class Window:
    """Rows [low, head) of every shard, pinned; made by ``ReplayReader.pin``.

    Attributes:
        low: int64 [A], first readable row.
        head: int64 [A], first row that is not readable.
        ends: int64 [A], cells up to and including each shard, for the draw.
        lanes: lanes per row.
    """

    low: Int
    head: Int
    ends: Int
    lanes: int

    @property
    def cells_total(self) -> int:
        """Rows times lanes of all shards: what is drawn from before rejection."""
        return int(self.ends[-1])


@dataclass
class Batch:
    """B transitions in arrays that the reader overwrites when the same slot is used again.

    Attributes:
        state: [B, n_frames, *shape] in the spec's dtype.
        next_state: the same of the bootstrap rows.
        action: int64 [B].
        returns: float32 [B], n-step return.
        discount: float32 [B], factor of the bootstrap value, 0 where the episode terminated.
        shard: int64 [B].
        rows: int64 [B], absolute rows.
        lanes: int64 [B].
        version: int64 [B], weights version the row was acted with.
        stamp: int64 [B], policy-wide count of inserts when the row was made.
    """

    state: npt.NDArray[Any]
    next_state: npt.NDArray[Any]
    action: Int
    returns: npt.NDArray[np.float32]
    discount: npt.NDArray[np.float32]
    shard: Int
    rows: Int
    lanes: Int
    version: Int
    stamp: Int


class DrawStats(NamedTuple):
    """Cells drawn since the reader was made, and those of them that were not valid."""

    draws: int
    rejects: int


class ReplayReader:
    """Samples one policy's replay. Made by ``PolicyReplay.reader``; one per process and index."""

    def __init__(
        self, layout: ReplayLayout, columns: Columns, locks: Sequence[RWLock], index: int
    ) -> None:
        if not 0 <= index < layout.n_readers:
            raise ValueError(f"reader {index}: the replay has {layout.n_readers} reader(s)")
        self._layout = layout
        self._columns = columns
        self._locks = tuple(locks)
        self._ring = Ring(layout.ring_rows, layout.lanes, layout.n_actors)
        self._pins = columns.pins[:, index]
        self._batches: dict[tuple[int, int], Batch] = {}
        self._draws = 0
        self._rejects = 0
        self.unpin()  # a predecessor that died may have left its pins

    def pin(self, min_stamp: int = 0) -> Window:
        """Pin what may be sampled now, until ``unpin`` (or the next ``pin``).

        A shard's window begins L + 1 rows (L = ``chunk_steps``) after the oldest row that could
        be kept, so the writer's next chunk, pending row included, touches none of it and need
        not wait; and so a window opened while the writers rest is the same whether or not they
        have reserved that chunk yet.

        Args:
            min_stamp: rows with a smaller stamp are left out.
        """
        spare = self._layout.chunk_steps + 1 - self._ring.rows
        header, pins = self._columns.header, self._pins
        low = np.empty(len(self._locks), np.int64)
        head = np.empty(len(self._locks), np.int64)
        for shard, lock in enumerate(self._locks):
            with lock.read():
                tail, end = header[shard, HEADER_TAIL], header[shard, HEADER_HEAD]
                first = max(int(tail), int(end) + spare, 0)
                pins[shard] = first
            low[shard], head[shard] = first, end
        if min_stamp > 0:
            for shard in range(len(low)):
                low[shard] = self._first_with(shard, int(low[shard]), int(head[shard]), min_stamp)
            # What is left out may be overwritten. Were it pinned, a writer whose ring is full would
            # have to wait at nearly every chunk.
            pins[:] = low
        ends = np.cumsum((head - low) * self._ring.lanes)
        return Window(low, head, ends, self._ring.lanes)

    def unpin(self) -> None:
        """Let the writers overwrite again. Needs no lock: it can only permit."""
        self._pins[:] = -1

    def sample(
        self,
        window: Window,
        batch_size: int,
        rng: np.random.Generator,
        n_step: int,
        gamma: float,
        *,
        slot: int = 0,
    ) -> Batch:
        """Draw ``batch_size`` transitions uniformly, with replacement, from the valid ones.

        Cells are drawn uniformly and those that are not valid (see ``window.n_step``) drawn
        again; if hardly any cell is valid, the valid ones are listed and drawn from, which is
        the same distribution. The result depends on the window and ``rng`` alone.

        Args:
            window: what ``pin`` returned, still pinned.
            slot: which set of output arrays to use; a batch stays as it is until its slot (with
                its batch size) is used again.

        Raises:
            NothingToSample: no transition in the window is valid.
        """
        batch = self._batches.get((slot, batch_size))
        if batch is None:
            batch = self._batches[slot, batch_size] = self._allocate(batch_size)
        next_rows = self._draw(window, batch, rng, n_step, gamma)
        columns, ring, frames = self._columns, self._ring, self._layout.n_frames
        shard, rows, lanes = batch.shard, batch.rows, batch.lanes
        gather_stack(columns, ring, shard, rows, lanes, frames, batch.state)
        gather_stack(columns, ring, shard, next_rows, lanes, frames, batch.next_state)
        times = shard * ring.rows + rows % ring.rows
        batch.action[:] = columns.flat_action.take(times * ring.lanes + lanes)
        columns.flat_version.take(times, out=batch.version, mode="clip")
        columns.flat_stamp.take(times, out=batch.stamp, mode="clip")
        return batch

    def sampleable(self, window: Window) -> int:
        """Cells of the window that are no boundary and not absent: an upper estimate.

        It counts the newest ``n_step`` rows of every lane too, whose future may not be committed
        yet. Costs one pass over the flags (1 byte per cell).
        """
        total = window.cells_total
        for shard, (low, head) in enumerate(zip(window.low, window.head, strict=True)):
            for start, stop in pieces(int(low), int(head), self._ring.rows):
                flags = self._columns.flags[shard, start:stop]
                total -= int(np.count_nonzero(flags & (BOUNDARY | ABSENT)))
        return total

    def stats(self) -> DrawStats:
        """Draws and rejects so far."""
        return DrawStats(self._draws, self._rejects)

    def _draw(
        self, window: Window, batch: Batch, rng: np.random.Generator, n: int, gamma: float
    ) -> Int:
        total = window.cells_total
        if total == 0:
            raise NothingToSample(
                f"replay of policy {self._layout.policy!r}: the window is empty (no committed row, "
                "or all are older than the capacity)"
            )
        size = len(batch.rows)
        drawn = rng.integers(0, total, size)
        found = self._resolve(window, drawn, batch.shard, batch.rows, batch.lanes, n, gamma)
        self._draws += size
        batch.returns[:] = found.returns
        batch.discount[:] = found.discount
        next_rows = found.next_rows
        missing = np.flatnonzero(~found.valid)
        self._rejects += len(missing)
        for attempt in range(_REDRAWS + 1):
            if not len(missing):
                return next_rows
            if attempt < _REDRAWS:
                drawn = rng.integers(0, total, len(missing))
            else:
                valid = self._valid_cells(window, n, gamma)
                drawn = valid.take(rng.integers(0, len(valid), len(missing)))
            shard, rows, lanes = (np.empty(len(missing), np.int64) for _ in range(3))
            found = self._resolve(window, drawn, shard, rows, lanes, n, gamma)
            batch.shard[missing], batch.rows[missing], batch.lanes[missing] = shard, rows, lanes
            batch.returns[missing], batch.discount[missing] = found.returns, found.discount
            next_rows[missing] = found.next_rows
            self._draws += len(missing)
            missing = missing[~found.valid]
            self._rejects += len(missing)
        if len(missing):
            raise RuntimeError("a listed cell was not valid: the window is not pinned any more")
        return next_rows

    def _resolve(
        self, window: Window, drawn: Int, shard: Int, rows: Int, lanes: Int, n: int, gamma: float
    ) -> NStep:
        """Fill ``shard``, ``rows``, ``lanes`` for cell numbers of the window; look at each."""
        shard[:] = window.ends.searchsorted(drawn, side="right")
        low, head = window.low.take(shard), window.head.take(shard)
        # Counted from the shard's end, which needs no table of beginnings.
        np.floor_divide(drawn - window.ends.take(shard), window.lanes, out=rows)
        rows += head
        np.remainder(drawn, window.lanes, out=lanes)
        frames = self._layout.n_frames
        return n_step(
            self._columns, self._ring, shard, rows, lanes, n, gamma, low, head, n_frames=frames
        )

    def _valid_cells(self, window: Window, n: int, gamma: float) -> Int:
        """Numbers of all valid cells of the window."""
        parts = []
        for start in range(0, window.cells_total, _LIST_CELLS):
            drawn = np.arange(start, min(start + _LIST_CELLS, window.cells_total), dtype=np.int64)
            shard, rows, lanes = (np.empty(len(drawn), np.int64) for _ in range(3))
            found = self._resolve(window, drawn, shard, rows, lanes, n, gamma)
            parts.append(drawn[found.valid])
        valid = np.concatenate(parts)
        if not len(valid):
            raise NothingToSample(
                f"replay of policy {self._layout.policy!r}: none of the {window.cells_total} rows "
                f"in the window begins a transition of {n} step(s) whose next row is committed "
                f"({window.cells_total - self.sampleable(window)} are boundary rows)"
            )
        return valid

    def _first_with(self, shard: int, low: int, head: int, stamp: int) -> int:
        column, rows = self._columns.stamp[shard], self._ring.rows
        if low >= head or column[low % rows] >= stamp:
            return low
        return low + bisect_left(range(low, head), stamp, key=lambda row: int(column[row % rows]))

    def _allocate(self, size: int) -> Batch:
        shape = (size, self._layout.n_frames, *self._layout.spec.observation_shape)
        dtype = self._layout.spec.dtype
        state, next_state = np.zeros(shape, dtype), np.zeros(shape, dtype)
        action, shard, rows, lanes, version, stamp = np.zeros((6, size), np.int64)
        returns, discount = np.zeros((2, size), np.float32)
        return Batch(
            state, next_state, action, returns, discount, shard, rows, lanes, version, stamp
        )

    def __reduce__(self) -> NoReturn:
        raise TypeError(
            "a ReplayReader cannot be pickled: attach the replay in the other process and call "
            "PolicyReplay.reader(index) there"
        )


def pieces(low: int, high: int, rows: int) -> list[tuple[int, int]]:
    """Slots of rows [low, high) as at most two contiguous ranges, in row order."""
    if low >= high:
        return []
    start, count = low % rows, high - low
    first = min(count, rows - start)
    pieces = [(start, start + first)]
    if count > first:
        pieces.append((0, count - first))
    return pieces
