"""Is it learning? Judged from greedy evaluations alone, by a rule that is stated.

The rule: fit a line to the mean returns of the last 8 evaluations against environment steps, by
weighted least squares with weight 1/standard error² (equal weights where an error is unknown or
zero). Its slope has a 95 % interval from Student's t with n-2 degrees of freedom; the residual
variance is taken as at least what the evaluations' own errors explain (Birge's ratio, never below
1), so a few lucky points do not make a tight interval.

    fewer than 4 evaluations                 TOO EARLY
    interval contains 0                      FLAT
    slope above 0                            IMPROVING
    slope below 0                            FALLING

Training return and loss take no part: the first hides behind exploration, the second says nothing.

Every policy is judged by itself. Where there is room for one verdict only, it is that of the policy
which needs attention first, and is shown with that policy's name: FALLING before FLAT before
TOO EARLY before IMPROVING, of equals the policy that the run names first.
"""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from tuitrain.protocol import Verdict

MIN_EVALUATIONS = 4
MAX_EVALUATIONS = 8

_T_975 = {2: 4.303, 3: 3.182, 4: 2.776, 5: 2.571, 6: 2.447}
"""97.5 % quantiles of Student's t by degrees of freedom."""

_WORST_FIRST: tuple[Verdict, ...] = ("FALLING", "FLAT", "TOO EARLY", "IMPROVING", "n/a")


@dataclass(frozen=True)
class Evaluation:
    """One evaluation: greedy return at a number of environment steps.

    Attributes:
        ci95: half-width of the 95 % interval of `mean`; None if unknown.
    """

    steps: int
    mean: float
    ci95: float | None = None
    episodes: int = 0

    @classmethod
    def from_record(cls, record: Mapping[str, Any]) -> Evaluation | None:
        """Read an `eval` metrics record; None if its mean is missing or not finite."""
        mean, ci95 = record.get("return_mean"), record.get("return_ci95")
        if not isinstance(mean, int | float) or not math.isfinite(mean):
            return None
        if not isinstance(ci95, int | float) or not math.isfinite(ci95):
            ci95 = None
        return cls(int(record.get("steps", 0)), float(mean), ci95, int(record.get("episodes", 0)))


@dataclass(frozen=True)
class Judged:
    """A verdict with its evidence. The slope and its interval are in return per 1M steps."""

    verdict: Verdict
    reason: str
    slope_per_1m_steps: float | None = None
    slope_ci95: float | None = None


def judge(evaluations: Sequence[Evaluation]) -> Judged:
    """Apply the rule above to evaluations in the order they were made."""
    usable = [e for e in evaluations if math.isfinite(e.mean)]
    n = len(usable)
    if n < MIN_EVALUATIONS:
        return Judged("TOO EARLY", f"{n} of at least {MIN_EVALUATIONS} evaluations")
    last = usable[-MAX_EVALUATIONS:]
    fitted = _slope(last)
    if fitted is None:
        return Judged("TOO EARLY", "the evaluations were all made at the same step")
    slope, half = fitted[0] * 1e6, fitted[1] * 1e6
    over = f"over the last {len(last)} evaluations"
    text = f"slope {slope:+.3g} ± {half:.3g} per 1M steps {over}"
    if abs(slope) <= half:
        return Judged("FLAT", f"{text}: the interval contains 0", slope, half)
    return Judged("IMPROVING" if slope > 0 else "FALLING", text, slope, half)


def worst(verdicts: Mapping[str, Verdict]) -> str:
    """The policy whose verdict needs attention first; of equals the first in order."""
    return min(verdicts, key=lambda name: _WORST_FIRST.index(verdicts[name]))


def _slope(points: Sequence[Evaluation]) -> tuple[float, float] | None:
    """Slope per step and the half-width of its 95 % interval; None if steps do not differ."""
    errors = [e.ci95 / 1.96 if e.ci95 else 0.0 for e in points]
    known = all(error > 0 for error in errors)
    weights = [1 / error**2 for error in errors] if known else [1.0] * len(points)
    total = math.fsum(weights)
    x_mean = math.fsum(w * e.steps for w, e in zip(weights, points, strict=True)) / total
    y_mean = math.fsum(w * e.mean for w, e in zip(weights, points, strict=True)) / total
    sxx = math.fsum(w * (e.steps - x_mean) ** 2 for w, e in zip(weights, points, strict=True))
    if sxx <= 0:
        return None
    sxy = math.fsum(
        w * (e.steps - x_mean) * (e.mean - y_mean) for w, e in zip(weights, points, strict=True)
    )
    slope = sxy / sxx
    residual = math.fsum(
        w * (e.mean - y_mean - slope * (e.steps - x_mean)) ** 2
        for w, e in zip(weights, points, strict=True)
    )
    degrees = len(points) - 2
    scale = residual / degrees
    if known:
        scale = max(1.0, scale)
    return slope, _T_975[degrees] * math.sqrt(scale / sxx)
