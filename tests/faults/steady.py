"""Did it stay flat? Pure: samples of two runs in, findings out.

A quantity is flat if the upper end of the 95 % interval of its slope is under a bound that is
stated beside it. Slopes are of the most in each twentieth of the time, after the first fifth, in
which caches fill and the replay's ring becomes full: whoever has a successor every few seconds is
small while it is young, and what leaks shows in how big it becomes.
"""

from __future__ import annotations

import itertools
import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from statistics import fmean, median

from tuitrain.metrics.intervals import mean_ci95, t_quantile

WARM_UP = 0.2
BLOCKS = 16
GROWTH_MIB_PER_H = 16.0
"""A sixth of a GiB in a night: less than a run of any size notices."""
RETURN_MARGIN = 25.0
"""As in docs/parity.md, of returns up to 500."""


@dataclass(frozen=True)
class Sample:
    """Of one run at one moment; memory is what a process holds for itself alone."""

    at_s: float
    memory_mib: dict[str, float]
    descriptors: dict[str, int]
    segments: int
    shm_mib: float
    steps: int
    version: int
    ratio: float | None
    ratio_asked: float
    checkpoints: int


@dataclass(frozen=True)
class Finding:
    """One line of the table: what, how it came out, and what it was allowed to be."""

    what: str
    value: str
    bound: str
    ok: bool


def slope_per_h(times_s: Sequence[float], values: Sequence[float]) -> tuple[float, float]:
    """Growth per hour and the half-width of its 95 % interval, by least squares."""
    n = len(times_s)
    if n < 3:
        return math.nan, math.nan
    at, mean = fmean(times_s), fmean(values)
    spread = sum((t - at) ** 2 for t in times_s)
    slope = sum((t - at) * (v - mean) for t, v in zip(times_s, values, strict=True)) / spread
    rest = sum((v - mean - slope * (t - at)) ** 2 for t, v in zip(times_s, values, strict=True))
    half = t_quantile(0.975, n - 2) * math.sqrt(rest / (n - 2) / spread)
    return 3600 * slope, 3600 * half


def blocks(times_s: Sequence[float], values: Sequence[float]) -> tuple[list[float], list[float]]:
    """The most in equal parts of the time after the warm-up, and the middle of each part."""
    start = times_s[0] + WARM_UP * (times_s[-1] - times_s[0])
    width = (times_s[-1] - start) / BLOCKS
    parts: list[list[tuple[float, float]]] = [[] for _ in range(BLOCKS)]
    for t, v in zip(times_s, values, strict=True):
        if t >= start:
            parts[min(BLOCKS - 1, int((t - start) / width))].append((t, v))
    full = [part for part in parts if part]
    return [fmean(t for t, _ in part) for part in full], [max(v for _, v in p) for p in full]


def judge(
    attacked: Sequence[Sample],
    calm: Sequence[Sample],
    evaluations: Sequence[tuple[int, float]],
    calm_evaluations: Sequence[tuple[int, float]],
) -> list[Finding]:
    """Everything that has to hold of the attacked run."""
    names = sorted({name for sample in attacked for name in sample.memory_mib})
    out = [_memory(attacked, name) for name in names]
    out += [_descriptors(attacked, name) for name in names]
    out.append(_shared(attacked))
    out.append(_versions(attacked))
    out.append(_ratio(attacked))
    out.append(_learning(evaluations, calm_evaluations))
    out.append(_speed(attacked, calm))
    return out


def _memory(samples: Sequence[Sample], name: str) -> Finding:
    known = [(s.at_s, s.memory_mib[name]) for s in samples if name in s.memory_mib]
    times, values = zip(*known, strict=True)
    slope, half = slope_per_h(*blocks(times, values))
    value = f"{fmean(values):.0f} MiB, {slope:+.1f} ± {half:.1f} MiB an hour"
    ok = slope + half < GROWTH_MIB_PER_H
    return Finding(f"memory of {name}", value, f"under +{GROWTH_MIB_PER_H:g} MiB an hour", ok)


def _descriptors(samples: Sequence[Sample], name: str) -> Finding:
    """By the median: a file that is being written at the moment of a sample is no leak."""
    late = [s for s in samples if s.at_s > WARM_UP * samples[-1].at_s]
    values = [s.descriptors[name] for s in late if name in s.descriptors]
    half = len(values) // 2
    first, last = median(values[:half]), median(values[half:])
    value = f"{min(values)} to {max(values)}, median in the first half {first:g}, later {last:g}"
    return Finding(f"descriptors of {name}", value, "no more in the second half", last <= first)


def _shared(samples: Sequence[Sample]) -> Finding:
    sizes = sorted({(s.segments, round(s.shm_mib, 1)) for s in samples})
    value = "; ".join(f"{count} segments, {mib:g} MiB" for count, mib in sizes)
    return Finding("shared memory", value, "always the same", len(sizes) == 1)


def _versions(samples: Sequence[Sample]) -> Finding:
    versions = [s.version for s in samples]
    ok = all(a < b for a, b in itertools.pairwise(versions))
    value = f"{versions[0]:,} to {versions[-1]:,}"
    return Finding("weights versions", value, "grow from sample to sample", ok)


def _ratio(samples: Sequence[Sample]) -> Finding:
    last = samples[-1]
    off = abs((last.ratio or 0.0) / last.ratio_asked - 1)
    value = f"{last.ratio or 0.0:.5f} of {last.ratio_asked:g}"
    return Finding("updates per transition", value, "within 1 %", off <= 0.01)


def _learning(ours: Sequence[tuple[int, float]], theirs: Sequence[tuple[int, float]]) -> Finding:
    """Mean return after half of the steps that both have made."""
    end = min(ours[-1][0], theirs[-1][0]) if ours and theirs else 0
    late = [[r for steps, r in both if end / 2 <= steps <= end] for both in (ours, theirs)]
    (a, half_a), (b, half_b) = (mean_ci95(values) for values in late)
    value = f"{a:.0f} ± {half_a:.0f}, undisturbed {b:.0f} ± {half_b:.0f} ({len(late[0])} evals)"
    ok = a >= b - max(RETURN_MARGIN, math.hypot(half_a, half_b))
    bound = f"not lower by more than {RETURN_MARGIN:g}, or than chance makes it"
    return Finding(f"return over steps {end / 2:,.0f} to {end:,}", value, bound, ok)


def _speed(ours: Sequence[Sample], theirs: Sequence[Sample]) -> Finding:
    a, b = (s[-1].steps / s[-1].at_s for s in (ours, theirs))
    return Finding("steps per second", f"{a:,.0f}, undisturbed {b:,.0f}", "–", True)


def table(
    findings: Sequence[Finding], minutes: float, kills: int, restarts: Mapping[str, int] | None
) -> str:
    """Markdown."""
    told = "" if restarts is None else f"; the run counted {sum(restarts.values())} restarts"
    lines = [
        f"{minutes:g} minutes, {kills} actors killed{told}:",
        "",
        "| | measured | must be | |",
        "|---|---|---|---|",
    ]
    for f in findings:
        lines.append(f"| {f.what} | {f.value} | {f.bound} | {'yes' if f.ok else '**no**'} |")
    return "\n".join(lines)
