"""Is it learning? Judged from greedy evaluations alone, by a rule that is stated.

The window is the newest quarter of a policy's evaluations, at least 8 and at most 32 of them. Fit
a line to their mean returns against environment steps, by weighted least squares with weight
1/standard error² (equal weights where an error is unknown or zero). Its slope has a 95 % interval
from Student's t with n-2 degrees of freedom; the residual variance is taken as at least what the
evaluations' own errors explain (Birge's ratio, never below 1), so a few lucky points do not make a
tight interval.

The best is the highest mean of 4 evaluations in a row: one lucky evaluation is no measure. An
evaluation that came later is clearly under it if their 95 % intervals do not meet and it lacks more
than a tenth of what lies between the lowest evaluation and the best.

    fewer than 4 evaluations                                                     TOO EARLY
    the slope's interval lies below 0                                            FALLING
    the last 4, or more than half of the window, are clearly under the best      BELOW BEST
    the slope's interval lies above 0                                            IMPROVING
    it has risen, and at most a quarter of the window, the newest not among it,
    is clearly under the best                                                    FLAT AT BEST
    fewer than 8 evaluations                                                     TOO EARLY
    else                                                                         FLAT

It has risen if the lowest evaluation lies under the best by more than twice its interval. So a
policy that has learned nothing is never called good for staying where it is.

The first verdict stands at once, another one when two evaluations in a row give it: one unlucky
evaluation changes nothing. Where evaluations are held against the best, an interval is at least
what their differences say: every time other weights play, which differ by more than their episodes
tell. By normal noise the mean step from one evaluation to the next is 1.13 standard deviations.

Training return and loss take no part: the first hides behind exploration, the second says nothing.

Every policy is judged by itself. Where there is room for one verdict only, it is that of the policy
which needs attention first, and is shown with that policy's name: FALLING before BELOW BEST before
FLAT before TOO EARLY before IMPROVING before FLAT AT BEST, of equals the policy that the run names
first.
"""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from itertools import pairwise
from statistics import fmean, stdev
from typing import Any

from tuitrain.metrics.rewind import is_number
from tuitrain.protocol import Verdict

_LARGEST = 1e60
"""Of a return, up or down: squares of larger ones, and of what they differ by, are no numbers."""
MIN_EVALUATIONS = 4
"""So many for a verdict, and in a row for the best and for falling below it."""
MIN_WINDOW = 8
"""Of a window; fewer can show that something changes, but not that nothing does."""
MAX_WINDOW = 32
LOST_SHARE = 0.1
"""Of what was gained: less than this is not worth a word."""
STILL_AT_BEST = 0.25
"""Of the window may be clearly under the best while the rest is at it."""
TRAINED_UPDATES = 500
"""With fewer a greedy policy may well sit in some corner, where one by chance would not stay."""
MOST_UNSETTLED = 8
"""Evaluations in a row that may each say something else before the newest counts alone."""

UNLIKE = 3.0
"""Times their own errors: so far evaluations of weights that play alike do not spread."""

_T_975 = (
    4.303, 3.182, 2.776, 2.571, 2.447, 2.365, 2.306, 2.262, 2.228, 2.201, 2.179, 2.160, 2.145,
    2.131, 2.120, 2.110, 2.101, 2.093, 2.086, 2.080, 2.074, 2.069, 2.064, 2.060, 2.056, 2.052,
    2.048, 2.045, 2.042,
)  # fmt: skip
"""97.5 % quantiles of Student's t from 2 degrees of freedom on."""

_WORST_FIRST: tuple[Verdict, ...] = (
    "FALLING", "BELOW BEST", "FLAT", "TOO EARLY", "IMPROVING", "FLAT AT BEST", "n/a",
)  # fmt: skip


@dataclass(frozen=True)
class Evaluation:
    """One evaluation: greedy return at a number of environment steps.

    Attributes:
        ci95: half-width of the 95 % interval of `mean`; None if unknown.
        updates: of the weights that played.
    """

    steps: int
    mean: float
    ci95: float | None = None
    episodes: int = 0
    updates: int = 0

    @classmethod
    def from_record(cls, record: Mapping[str, Any]) -> Evaluation | None:
        """Read an `eval` metrics record; None if its mean is missing, not finite, or too large.

        An interval that nothing can be weighted by counts as unknown.
        """
        mean, ci95 = record.get("return_mean"), record.get("return_ci95")
        if not is_number(mean) or abs(mean) > _LARGEST:
            return None
        steps, episodes, updates = (
            int(value) if is_number(value := record.get(name)) and abs(value) < 2**63 else 0
            for name in ("steps", "episodes", "updates")
        )
        known = is_number(ci95) and (ci95 == 0 or 1 / _LARGEST < ci95 < _LARGEST)
        return cls(steps, float(mean), ci95 if known else None, episodes, updates)


