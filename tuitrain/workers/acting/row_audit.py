"""The actor's side of the live audit: now and then it notes what it acted on in one lane of a row.

Which row is settled by a count, never by a random stream; whether there is one in a chunk, by the
time that this has taken so far. So rows are the same with an audit and without. What is noted goes
with the row's commit; ``replay/auditor.py`` looks at it when the row is drawn.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Mapping

import numpy as np
from numpy.typing import NDArray

from tuitrain.metrics.phases import Phases
from tuitrain.replay.audit import Budget, Entry, checksum, stack_hash
from tuitrain.workers.acting.policy_lanes import ALL, PolicyLanes

_GOLDEN = 0.6180339887498949
"""Multiples of it, without their whole parts, lie evenly in [0, 1) however many there are."""


class RowAudit:
    """At most one lane of one row of one policy in a chunk.

    Args:
        parts: an actor's.
        n_frames: frames stacked for one network input.
        ahead: actions are chosen a row ahead (``AheadLanes``): not of a chunk's first row, but of
            the pending one after it.
        share: at most so much of the time is spent; 0 is no audit.
        clock: seconds.

    Attributes:
        k: of the audited row among those of the chunk; -1 if there is none.
        count: chunks so far in which there was one.
    """

    def __init__(
        self,
        parts: Mapping[str, PolicyLanes],
        n_frames: int,
        ahead: bool,
        share: float,
        clock: Callable[[], float] = time.perf_counter,
    ) -> None:
        self.k = -1
        self._parts = list(parts.items())
        self._n_frames = n_frames
        self._ahead = ahead
        self._clock = clock
        self._budget = Budget(share, clock())
        self.count = 0
        self._name, self._part = self._parts[0]
        self._lane = 0

    def share(self) -> float:
        """Share of the time that has been spent."""
        return self._budget.spent_share(self._clock())

    def begin(self, rows: int) -> None:
        """A chunk of so many rows begins."""
        if self.k >= 0 or not self._budget.allows(self._clock()):
            return
        turn, place = divmod(self.count, len(self._parts))
        self.count += 1
        self._name, self._part = self._parts[place]
        lanes = self._part.writer.ring.lanes
        row, self._lane = divmod(int(turn * _GOLDEN % 1 * rows * lanes), lanes)
        self.k = row + self._ahead

    def watch(self, policy: str, lanes: slice | NDArray[np.int64] = ALL) -> None:
        """These lanes of a policy are about to act in row ``k``."""
        if policy == self._name:
            self._part.watch(self._lane, lanes)

    def note(self, rows: int, phases: Phases) -> None:
        """A chunk of so many rows is settled: note the audited one, to be seen with them."""
        if self.k < 0:
            return
        if self.k >= rows:  # it is of the next chunk
            self.k -= rows
            return
        phase = phases.enter("audit")
        began = self._clock()
        part, seen = self._part, self._part.policy.watched
        part.policy.watched = None
        if seen is not None:  # else the agent had no turn
            row = part.row(self.k)
            writer = part.writer
            entry = Entry(row, self._lane, part.history(row, self._lane), stack_hash(seen), 0)
            value = checksum(writer.columns, writer.shard, entry, self._n_frames)
            writer.trail.put(entry._replace(checksum=value))
        self.k = -1
        self._budget.spend(self._clock() - began)
        phases.enter(phase)
