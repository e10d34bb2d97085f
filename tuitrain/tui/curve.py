"""One curve of a run, bounded in memory however long the run.

A curve that is full draws neighbouring points together: of every stretch it keeps the mean, the
lowest and the highest value, how many there were and the first that was not finite. So spikes
survive, and a mean over any part of the curve is the mean of what was measured. Pure.
"""

from __future__ import annotations

import math
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

Floats = NDArray[np.float64]

CURVE_POINTS = 2048
_TAIL = 64
"""Newest points that are kept single until they are drawn together."""
_STEPS, _UPDATES, _WALL, _VALUE, _LOW, _HIGH, _COUNT, _BROKEN = range(8)


@dataclass(frozen=True)
class CurveView:
    """A curve as it was at one moment: float64[n] each, one entry per point or stretch of points.

    Attributes:
        steps, updates, wall_s: Where the newest of them was: environment steps, updates, seconds.
        value: Their mean, without what is not finite; if nothing is, the first.
        low, high: The lowest and the highest of them.
        count: How many they are.
        broken: The first that was not finite; 0 where all were.
    """

    steps: Floats
    updates: Floats
    wall_s: Floats
    value: Floats
    low: Floats
    high: Floats
    count: Floats
    broken: Floats

    def x(self, axis: str) -> Floats:
        """The x column called `steps`, `updates` or `wall_s`."""
        return {"steps": self.steps, "updates": self.updates}.get(axis, self.wall_s)

    @property
    def newest(self) -> float | None:
        """The newest value; None where there is none."""
        return float(self.value[-1]) if self.value.size else None


EMPTY = CurveView(*(np.zeros(0) for _ in range(8)))


class Curve:
    """Points in the order they came, in at most ``capacity`` stretches of nearly equal count.

    Full, it draws every two stretches together, and from then on twice as many new points.
    Views taken before stay as they were: what would change in them is changed in a copy.
    """

    def __init__(self, capacity: int = CURVE_POINTS) -> None:
        if capacity < 16:
            raise ValueError(f"a curve needs room for at least 16 points, not {capacity}")
        self._data = np.empty((8, capacity))
        self._n = 0
        self._stride = 1
        self._tail_room = min(_TAIL, capacity // 4)
        self._full = (capacity - self._tail_room) // 2 * 2
        self._tail_start = self._tail_count = 0
        self._viewed = False

    def __len__(self) -> int:
        return self._n

    def append(self, steps: float, updates: float, wall_s: float, value: float) -> None:
        """Add one point; any value may be NaN or infinite."""
        broken = 0.0 if math.isfinite(value) else value
        self._data[:, self._n] = (steps, updates, wall_s, value, value, value, 1.0, broken)
        self._n += 1
        self._tail_count += 1
        tail, whole = self._n - self._tail_start, self._tail_count >= self._stride
        if tail > 1 and (whole or tail >= self._tail_room):
            self._merge(self._tail_start, tail)
        if whole and self._n >= self._full:
            self._merge(0, 2)
            self._stride *= 2
        if whole:
            self._tail_start, self._tail_count = self._n, 0

    def view(self) -> CurveView:
        """All there is, without a copy."""
        self._viewed = True
        return CurveView(*self._data[:, : self._n])

    def drop_after(self, steps: float, updates: float) -> None:
        """Forget the points of more steps, or of as many and more updates.

        Of more updates at fewer steps, where a learner alone went back, points stay, but not on an
        axis of updates: there they would lie among those of the updates made in their place.
        """
        at, made = self._data[: _UPDATES + 1, : self._n]
        lost = made > updates
        keep = ~((at > steps) | ((at == steps) & lost))
        if lost.any() or not keep.all():
            kept = self._data[:, : self._n][:, keep]
            kept[_UPDATES, lost[keep]] = math.nan
            self._own()
            self._n = kept.shape[1]
            self._data[:, : self._n] = kept
            self._tail_start, self._tail_count = self._n, 0

    def _merge(self, start: int, stretch: int) -> None:
        """Draw every ``stretch`` entries from ``start`` on together; a rest stays as it is."""
        end = start + (self._n - start) // stretch * stretch
        parts = self._data[:, start:end].reshape(8, -1, stretch)
        value = parts[_VALUE]
        good = np.isfinite(value)
        some = good.any(axis=1)
        share = np.where(good, parts[_COUNT], 0.0)
        share /= np.where(some, share.sum(axis=1), 1.0)[:, None]  # first, so that nothing overflows
        broken = parts[_BROKEN]
        first = (broken != 0).argmax(axis=1)
        rows = np.arange(len(first))
        merged = parts[:, :, -1].copy()
        mean = (np.where(good, value, 0.0) * share).sum(axis=1)
        low = np.where(good, parts[_LOW], np.inf).min(axis=1)
        high = np.where(good, parts[_HIGH], -np.inf).max(axis=1)
        mean = np.clip(mean, low, high)  # rounding must not make a constant curve waver
        merged[_VALUE] = np.where(some, mean, value[:, 0])
        merged[_LOW] = np.where(some, low, value[:, 0])
        merged[_HIGH] = np.where(some, high, value[:, 0])
        merged[_COUNT] = parts[_COUNT].sum(axis=1)
        merged[_BROKEN] = broken[rows, first]
        rest = self._data[:, end : self._n].copy()
        self._own()
        middle = start + merged.shape[1]
        self._data[:, start:middle] = merged
        self._n = middle + rest.shape[1]
        self._data[:, middle : self._n] = rest

    def _own(self) -> None:
        """Leave what views were taken of to them, before it is changed."""
        if self._viewed:
            fresh = np.empty_like(self._data)
            fresh[:, : self._n] = self._data[:, : self._n]
            self._data = fresh
            self._viewed = False
