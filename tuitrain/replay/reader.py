"""The reading side: pin a window of every shard once, then draw batches from it with no lock held.

What a window covers does not change while it is pinned, however far the writers get, so batches
are a pure function of the window and the random generator (and, if prioritized, of the priorities).
Rows newer or older than the window are never looked at. Knows nothing of tensors or updates.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any, NamedTuple, NoReturn

import numpy as np
import numpy.typing as npt

from tuitrain.replay.auditor import Auditor
from tuitrain.replay.index import Moved, TransitionIndex, overlap
from tuitrain.replay.layout import HEADER_HEAD, HEADER_TAIL, Columns, ReplayLayout, check_header
from tuitrain.replay.lock import RWLock
from tuitrain.replay.priority import Priorities, PriorityRule
from tuitrain.replay.seen import tell_draws, tell_lock
from tuitrain.replay.window import Int, pieces


class NothingToSample(Exception):
    """No transition in the window may be drawn; the text says why."""


@dataclass(frozen=True)
class Window:
    """Rows [low, head) of every shard, pinned; made by ``ReplayReader.pin``.

    Attributes:
        low: int64 [A], first row that may be drawn.
        head: int64 [A], first row that is not readable.
        sampleable: transitions that may be drawn, all shards together.
    """

    low: Int
    head: Int
    sampleable: int


@dataclass
class Batch:
    """B transitions in arrays that the reader overwrites when the same slot is used again.

    Attributes:
        state: [B, n_frames, *shape] in the spec's dtype. With one-step returns it is a view that
            overlaps ``next_state``: the frames that both have are copied once.
        next_state: the same of the bootstrap rows.
        action: int64 [B].
        returns: float32 [B], n-step return.
        discount: float32 [B], factor of the bootstrap value, 0 where the episode terminated.
        weights: float32 [B], importance weights; None if draws are uniform.
        cells: int64 [B], where the rows lie: ``window.cells``.
        rows: int64 [B], absolute rows.
        legal: bool [B, n_actions], what could be done in the states; None unless masked.
        next_legal: the same of the bootstrap rows.
    """

    state: npt.NDArray[Any]
    next_state: npt.NDArray[Any]
    action: Int
    returns: npt.NDArray[np.float32]
    discount: npt.NDArray[np.float32]
    weights: npt.NDArray[np.float32] | None
    cells: Int
    rows: Int
    legal: npt.NDArray[np.bool_] | None = None
    next_legal: npt.NDArray[np.bool_] | None = None


class Origin(NamedTuple):
    """Where sampled transitions come from, int64 [B] each: see ``ReplayReader.origin``."""

    shard: Int
    lane: Int
    version: Int
    stamp: Int


class DrawStats(NamedTuple):
    """Since the reader was made: transitions drawn; rows looked at where no transition begins."""

    draws: int
    rejects: int


class ReplayReader:
    """Samples one policy's replay. Made by ``PolicyReplay.reader``; one per process and index.

    Args:
        gamma: discount per step; the length of returns is the layout's ``n_step``.
        priority: draw in proportion to TD errors instead of uniformly.
        audit_share: share of the time that the audit may take; 0 is none.

    Attributes:
        auditor: looks at what has been drawn, while it is pinned; None without an audit.
    """

    def __init__(
        self,
        layout: ReplayLayout,
        columns: Columns,
        locks: Sequence[RWLock],
        index: int,
        gamma: float,
        priority: PriorityRule | None = None,
        audit_share: float = 0.0,
    ) -> None:
        if not 0 <= index < layout.n_readers:
            raise ValueError(f"reader {index}: the replay has {layout.n_readers} reader(s)")
        self._layout = layout
        self._columns = columns
        self._locks = tuple(locks)
        self._index = TransitionIndex(layout, columns, gamma)
        self._priorities = Priorities(priority, self._index.row) if priority else None
        self.auditor = (
            Auditor(layout, columns, self._index, audit_share) if audit_share > 0 else None
        )
        self._pins = columns.pins[:, index]
        self._slots: dict[tuple[int, int], tuple[npt.NDArray[Any], Batch]] = {}
        self._draws = 0
        self._low = np.zeros(layout.n_actors, np.int64)
        self._window: Window | None = None
        self._pinned_last: tuple[Window, int, Int] | None = None
        self._restoring: Mapping[str, Any] | None = None
        self.unpin()  # a predecessor that died may have left its pins

    def pin(self, min_stamp: int = 0) -> Window:
        """Pin what may be sampled now, until ``unpin`` (or the next ``pin``).

        A shard's window begins L + 1 rows (L = ``chunk_steps``) after the oldest row that could
        be kept, so the writer's next chunk, pending row included, touches none of it and need
        not wait; and so a window opened while the writers rest is the same whether or not they
        have reserved that chunk yet. The first rows of a window have their history before it.

        Args:
            min_stamp: rows with a smaller stamp are left out; must not fall from call to call.

        Raises:
            ReplayDamaged: a shard says what no writer can have written.
        """
        head, low = self._pin_all()
        if self._pinned_last is not None:
            last, stamp, pins = self._pinned_last
            if min_stamp == stamp and (head == last.head).all():
                self._pins[:] = pins  # nothing has come since, so nothing leaves either
                self._window = last
                return last
        history = self._layout.n_frames - 1
        np.copyto(low, low + history, where=low > 0)
        # Never back: what has left stays out, and a window is never before its own beginning.
        np.maximum(low, self._low, out=low)
        np.minimum(low, head, out=low)
        if min_stamp > 0:
            for shard in range(len(low)):
                low[shard] = self._first_with(shard, int(low[shard]), int(head[shard]), min_stamp)
            # What is left out may be overwritten. Were it pinned, a writer whose ring is full would
            # have to wait at nearly every chunk.
            np.maximum(low - history, self._pins, out=self._pins)
        self._low = low
        moved = self._index.advance(low, head)
        if self._priorities is not None:
            self._move_priorities(moved)
        self._window = Window(low, head, self._index.sampleable)
        self._pinned_last = self._window, min_stamp, self._pins.copy()
        return self._window

    def overwritten(self) -> int:
        """Rows of all shards that have gone, or are to go now, for newer ones."""
        return int(self._columns.header[:, HEADER_TAIL].sum())

    def unpin(self) -> None:
        """Let the writers overwrite again. Needs no lock: it can only permit."""
        self._pins[:] = -1
        self._window = None

    def sample(
        self,
        window: Window,
        batch_size: int,
        rng: np.random.Generator,
        *,
        batches: int = 1,
        beta: float = 1.0,
        slot: int = 0,
    ) -> Batch:
        """Draw transitions with replacement: uniformly, or in proportion to their priorities.

        Args:
            window: what ``pin`` returned last, still pinned.
            batch_size: transitions per batch.
            batches: batches drawn in one call, one after the other in the arrays.
            beta: exponent of the importance weights, if prioritized.
            slot: which set of output arrays to use; a batch stays as it is until its slot (with
                its size) is used again.

        Raises:
            NothingToSample: no transition in the window may be drawn.
            ValueError: the window is not pinned any more.
        """
        if window is not self._window:
            raise ValueError("the window is not pinned any more: sample from what pin() returned")
        if not window.sampleable:
            raise NothingToSample(self.why_nothing(window))
        index, size = self._index, batch_size * batches
        out, batch = self._slots.get((slot, size)) or self._allocate(slot, size)
        if self._priorities is None:
            batch.cells = index.positions(rng.integers(0, window.sampleable, size))
        else:
            batch.cells = self._priorities.draw(batch_size, batches, rng)
            batch.weights = self._priorities.weights(
                batch.cells, window.sampleable, beta, batch_size
            )
        drawn = batch.cells
        # Every index is in range by construction; with mode="raise" numpy buffers all of `out`.
        frames = index.frames.take(drawn, axis=0)
        self._columns.flat_observation.take(frames, axis=0, out=out, mode="clip")
        index.action.take(drawn, out=batch.action, mode="clip")
        index.returns.take(drawn, out=batch.returns, mode="clip")
        index.discount.take(drawn, out=batch.discount, mode="clip")
        index.row.take(drawn, out=batch.rows, mode="clip")
        legal = self._columns.flat_legal
        if legal is not None:
            batch.legal = legal.take(drawn, axis=0)
            batch.next_legal = legal.take(frames[:, -1], axis=0)  # the newest frame's own row
        self._draws += size
        return batch

    def write_priorities(self, cells: Int, rows: Int, td_error: npt.NDArray[Any]) -> None:
        """Tell the TD errors of transitions that have been learned from.

        Args:
            cells: int64 [B], ``Batch.cells``.
            rows: int64 [B], ``Batch.rows``: priorities of rows that are gone are dropped.
            td_error: float [B], of any sign.
        """
        if self._priorities is not None:
            self._priorities.write(cells, rows, td_error)

    def priorities(self) -> dict[str, Any] | None:
        """All priorities as plain values and arrays; None if draws are uniform."""
        return None if self._priorities is None else self._priorities.state()

    def restore_priorities(self, state: Mapping[str, Any]) -> None:
        """With the first ``pin``, rows that had a priority then get it back."""
        self._restoring = state

    def _move_priorities(self, moved: Moved) -> None:
        assert self._priorities is not None
        state, self._restoring = self._restoring, None
        if state is not None:
            self._priorities.greatest = state["greatest"]
        self._priorities.move(moved)
        if state is not None:
            self._priorities.restore(state)

    def origin(self, batch: Batch) -> Origin:
        """Shard, lane, weights version and stamp of a batch's rows, before the next ``pin``."""
        index, lanes = self._index, self._layout.lanes
        times = batch.cells // lanes
        return Origin(
            times // self._layout.ring_rows,
            batch.cells % lanes,
            index.version.take(times),
            index.stamp.take(times),
        )

    def tell(self, shard: Int, age: Int) -> None:
        """Show whoever looks on what of every shard may be drawn, and has been; see ``seen``.

        Args:
            shard: int64 [B], of each of the newest draws.
            age: int64 [B], transitions of all shards that had come after what was drawn.
        """
        told = self._columns.told
        if self._pinned_last is not None:
            told["low"], told["end"] = self._low, self._pinned_last[0].head
        told["sampleable"] = sampleable = self._index.sampleable_of
        told["rejects"] = self._index.rejected_of
        if self._priorities is not None:
            whole, greatest = self._priorities.of_shards(len(told))
            told["priority_mean"] = np.where(
                sampleable > 0, whole / np.maximum(sampleable, 1), np.nan
            )
            told["priority_max"] = np.where(sampleable > 0, greatest, np.nan)
        tell_draws(self._columns, shard, age)
        for place, lock in enumerate(self._locks):
            tell_lock(self._columns, place, "reader", lock)

    @property
    def sampleable(self) -> int:
        """Transitions that could be drawn when the window was pinned last."""
        return self._index.sampleable

    @property
    def stale_priorities(self) -> int:
        """Priorities that were dropped because their rows were gone."""
        return self._priorities.stale if self._priorities is not None else 0

    def stats(self) -> DrawStats:
        """Draws and rejects so far."""
        return DrawStats(self._draws, int(self._index.rejected_of.sum()))

    def _pin_all(self) -> tuple[Int, Int]:
        """Heads, and the first rows that stay readable, which are pinned."""
        rows = self._layout.ring_rows
        spare = self._layout.chunk_steps + 1 - rows
        header, pins = self._columns.header, self._pins
        auditor = self.auditor if self.auditor is not None and self.auditor.due() else None
        head = np.empty(len(self._locks), np.int64)
        for shard, lock in enumerate(self._locks):
            with lock.read():
                tail, end = int(header[shard, HEADER_TAIL]), int(header[shard, HEADER_HEAD])
                check_header(shard, tail, end, rows)
                pins[shard] = max(tail, end + spare, 0)
                if auditor is not None:
                    auditor.take_in(shard)
            head[shard] = end
        return head, pins.copy()

    def _first_with(self, shard: int, low: int, head: int, stamp: int) -> int:
        """First row of [low, head) with at least this stamp: stamps never fall in a shard."""
        column = self._columns.stamp[shard]
        for start, stop in pieces(low, head, self._layout.ring_rows):
            older = int(column[start:stop].searchsorted(stamp))
            low += older
            if older < stop - start:
                break
        return low

    def _allocate(self, slot: int, size: int) -> tuple[npt.NDArray[Any], Batch]:
        frames = self._layout.n_frames
        common = overlap(frames, self._layout.n_step)
        shape = (size, 2 * frames - common, *self._layout.spec.observation_shape)
        out = np.zeros(shape, self._layout.spec.dtype)
        action, cells, rows = np.zeros((3, size), np.int64)
        returns, discount = np.zeros((2, size), np.float32)
        batch = Batch(
            out[:, :frames], out[:, frames - common :], action, returns, discount, None, cells, rows
        )
        self._slots[slot, size] = out, batch
        return out, batch

    def why_nothing(self, window: Window) -> str:
        """Why no transition of a window may be drawn, if none may."""
        who = f"replay of policy {self._layout.policy!r}"
        rows = int((window.head - window.low).sum())
        if not rows:
            return (
                f"{who}: the window is empty (no committed row, or all are older than the capacity)"
            )
        return (
            f"{who}: none of the {rows} rows in the window begins a transition of "
            f"{self._layout.n_step} step(s) whose next row is committed and is in the same episode"
        )

    def __reduce__(self) -> NoReturn:
        raise TypeError(
            "a ReplayReader cannot be pickled: attach the replay in the other process and call "
            "PolicyReplay.reader(index, gamma) there"
        )