@dataclass(frozen=True)
class Judged:
    """A verdict with its evidence. The slope and its interval are in return per 1M steps.

    Attributes:
        window: how many evaluations it was judged by.
        lowest, highest: of their means.
        unlike: they differ by far more than their own errors tell: by what the weights do.
        newest_alone: what the newest evaluation would make it, if that is another verdict.
        under_best: the last 4, or more than half of the window, are clearly under the best. A slope
            alone may be below 0 by chance: of a hundred windows some are.
    """

    verdict: Verdict
    reason: str
    slope_per_1m_steps: float | None = None
    slope_ci95: float | None = None
    under_best: bool = False
    window: int = 0
    lowest: float | None = None
    highest: float | None = None
    unlike: bool = False
    newest_alone: Verdict | None = None


def judge(evaluations: Sequence[Evaluation]) -> Judged:
    """Apply the rule above to evaluations in the order they were made."""
    usable = [e for e in evaluations if math.isfinite(e.mean)]
    if len(usable) < MIN_EVALUATIONS:
        return Judged("TOO EARLY", f"{len(usable)} of at least {MIN_EVALUATIONS} evaluations")
    judged = _settled(usable)
    if judged.verdict == "FLAT" and len(usable) < MIN_WINDOW:
        reason = f"{judged.reason}, and there are fewer than {MIN_WINDOW}"
        return replace(judged, verdict="TOO EARLY", reason=reason)
    return judged


def level(evaluations: Sequence[Evaluation]) -> tuple[float, float]:
    """Mean of some evaluations, and its standard error: the larger of what their intervals and what
    their differences say."""
    n, means = len(evaluations), [e.mean for e in evaluations]
    own = math.sqrt(math.fsum(((e.ci95 or 0.0) / 1.96) ** 2 for e in evaluations)) / n
    spread = stdev(means) / math.sqrt(n) if n > 1 else 0.0
    return math.fsum(means) / n, max(own, spread)


def newest(evaluations: Sequence[Evaluation]) -> tuple[float, float] | None:
    """Mean of the last few evaluations, and the half-width of its 95 % interval; None where fewer
    were made of weights that have had `TRAINED_UPDATES`."""
    last = evaluations[-MIN_EVALUATIONS:]
    if len(last) < MIN_EVALUATIONS or last[0].updates < TRAINED_UPDATES:
        return None
    mean, error = level(last)
    return mean, _T_975[MIN_EVALUATIONS - 3] * error


def alike(evaluations: Sequence[Evaluation]) -> int:
    """So many of the last in a row, at most a window of them, have brought exactly the same, in
    each of their episodes."""
    count = 0
    for one in reversed(evaluations[-MAX_WINDOW:]):
        if one.ci95 != 0 or one.mean != evaluations[-1].mean:
            break
        count += 1
    return count


def worst(verdicts: Mapping[str, Verdict]) -> str:
    """The policy whose verdict needs attention first; of equals the first in order."""
    return min(verdicts, key=lambda name: _WORST_FIRST.index(verdicts[name]))


def _settled(usable: Sequence[Evaluation]) -> Judged:
    """The verdict that stands: the newest one that two evaluations in a row have given."""
    rows = _in_a_row(usable)
    newest = earlier = _judge(usable, rows)
    for n in range(len(usable) - 1, len(usable) - MOST_UNSETTLED, -1):
        before = _judge(usable[:n], rows)
        if before.verdict in (earlier.verdict, "TOO EARLY"):
            break
        earlier = before
    else:
        return newest
    if earlier.verdict == newest.verdict:
        return newest
    reason = (
        f"as it was before the newest evaluation, {usable[-1].mean:.4g}; one alone changes no "
        f"verdict. With it, it would be {newest.verdict}: {newest.reason}"
    )
    return replace(newest, verdict=earlier.verdict, reason=reason, newest_alone=newest.verdict)


