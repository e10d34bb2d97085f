"""Published weights in shared memory: one writer, many readers, nobody waits for a slow one.

A policy's weights are one byte vector described by a ``WeightsLayout``. The store keeps
``n_readers + 2`` slots: at most one per reader can be pinned, one is current, so one is always
free for the publisher. The publisher fills a free slot without the lock and then moves one aligned
64-bit word (version and slot together) under the write lock; a reader pins the current slot under
the read lock, copies without it and unpins. Whoever dies, at whatever point, leaves the others a
whole published version; whoever stops while it copies costs its slot. Only one that stops in the
few instructions under the lock is waited for, until the lock's deadline, which names it.

This module is numpy only: it must not import torch (the supervisor creates the store) and knows
neither networks nor processes; the lock and the memory are handed in.
"""

from __future__ import annotations

import time
from contextlib import AbstractContextManager
from typing import Any, NamedTuple, Protocol

import numpy as np
from numpy.typing import NDArray

from tuitrain.learning.weights_layout import Bytes, WeightsLayout

Int64 = NDArray[np.int64]
HISTORY_VERSIONS = 16_384
"""How many past versions the store remembers the update count of (256 KiB per policy)."""

_SLOT_ALIGN_BYTES = 64
_SLOT_BITS = 16
_NO_SLOT = (1 << _SLOT_BITS) - 1
_NO_PIN = -1
# int64 words at the start of the payload
_CURRENT, _BASE, _HEADER_WORDS = 0, 1, 8
# int64 words of a slot's own record
_UPDATES, _STEPS, _TIME_NS, _SLOT_WORDS = 0, 1, 2, 4


class ReadWriteLock(Protocol):
    """What the store needs of a lock: many readers or one writer."""

    def read(self) -> AbstractContextManager[Any]:
        """Hold the lock shared."""

    def write(self) -> AbstractContextManager[Any]:
        """Hold the lock exclusively."""


class SharedBytes(Protocol):
    """What the store needs of a segment: its payload."""

    @property
    def buf(self) -> memoryview:
        """The payload, writable."""


class NothingPublishedError(RuntimeError):
    """A reader asked for weights before the first publication."""


class Published(NamedTuple):
    """Which weights a reader got.

    Attributes:
        version: publication number; grows by one, never reused.
        updates: gradient updates the weights have seen.
        steps: environment steps known to the publisher at that moment.
        time_s: Unix time of the publication.
    """

    version: int
    updates: int
    steps: int
    time_s: float


