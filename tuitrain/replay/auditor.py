"""What a reader does about audit entries: it looks again at draws of rows of which one is kept.

What was drawn is judged, in the arrays that are learned from; within a budget of time, so it is
the clock that decides how many draws are looked at, but never what is drawn. Knows nothing of who
wrote the entries.
"""

from __future__ import annotations

import time
from collections.abc import Callable
from dataclasses import dataclass
from typing import Protocol

import numpy as np
import numpy.typing as npt

from tuitrain.replay import audit_trail
from tuitrain.replay.audit import Budget, Entry, checksum, crossing, stack_hash
from tuitrain.replay.index import TransitionIndex, overlap
from tuitrain.replay.layout import HEADER_AUDITS, Columns, ReplayLayout
from tuitrain.replay.window import Int

KEPT = 4096
"""Entries that a reader holds, the newest ones: many more than it has the time to look at."""
TAKEN = 64
"""Entries taken up together at most, so that there is time left to look at draws."""
ENOUGH_S = 0.001
"""Time for taking these up, or for a look and about a dozen rows."""
TOLD = 3
"""Rows with which something is wrong that are told of in words, of each kind; all are counted."""


class Drawn(Protocol):
    """What is judged of ``reader.Batch``."""

    state: npt.NDArray[np.generic]
    action: Int
    discount: npt.NDArray[np.float32]
    cells: Int
    rows: Int
    legal: npt.NDArray[np.bool_] | None


@dataclass
class Counts:
    """Draws of audited rows that were looked at, and what was wrong with how many of them.

    Attributes:
        audited: all that were looked at.
        stack_disagreements: frames were learned from that are not those that were acted on.
        cross_episode_samples: something of them belongs to another episode.
        checksum_failures: the row is not as it was committed, so nothing else was judged.
    """

    audited: int = 0
    stack_disagreements: int = 0
    cross_episode_samples: int = 0
    checksum_failures: int = 0


class Auditor:
    """Of one reader.

    Args:
        layout, columns, index: the reader's.
        share: at most so much of the time is spent.
        clock: seconds.

    Attributes:
        counts: since it was made.
    """

    def __init__(
        self,
        layout: ReplayLayout,
        columns: Columns,
        index: TransitionIndex,
        share: float,
        clock: Callable[[], float] = time.perf_counter,
    ) -> None:
        self.counts = Counts()
        self._layout = layout
        self._columns = columns
        self._index = index
        self._clock = clock
        self._budget = Budget(share, clock(), ENOUGH_S)
        self._known = [0] * layout.n_actors
        self._at_once = max(1, TAKEN // layout.n_actors)
        self._entries: dict[int, Entry] = {}  # by cell, oldest first
        self._marked = np.zeros(layout.n_actors * layout.ring_rows * layout.lanes, np.bool_)
        self._told: dict[str, list[tuple[int, int, int]]] = {}  # by count, which rows
        self._untold: list[str] = []

    def take_in(self, shard: int) -> None:
        """Take up the newest entries. Call it under the shard's read lock, when it is due."""
        count = int(self._columns.header[shard, HEADER_AUDITS])
        if count == self._known[shard]:
            return
        began = self._clock()
        known = max(self._known[shard], count - self._at_once)
        for entry in audit_trail.between(self._columns, shard, known, count):
            if not 0 <= entry.lane < self._layout.lanes:
                continue  # damaged: it is of no row
            cell = self._cell(shard, entry)
            self._entries.pop(cell, None)  # the new one is the youngest
            self._entries[cell] = entry
            self._marked[cell] = True
            if len(self._entries) > KEPT:
                self._forget(next(iter(self._entries)))
        self._known[shard] = count
        self._budget.spend(self._clock() - began)

    def due(self) -> bool:
        """Whether there is time to take up entries and to look at draws."""
        return self._budget.allows(self._clock())

    def look(self, batch: Drawn) -> None:
        """Judge what was drawn of audited rows, until the time is spent; they must be pinned."""
        began = self._clock()
        for place in np.flatnonzero(self._marked.take(batch.cells)).tolist():
            cell = int(batch.cells[place])
            entry = self._entries.get(cell)
            if entry is None:
                continue  # drawn twice, and forgotten the first time
            if entry.row == batch.rows[place]:
                self._judge(cell, entry, batch, place)
            else:
                self._forget(cell)  # another row has taken its place
            now = self._clock()
            self._budget.spend(now - began)
            began = now
            if not self._budget.allows(now):
                return
        self._budget.spend(self._clock() - began)

    def record(self) -> dict[str, float]:
        """Fields of a `learner` record."""
        return {**vars(self.counts), "audit_share": self._budget.spent_share(self._clock())}

    def news(self) -> list[str]:
        """What is wrong and has not been told yet, in words; a few of each kind in all."""
        told, self._untold = self._untold, []
        return told

    def _judge(self, cell: int, entry: Entry, batch: Drawn, place: int) -> None:
        layout, columns, counts = self._layout, self._columns, self.counts
        shard = cell // (layout.ring_rows * layout.lanes)
        counts.audited += 1
        found = checksum(columns, shard, entry, layout.n_frames)
        if found != entry.checksum or not self._as_stored(cell, batch, place):
            counts.checksum_failures += 1
            self._tell(
                "checksum_failures", shard, entry,
                f"its checksum is {found:08x}, its writer's {entry.checksum:08x}, and action "
                f"{batch.action[place]} was drawn, {columns.flat_action[cell]} is stored: the row "
                "was overwritten while it was read, or shared memory is damaged",
            )  # fmt: skip
            return
        learned = stack_hash(batch.state[place])
        if learned != entry.stack:
            counts.stack_disagreements += 1
            self._tell(
                "stack_disagreements", shard, entry,
                f"the actor acted on frames with the hash {entry.stack:08x}, but frames with "
                f"{learned:08x} are learned from, though the rows are whole",
            )  # fmt: skip
        frames = self._index.frames[cell].tolist()
        wrong = crossing(
            columns, shard, entry, layout.n_step, frames[: layout.n_frames],
            frames[layout.n_frames - overlap(layout.n_frames, layout.n_step) :],
            float(batch.discount[place]),
        )  # fmt: skip
        if wrong:
            counts.cross_episode_samples += 1
            self._tell("cross_episode_samples", shard, entry, f"it is sampled, but {wrong}")

    def _as_stored(self, cell: int, batch: Drawn, place: int) -> bool:
        """Whether action and legal actions that are learned from are those of the row."""
        legal, drawn = self._columns.flat_legal, batch.legal
        same = legal is None or drawn is None or np.array_equal(legal[cell], drawn[place])
        return bool(same and batch.action[place] == self._columns.flat_action[cell])

    def _tell(self, count: str, shard: int, entry: Entry, what: str) -> None:
        told, row = self._told.setdefault(count, []), (shard, entry.row, entry.lane)
        if len(told) < TOLD and row not in told:
            told.append(row)
            self._untold.append(
                f"audit of policy {self._layout.policy!r}, shard {shard}, row {entry.row}, lane "
                f"{entry.lane}: {what}"
            )

    def _cell(self, shard: int, entry: Entry) -> int:
        rows, lanes = self._layout.ring_rows, self._layout.lanes
        return (shard * rows + entry.row % rows) * lanes + entry.lane

    def _forget(self, cell: int) -> None:
        del self._entries[cell]
        self._marked[cell] = False
