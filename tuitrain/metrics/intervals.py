"""Confidence intervals of small samples, without a statistics library on the hot import path."""

from __future__ import annotations

import math
from collections.abc import Sequence
from statistics import NormalDist, fmean, stdev


def t_quantile(probability: float, degrees: int) -> float:
    """Quantile of Student's t by the Cornish-Fisher expansion (Abramowitz & Stegun 26.7.5).

    Within 1 % of the exact value for 4 degrees of freedom and more at the 97.5 % level.

    Args:
        probability: between 0 and 1.
        degrees: degrees of freedom, at least 1.
    """
    z = NormalDist().inv_cdf(probability)
    v = float(degrees)
    return (
        z
        + (z**3 + z) / (4 * v)
        + (5 * z**5 + 16 * z**3 + 3 * z) / (96 * v**2)
        + (3 * z**7 + 19 * z**5 + 17 * z**3 - 15 * z) / (384 * v**3)
    )


def mean_ci95(values: Sequence[float]) -> tuple[float, float]:
    """Mean and half-width of its 95 % confidence interval; NaN half-width below two values."""
    if not values:
        return math.nan, math.nan
    mean = fmean(values)
    if len(values) < 2:
        return mean, math.nan
    return mean, t_quantile(0.975, len(values) - 1) * stdev(values) / math.sqrt(len(values))