class WeightStore:
    """The slots of one policy's weights, over memory and a lock that others own.

    One process publishes at a time; each reader index belongs to one process at a time. A dead
    or stalled reader costs one slot, which is provided for, and blocks nobody.

    Args:
        layout: what a vector holds.
        segment: memory of at least ``segment_bytes(layout, n_readers)`` bytes.
        lock: guards the current word and the pins, never a copy.
        n_readers: readers there can be at the same time.

    Raises:
        ValueError: the memory is too small or there are too many readers.
    """

    def __init__(
        self, layout: WeightsLayout, segment: SharedBytes, lock: ReadWriteLock, n_readers: int
    ) -> None:
        self.layout = layout
        self.n_readers = n_readers
        self.n_slots = n_readers + 2
        if not 0 < self.n_slots < _NO_SLOT:
            raise ValueError(f"{n_readers} readers of the weights; at most {_NO_SLOT - 3}")
        needed = self.segment_bytes(layout, n_readers)
        if len(segment.buf) < needed:
            raise ValueError(f"weights need {needed} bytes, the segment has {len(segment.buf)}")
        self._lock = lock
        words = np.frombuffer(segment.buf, np.int64, self._words(n_readers))
        self._header: Int64 = words[:_HEADER_WORDS]
        at = _HEADER_WORDS
        self._pins: Int64 = words[at : at + n_readers]
        at += n_readers
        self._records: Int64 = words[at : at + self.n_slots * _SLOT_WORDS].reshape(-1, _SLOT_WORDS)
        at += self.n_slots * _SLOT_WORDS
        self._history: Int64 = words[at : at + 2 * HISTORY_VERSIONS].reshape(2, -1)
        data_at, stride = self._data_offset(n_readers), self._stride(layout)
        self._slots: list[Bytes] = [
            np.frombuffer(segment.buf, np.uint8, layout.nbytes, data_at + slot * stride)
            for slot in range(self.n_slots)
        ]

    @staticmethod
    def _words(n_readers: int) -> int:
        return _HEADER_WORDS + n_readers + (n_readers + 2) * _SLOT_WORDS + 2 * HISTORY_VERSIONS

    @classmethod
    def _data_offset(cls, n_readers: int) -> int:
        return -(-cls._words(n_readers) * 8 // _SLOT_ALIGN_BYTES) * _SLOT_ALIGN_BYTES

    @staticmethod
    def _stride(layout: WeightsLayout) -> int:
        return -(-layout.nbytes // _SLOT_ALIGN_BYTES) * _SLOT_ALIGN_BYTES

    @classmethod
    def segment_bytes(cls, layout: WeightsLayout, n_readers: int) -> int:
        """Bytes of memory that a store for so many readers needs."""
        return cls._data_offset(n_readers) + (n_readers + 2) * cls._stride(layout)

    def initialise(self, base_version: int = 0) -> None:
        """Make the memory an empty store; its creator calls this once, before anyone attaches.

        Args:
            base_version: last version that was ever given out (a resumed run goes on from it);
                the first publication gets ``base_version + 1``.
        """
        self._pins[:] = _NO_PIN
        self._records[:] = 0
        self._history[:] = -1
        self._header[_BASE] = base_version
        self._header[_CURRENT] = (base_version << _SLOT_BITS) | _NO_SLOT

    def version(self) -> int:
        """The newest published version, read without the lock (one aligned 64-bit load)."""
        return int(self._header[_CURRENT]) >> _SLOT_BITS

    def published(self) -> bool:
        """Whether there is anything to pull."""
        return int(self._header[_CURRENT]) & _NO_SLOT != _NO_SLOT

    def publish(self, flat: Bytes, updates: int, steps: int = 0) -> int:
        """Make a copy of the weights the newest version. Never waits for a reader.

        Args:
            flat: uint8[layout.nbytes], taken between two gradient updates.
            updates: gradient updates these weights have seen.
            steps: environment steps known now.

        Returns:
            The new version, one more than the last.

        Raises:
            ValueError: `flat` has another length or dtype.
        """
        self._check(flat)
        slot = self._free_slot()
        version = self.version() + 1
        time_ns = time.time_ns()
        self._fill(slot, flat)
        self._record(slot, version, updates, steps, time_ns)
        with self._lock.write():
            self._move(slot, version)
        return version

    def pull(self, reader: int, out: Bytes) -> Published:
        """Copy the newest weights.

        Args:
            reader: this reader's own index, below ``n_readers``.
            out: uint8[layout.nbytes], filled.

        Raises:
            NothingPublishedError: nothing has been published yet.
            ValueError: `out` has another length or dtype.
            IndexError: there is no such reader.
        """
        self._check(out)
        if not 0 <= reader < self.n_readers:
            raise IndexError(f"weights reader {reader} of {self.n_readers}")
        with self._lock.read():
            word = int(self._header[_CURRENT])
            slot = word & _NO_SLOT
            if slot == _NO_SLOT:
                raise NothingPublishedError("no weights have been published yet")
            self._pins[reader] = slot
        try:
            np.copyto(out, self._slots[slot])
            updates, steps, time_ns, _ = self._records[slot].tolist()
        finally:
            self._pins[reader] = _NO_PIN  # without the lock: it can only make a slot free
        return Published(word >> _SLOT_BITS, updates, steps, time_ns / 1e9)

    def newest(self) -> Bytes:
        """What was published last, read-only and where it lies; all zeros before.

        For the publishing process alone: its own next but one publication may overwrite it, and
        to anybody else that can happen at any time.
        """
        slot = int(self._header[_CURRENT]) & _NO_SLOT
        flat = np.zeros(self.layout.nbytes, np.uint8) if slot == _NO_SLOT else self._slots[slot][:]
        flat.flags.writeable = False
        return flat

    def updates_at_version(self, versions: Int64) -> Int64:
        """Update counts of the versions that rows were acted with, for policy lag in updates.

        Args:
            versions: int64[B].

        Returns:
            int64[B]; -1 for a version of before this store, older than ``HISTORY_VERSIONS``, or
            forgotten.
        """
        return self._remembered(0, versions)

    def forget_after(self, version: int) -> None:
        """Later versions are of weights that died with their learner: no update count is theirs.

        For the publishing process, before it publishes anything itself.
        """
        newest = self.version()
        lost = np.arange(max(version + 1, newest + 1 - HISTORY_VERSIONS), newest + 1)
        self._history[:, lost % HISTORY_VERSIONS] = -1

    def time_ns_at_version(self, versions: Int64) -> Int64:
        """Unix times of publication in ns, int64[B], for policy lag in seconds; -1 if unknown."""
        return self._remembered(1, versions)

    def history(self) -> tuple[int, Int64]:
        """First version remembered, and the update counts of it and all that came after it."""
        first = self._oldest()
        versions = np.arange(first, self.version() + 1)
        return first, self._history[0].take(versions % HISTORY_VERSIONS)

    def restore_history(self, first: int, updates: Int64) -> None:
        """Remember the update counts of versions before this store; by the publisher.

        What they were published at is not known any more.
        """
        last = first + len(updates)
        kept = updates[max(0, len(updates) - HISTORY_VERSIONS) :]
        self._history[0, np.arange(last - len(kept), last) % HISTORY_VERSIONS] = kept
        self._header[_BASE] = last - len(kept) - 1

    def close(self) -> None:
        """Let go of the memory, so that its segment can be closed."""
        empty = np.empty(0, np.int64)
        self._header = self._pins = empty
        self._records = self._history = empty.reshape(0, 1)
        self._slots = []

    # ---- the steps of a publication, in order; a death between any two is harmless ------------

    def _free_slot(self) -> int:
        # Unlocked on purpose. Only the publisher moves `current`, and readers pin nothing but the
        # current slot, under the lock that moving it needs; so no other slot gets a new pin now.
        taken = {int(self._header[_CURRENT]) & _NO_SLOT, *self._pins.tolist()}
        return next(slot for slot in range(self.n_slots) if slot not in taken)

    def _fill(self, slot: int, flat: Bytes) -> None:
        np.copyto(self._slots[slot], flat)

    def _record(self, slot: int, version: int, updates: int, steps: int, time_ns: int) -> None:
        self._records[slot] = (updates, steps, time_ns, version)
        self._history[:, version % HISTORY_VERSIONS] = (updates, time_ns)

    def _move(self, slot: int, version: int) -> None:
        # One aligned word is one store of the machine: it is made or it is not, and whoever reads
        # it without the lock (``version``) gets the old one or the new one.
        self._header[_CURRENT] = (version << _SLOT_BITS) | slot

    # ---- helpers -------------------------------------------------------------------------------

    def _remembered(self, row: int, versions: Int64) -> Int64:
        # The publisher may be at work meanwhile. What it publishes after this may be missing below,
        newest = self.version()
        found = self._history[row].take(versions % HISTORY_VERSIONS)
        # and the place of the version it is at now was that of the one HISTORY_VERSIONS before.
        result: Int64 = np.where((versions >= self._oldest()) & (versions <= newest), found, -1)
        return result

    def _oldest(self) -> int:
        return max(int(self._header[_BASE]), self.version() + 1 - HISTORY_VERSIONS) + 1

    def _check(self, flat: Bytes) -> None:
        if flat.dtype != np.uint8 or flat.shape != (self.layout.nbytes,):
            raise ValueError(
                f"weights are uint8[{self.layout.nbytes}], got {flat.dtype}{list(flat.shape)}"
            )

    def __reduce__(self) -> Any:
        raise TypeError(
            "a WeightStore cannot be pickled: it is a view of shared memory; "
            "attach to the segment by name in the other process and build the store on it"
        )