def _in_a_row(evaluations: Sequence[Evaluation]) -> list[float]:
    """Mean returns of every `MIN_EVALUATIONS` in a row; the k-th begins at the k-th evaluation."""
    means = [e.mean for e in evaluations]
    starts = range(len(means) - MIN_EVALUATIONS + 1)
    return [math.fsum(means[i : i + MIN_EVALUATIONS]) / MIN_EVALUATIONS for i in starts]


def _judge(evaluations: Sequence[Evaluation], rows: Sequence[float]) -> Judged:
    """The rule for the newest of these evaluations alone; `rows` may have more than are theirs."""
    n = len(evaluations)
    if n < MIN_EVALUATIONS:
        return Judged("TOO EARLY", "")
    window = evaluations[-min(MAX_WINDOW, max(MIN_WINDOW, n // 4)) :]
    means = [e.mean for e in window]
    return replace(
        _by_rule(evaluations, rows, window),
        window=len(window),
        lowest=min(means),
        highest=max(means),
        unlike=_unlike(window),
    )


def _unlike(window: Sequence[Evaluation]) -> bool:
    """Whether these spread by more than `UNLIKE` times what their own errors explain."""
    own = math.fsum(((e.ci95 or 0.0) / 1.96) ** 2 for e in window) / len(window)
    known = all(e.ci95 is not None for e in window)
    return known and stdev(e.mean for e in window) > UNLIKE * math.sqrt(own)


def _by_rule(
    evaluations: Sequence[Evaluation], rows: Sequence[float], window: Sequence[Evaluation]
) -> Judged:
    """The verdict of this window, and why."""
    n = len(evaluations)
    fitted = _slope(window)
    if fitted is None:
        return Judged("TOO EARLY", "the evaluations were all made at the same step")
    slope, half = fitted[0] * 1e6, fitted[1] * 1e6
    text = f"return {_short(slope, '+')} ± {_short(half)} per 1M steps"
    text += f" over the last {len(window)} evaluations"
    best = max(rows[: n - MIN_EVALUATIONS + 1])
    risen, under = _against(best, rows.index(best), evaluations, len(window))
    under_best = all(under[-MIN_EVALUATIONS:]) or sum(under) > len(under) / 2
    if slope < -half:
        return Judged("FALLING", text, slope, half, under_best)
    if under_best:
        now = rows[n - MIN_EVALUATIONS]
        four = f"the last {MIN_EVALUATIONS} evaluations brought {now:.4g} on average, "
        four += f"the best {MIN_EVALUATIONS} in a row {best:.4g}"
        return Judged("BELOW BEST", f"{four}; {text}", slope, half, True)
    if slope > half:
        return Judged("IMPROVING", text, slope, half)
    means = [e.mean for e in window]
    text += f", from {min(means):.4g} to {max(means):.4g}"
    if risen and sum(under) <= STILL_AT_BEST * len(under) and not under[-1]:
        return Judged(
            "FLAT AT BEST", f"it has risen and stays at its best, {best:.4g}; {text}", slope, half
        )
    return Judged("FLAT", f"{text}: neither a rise nor a fall is certain", slope, half)


def _short(value: float, sign: str = "") -> str:
    """Three digits, more of a large number."""
    return f"{value:{sign},.0f}" if abs(value) >= 100 else f"{value:{sign}.3g}"


def _against(
    best: float, at: int, evaluations: Sequence[Evaluation], window: int
) -> tuple[bool, list[bool]]:
    """Whether the policy has risen to `best`, which begins at index `at`; and for each evaluation
    of the window from there on whether it is clearly under that."""
    steps = [abs(b.mean - a.mean) for a, b in pairwise(evaluations)]
    usual = 1.96 / 1.13 * fmean(steps)

    def half(e: Evaluation) -> float:
        return max(usual, e.ci95 or 0.0)

    of_best = evaluations[at : at + MIN_EVALUATIONS]
    bottom = best - math.sqrt(math.fsum(half(e) ** 2 for e in of_best)) / len(of_best)
    lowest = min(evaluations, key=lambda e: e.mean)
    lost = LOST_SHARE * (best - lowest.mean)
    since = evaluations[max(at, len(evaluations) - window) :]
    under = [e.mean + half(e) < bottom and best - e.mean > lost for e in since]
    return lowest.mean + 2 * half(lowest) < bottom, under


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
    return slope, _T_975[degrees - 2] * math.sqrt(scale / sxx)
