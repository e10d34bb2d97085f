"""The replay of one policy: its shards, who writes them, who reads them, what they hold.

This is the room's front door; it only assembles. Writers are in ``shard``, sampling in ``reader``
(what may be drawn in ``index``, what is drawn more often in ``priority``, what is looked at again
in ``auditor``), the arithmetic of rows in ``window``.
"""

from __future__ import annotations

import hashlib
from collections.abc import Sequence
from typing import NoReturn, Protocol

import numpy as np

from tuitrain.parts import the
from tuitrain.replay.first_seen import Table, together
from tuitrain.replay.layout import HEADER_HEAD, HEADER_TAIL, Columns, ReplayLayout
from tuitrain.replay.lock import RWLock
from tuitrain.replay.priority import PriorityRule
from tuitrain.replay.reader import Batch, DrawStats, NothingToSample, Origin, ReplayReader, Window
from tuitrain.replay.seen import look
from tuitrain.replay.shard import ShardWriter
from tuitrain.replay.window import pieces

__all__ = [
    "Batch",
    "DrawStats",
    "NothingToSample",
    "Origin",
    "PolicyReplay",
    "PriorityRule",
    "ReplayReader",
    "Window",
]


class _Memory(Protocol):
    @property
    def buf(self) -> memoryview: ...


class PolicyReplay:
    """All shards of one policy, in one segment.

    Args:
        layout: sizes; its hash is the segment's.
        segment: attached memory of at least ``layout.nbytes`` bytes.
        locks: one per shard, in actor order.

    Attributes:
        layout: as given.
        columns: views of the shared columns.
    """

    def __init__(self, layout: ReplayLayout, segment: _Memory, locks: Sequence[RWLock]) -> None:
        if len(locks) != layout.n_actors:
            raise ValueError(f"{layout.n_actors} shards need as many locks, not {len(locks)}")
        self.layout = layout
        self.columns: Columns = layout.columns(segment.buf)
        self._locks = tuple(locks)

    def initialise(self) -> None:
        """Make every shard empty. Called once by the creator, before anybody attaches."""
        self.columns.header[:] = 0
        self.columns.pins[:] = -1
        self.columns.told.view(np.float64)[:] = np.nan
        self.columns.first_seen[:] = 0

    def writer(self, actor: int) -> ShardWriter:
        """The writer of an actor's shard; there must be no other one alive."""
        agents = self.layout.spec.agents
        return the(ShardWriter)(self.columns, actor, self._locks[actor], agents=agents)

    def reader(
        self,
        reader_index: int,
        gamma: float,
        priority: PriorityRule | None = None,
        audit_share: float = 0.0,
    ) -> ReplayReader:
        """A sampler with its own pin slot; there must be no other one alive with this index.

        Args:
            gamma: discount per step of the returns it gives.
            priority: how to draw by priority; None is uniformly.
            audit_share: share of the time in which rows that are drawn are looked at again.
        """
        return the(ReplayReader)(
            self.layout, self.columns, self._locks, reader_index, gamma, priority, audit_share
        )

    def release(self, reader_index: int) -> None:
        """Drop the pins of a reader that is dead and reaped, so that writers go on."""
        self.columns.pins[:, reader_index] = -1

    def look(self) -> list[dict[str, float | None]]:
        """What is known of every shard; see ``seen.look``."""
        return look(self.columns)

    def first_seen(self) -> Table:
        """What all episodes have begun with, as far as the writers have told."""
        return together(list(self.columns.first_seen))

    def column_digest(self) -> str:
        """SHA-256 (hex) of every shard's tail, head and rows [tail, head), column by column.

        Two runs that wrote the same rows have the same digest, whatever lies in slots that are
        not readable. Call it while no writer is at work.
        """
        digest = hashlib.sha256()
        for shard, lock in enumerate(self._locks):
            with lock.read():
                tail = int(self.columns.header[shard, HEADER_TAIL])
                head = int(self.columns.header[shard, HEADER_HEAD])
            digest.update(np.array([tail, head], np.int64).tobytes())
            for _, column in self.columns.data():
                for start, stop in pieces(tail, head, self.layout.ring_rows):
                    digest.update(column[shard, start:stop].data)
        return digest.hexdigest()

    def __reduce__(self) -> NoReturn:
        raise TypeError(
            f"the replay of policy {self.layout.policy!r} cannot be pickled (the copy would be a "
            "new, empty buffer): attach its segment in the other process and build "
            "PolicyReplay(layout, segment, locks) there"
        )
