"""Student's t: distribution function and quantiles, for fractional degrees of freedom too.

Numpy has neither, and Welch's test needs both; `metrics/intervals.py` has a quick expansion that is
off for the few degrees of freedom that a handful of seeds leaves. Pure, standard library only.
"""

from __future__ import annotations

import math

_TINY = 1e-300
_PRECISION = 1e-15
_MAX_TERMS = 1_000


def t_cdf(t: float, degrees: float) -> float:
    """P(T <= t) for Student's t with `degrees` > 0 degrees of freedom (DLMF 8.17, A&S 26.7.1).

    Raises:
        ValueError: degrees are not positive.
    """
    if not degrees > 0:
        raise ValueError(f"degrees of freedom must be above 0, got {degrees}")
    if math.isnan(t):
        return math.nan
    # Of the two complementary forms the one whose argument is small keeps its digits.
    if t * t < degrees:
        centre = 0.5 * beta_regularised(t * t / (degrees + t * t), 0.5, degrees / 2)
        return 0.5 + math.copysign(centre, t)
    tail = 0.5 * beta_regularised(degrees / (degrees + t * t), degrees / 2, 0.5)
    return tail if t < 0 else 1.0 - tail


def t_quantile(probability: float, degrees: float) -> float:
    """The t with ``t_cdf(t, degrees) == probability``, to about 12 digits, by bisection.

    Raises:
        ValueError: the probability is not strictly between 0 and 1, or degrees are not positive.
    """
    if not 0 < probability < 1:
        raise ValueError(f"a quantile needs a probability between 0 and 1, got {probability}")
    if probability < 0.5:
        return -t_quantile(1.0 - probability, degrees)
    tail = 1.0 - probability
    low, high = 0.0, 1.0
    while t_cdf(-high, degrees) > tail:
        low, high = high, 2.0 * high
    while high - low > 1e-13 * max(1.0, high):
        middle = 0.5 * (low + high)
        if not low < middle < high:
            break
        if t_cdf(-middle, degrees) > tail:
            low = middle
        else:
            high = middle
    return 0.5 * (low + high)


def beta_regularised(x: float, a: float, b: float) -> float:
    """The regularised incomplete beta function I_x(a, b), for a, b > 0 and x in [0, 1].

    By its continued fraction (DLMF 8.17.22) with Lentz's method, on the side where it converges
    quickly.
    """
    if x <= 0.0:
        return 0.0
    if x >= 1.0:
        return 1.0
    if x > (a + 1.0) / (a + b + 2.0):
        return 1.0 - beta_regularised(1.0 - x, b, a)
    log_front = (
        math.lgamma(a + b) - math.lgamma(a) - math.lgamma(b) + a * math.log(x) + b * math.log1p(-x)
    )
    c = 1.0
    d = 1.0 / _away_from_zero(1.0 - (a + b) * x / (a + 1.0))
    fraction = d
    for m in range(1, _MAX_TERMS):
        even = m * (b - m) * x / ((a + 2 * m - 1) * (a + 2 * m))
        odd = -(a + m) * (a + b + m) * x / ((a + 2 * m) * (a + 2 * m + 1))
        for term in (even, odd):
            d = 1.0 / _away_from_zero(1.0 + term * d)
            c = _away_from_zero(1.0 + term / c)
            fraction *= d * c
        if abs(d * c - 1.0) < _PRECISION:
            break
    return math.exp(log_front) * fraction / a


def _away_from_zero(value: float) -> float:
    return value if abs(value) > _TINY else _TINY
