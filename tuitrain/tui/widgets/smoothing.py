"""The mean of a noisy curve, the same however closely it is looked at.

The rule: the x range of the whole curve is cut into equal stretches, 128 to 256 of them, and the
line joins the means of what was measured in each. A stretch is a power of two wide and begins at a
multiple of that, so a growing curve moves the stretches only when its range has doubled. Zooming
comes later and changes nothing: it shows the same line closer. A value that is not finite breaks
the line where it was. Pure.
"""

from __future__ import annotations

import math

import numpy as np

from tuitrain.tui.curve import CurveView, Floats

STRETCHES = 256


def ordered(curve: CurveView, axis: str) -> tuple[Floats, CurveView]:
    """A curve by one of its x columns: float64[n], finite and sorted, and the curve in that order.

    Points that have no place on this axis are left out.
    """
    x = curve.x(axis)
    keep = np.isfinite(x)
    if keep.all() and (x.size < 2 or bool((x[1:] >= x[:-1]).all())):
        return x, curve
    places = np.flatnonzero(keep)
    places = places[np.argsort(x[places], kind="stable")]
    columns = (curve.steps, curve.updates, curve.wall_s, curve.value, curve.low, curve.high,
               curve.count, curve.broken)  # fmt: skip
    return x[places], CurveView(*(column[places] for column in columns))


def stretch_width(low: float, high: float) -> float:
    """How wide a stretch of the range is: the smallest power of two that makes 256 or fewer."""
    half = high * 0.5 - low * 0.5
    if not half > 0:
        return 1.0
    power = math.ceil(math.log2(half) - math.log2(STRETCHES / 2))
    return 2.0 ** max(-1000, min(1000, power))


def smoothed(x: Floats, curve: CurveView) -> tuple[Floats, Floats]:
    """The means of the stretches, and between them what was not finite.

    Args:
        x: float64[n], finite and sorted.
        curve: Its n points.

    Returns:
        x and y, float64[m] each, x sorted. Of a stretch with one point it is that point.
    """
    if x.size == 0:
        return x, curve.value
    with np.errstate(all="ignore"):
        broken = curve.broken != 0  # NaN too
        good = np.isfinite(curve.value)
        stretch = np.floor(x / stretch_width(float(x[0]), float(x[-1])))[good]
        new = np.ones(stretch.size, dtype=bool)
        new[1:] = np.diff(stretch) != 0
        first = np.flatnonzero(new)
        if not first.size:
            return x[broken], curve.broken[broken]
        count = curve.count[good]
        total = np.add.reduceat(count, first)
        share = count / np.repeat(total, np.diff(np.append(first, count.size)))
        value = curve.value[good]
        means = np.add.reduceat(value * share, first)
        # rounding must not make a constant curve waver
        means = np.clip(means, np.minimum.reduceat(value, first), np.maximum.reduceat(value, first))
        places = np.add.reduceat(x[good] * share, first)
        if not broken.any():
            return places, means
        places = np.append(places, x[broken])
        order = np.argsort(places, kind="stable")
        return places[order], np.append(means, curve.broken[broken])[order]
