"""Axes of a chart: ranges that are never empty, round ticks, and labels that tell them apart.

Values may be as large or as small as a float can be; nothing here overflows. Pure.
"""

from __future__ import annotations

import itertools
import math
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from tuitrain.tui.text import count

Floats = NDArray[np.float64]

LIMIT = 8e307
"""Larger values are drawn as this one, so that differences stay finite."""


@dataclass(frozen=True)
class Axis:
    """The range shown and how its ticks are written."""

    low: float
    high: float

    def place(self, values: Floats) -> Floats:
        """Position in [0, 1]; halves avoid overflow of the difference."""
        span = self.high * 0.5 - self.low * 0.5
        return (values * 0.5 - self.low * 0.5) / span


def span_of(values: Sequence[Floats], pad: float = 0.0) -> Axis | None:
    """The range of all finite values, never empty; None when nothing is finite."""
    finite = [v[np.isfinite(v)] for v in values]
    finite = [v for v in finite if v.size]
    if not finite:
        return None
    low = max(-LIMIT, min(float(v.min()) for v in finite))
    high = min(LIMIT, max(float(v.max()) for v in finite))
    room = (high * 0.5 - low * 0.5) * 2 * pad
    if not low + (high * 0.5 - low * 0.5) > low:  # constant, or closer than a float can resolve
        room = max(abs(low) * 0.1, 1e-300) if low else 1.0
    low, high = max(-LIMIT, low - room), min(LIMIT, high + room)
    if not (high * 0.5 - low * 0.5) > 0:
        low, high = low - 1.0, high + 1.0
    return Axis(low, high)


def nice_ticks(low: float, high: float, most: int) -> list[float]:
    """At most ``most`` round numbers (1, 2 or 5 times a power of ten) in [low, high]."""
    if most < 1:
        return []
    span = high - low
    if not (math.isfinite(span) and span > 0):
        return [low]
    rough = span / most
    if rough < 1e-307:
        return [low]
    power = 10.0 ** math.floor(math.log10(rough))
    for factor in (1.0, 2.0, 5.0, 10.0, 20.0):
        step = factor * power
        first, last = math.ceil(low / step - 1e-9), math.floor(high / step + 1e-9)
        if last - first + 1 <= most:
            return [i * step for i in range(first, last + 1)]
    return [low]


_TIME_STEPS = (
    1, 2, 5, 10, 15, 30, 60, 120, 300, 600, 900, 1800, 3600, 7200, 10_800, 21_600, 43_200, 86_400,
    172_800, 604_800,
)  # fmt: skip


def time_ticks(low: float, high: float, most: int) -> list[float]:
    """Like `nice_ticks` for seconds: steps of 1, 2, 5, 10, 15, 30 s, min, h, then days."""
    if most < 1:
        return []
    for step in _TIME_STEPS:
        first, last = math.ceil(low / step - 1e-9), math.floor(high / step + 1e-9)
        if 1 <= last - first + 1 <= most:
            return [float(i * step) for i in range(first, last + 1)]
    return [days * 86_400 for days in nice_ticks(low / 86_400, high / 86_400, most)]


def time_label(seconds: float) -> str:
    """0, 30s, 5m, 1h30m, 2d."""
    if abs(seconds) < 1 or abs(seconds) > 1e10:
        return "0" if abs(seconds) < 1e-9 else f"{seconds:.2g}s"
    minus, whole = ("-" if seconds < 0 else ""), round(abs(seconds))
    days, hours, minutes, rest = (
        whole // 86_400, whole // 3600 % 24, whole // 60 % 60, whole % 60,
    )  # fmt: skip
    parts = ((days, "d"), (hours, "h"), (minutes, "m"), (rest, "s"))
    return minus + "".join(f"{n}{unit}" for n, unit in parts if n)


def tick_labels(ticks: Sequence[float]) -> list[str]:
    """Labels that tell neighbouring ticks apart, as short as that allows."""
    if not ticks:
        return []
    largest = max(abs(t) for t in ticks)
    step = min((b - a for a, b in itertools.pairwise(ticks)), default=largest) or 1.0
    if largest < 1e4 and step >= 1e-4:
        digits = max(0, -math.floor(math.log10(step) + 1e-9)) if step > 0 else 0
        return [f"{t:.{digits}f}" if t else "0" for t in ticks]
    if largest < 1e15 and step >= 1:
        labels = [count(t) for t in ticks]
        if len(set(labels)) == len(labels):
            return labels
    for digits in (1, 2, 3, 4, 6, 9):
        labels = [f"{t:.{digits}g}".replace("e-0", "e-").replace("e+0", "e") for t in ticks]
        if len(set(labels)) == len(labels):
            return labels
    return [f"{t:g}" for t in ticks]


def power_of_ten(exponent: float) -> float:
    """10 to the exponent, within what a float can hold."""
    return float(10.0 ** min(308.0, max(-320.0, exponent)))


def short_label(value: float) -> str:
    """A tick's value in a few characters."""
    text = count(value) if 1e4 <= value < 1e15 else f"{value:.3g}"
    return text.replace("e-0", "e-").replace("e+", "e")


def log_ticks(low: float, high: float, most: int) -> list[float]:
    """Ticks for an axis that holds log10 of the values: decades, or round values in between."""
    if most < 1:
        return []
    first, last = math.ceil(low - 1e-9), math.floor(high + 1e-9)
    decades = last - first + 1
    if decades >= 2:
        step = max(1, math.ceil(decades / most))
        return [float(d) for d in range(first, last + 1, step)]
    values = nice_ticks(power_of_ten(low), power_of_ten(high), most)
    return [math.log10(v) for v in values if v > 0]
