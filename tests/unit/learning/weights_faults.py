"""Weight stores with one fault each, which the checks of the protocol must notice."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

import numpy as np

from tuitrain.learning.weights import Published, WeightStore
from tuitrain.learning.weights_layout import Bytes


class CurrentMovedFirst(WeightStore):
    """Readers are sent to the slot before it is filled."""

    def publish(self, flat: Bytes, updates: int, steps: int = 0) -> int:
        """As the real one's."""
        slot, version = self._free_slot(), self.version() + 1
        with self._lock.write():
            self._move(slot, version)
        self._fill(slot, flat)
        self._record(slot, version, updates, steps, 1)
        return version


class FactsAfterwards(WeightStore):
    """The update count follows the weights."""

    def publish(self, flat: Bytes, updates: int, steps: int = 0) -> int:
        """As the real one's."""
        slot, version = self._free_slot(), self.version() + 1
        self._fill(slot, flat)
        with self._lock.write():
            self._move(slot, version)
        self._record(slot, version, updates, steps, 1)
        return version


class PinsIgnored(WeightStore):
    """A slot is used again while a reader copies it."""

    def _free_slot(self) -> int:
        return (int(self._header[0]) + 1 & 0xFFFF) % self.n_slots


class CurrentOverwritten(WeightStore):
    """The slot of the newest version is filled with the next one."""

    def _free_slot(self) -> int:
        taken = set(self._pins.tolist())
        return next(slot for slot in range(self.n_slots) if slot not in taken)


class PinnedTooLate(WeightStore):
    """The current slot is looked up under the lock, but pinned after it."""

    def pull(self, reader: int, out: Bytes) -> Published:
        """As the real one's."""
        with self._lock.read():
            word = int(self._header[0])
        self._pins[reader] = word & 0xFFFF
        try:
            np.copyto(out, self._slots[word & 0xFFFF])
            updates, steps, time_ns, _ = self._records[word & 0xFFFF].tolist()
        finally:
            self._pins[reader] = -1
        return Published(word >> 16, updates, steps, time_ns / 1e9)


class PinnedWithoutLock(WeightStore):
    """The current slot is looked up and pinned without any lock."""

    def pull(self, reader: int, out: Bytes) -> Published:
        """As the real one's."""
        lock, self._lock = self._lock, _NoLock()
        try:
            return super().pull(reader, out)
        finally:
            self._lock = lock


class NeverUnpinned(WeightStore):
    """A reader keeps its pin."""

    def pull(self, reader: int, out: Bytes) -> Published:
        """As the real one's."""
        published = super().pull(reader, out)
        self._pins[reader] = int(self._header[0]) & 0xFFFF
        return published


class VersionIsUpdateCount(WeightStore):
    """Versions are numbered by updates."""

    def publish(self, flat: Bytes, updates: int, steps: int = 0) -> int:
        """As the real one's."""
        slot = self._free_slot()
        self._fill(slot, flat)
        self._record(slot, updates, updates, steps, 1)
        with self._lock.write():
            self._move(slot, updates)
        return updates


class VersionFromMemory(WeightStore):
    """A publisher counts for itself, from 0 again when it is a successor."""

    _own = 0

    def publish(self, flat: Bytes, updates: int, steps: int = 0) -> int:
        """As the real one's."""
        self._own += 1
        slot = self._free_slot()
        self._fill(slot, flat)
        self._record(slot, self._own, updates, steps, 1)
        with self._lock.write():
            self._move(slot, self._own)
        return self._own


class WordInHalves(WeightStore):
    """Version and slot are moved by two stores."""

    def _move(self, slot: int, version: int) -> None:
        halves = self._header.view(np.uint32)
        word = version << 16 | slot
        halves[0] = word & 0xFFFFFFFF
        halves[1] = word >> 32


class HistoryForgotten(WeightStore):
    """Update counts of past versions are not kept."""

    def _record(self, slot: int, version: int, updates: int, steps: int, time_ns: int) -> None:
        self._records[slot] = (updates, steps, time_ns, version)


class HistoryLookedUpAtOnce(WeightStore):
    """What may be looked up is settled before the look; the publisher may overtake it."""

    def _remembered(self, row: int, versions: Any) -> Any:
        newest, size = self.version(), self._history.shape[1]
        oldest = max(int(self._header[1]), newest + 1 - size) + 1
        found = self._history[row].take(versions % size)
        return np.where((versions >= oldest) & (versions <= newest), found, -1)


class HistoryLookedUpTooLate(WeightStore):
    """What may be looked up is settled after the look: it may have been published meanwhile."""

    def _remembered(self, row: int, versions: Any) -> Any:
        found = self._history[row].take(versions % self._history.shape[1])
        newest = self.version()
        oldest = max(int(self._header[1]), newest + 1 - self._history.shape[1]) + 1
        return np.where((versions >= oldest) & (versions <= newest), found, -1)


class _NoLock:
    @contextmanager
    def read(self) -> Iterator[None]:
        yield

    write = read
