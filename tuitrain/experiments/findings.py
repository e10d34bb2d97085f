"""What a comparison has shown, as plain values: they are drawn, printed and kept as JSON."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

from tuitrain.experiments.curves import Curve
from tuitrain.experiments.plan import Cell
from tuitrain.experiments.statistics import Answer

ANALYSIS_SCHEMA_VERSION = 1
MEASURES = ("final", "area")
ALL_AGENTS = "all agents"
"""Named like a policy where there are several; no policy's name has a space."""

LEVEL = 0.95
"""Of every interval."""

Interval = tuple[float, float]


@dataclass(frozen=True)
class Summary:
    """One arm on one task by one measure.

    Attributes:
        interval: 95 % bootstrap interval of `iqm`; None with fewer than two runs.
    """

    task: str
    arm: str
    measure: str
    n: int
    iqm: float
    interval: Interval | None
    mean: float
    sd: float | None
    scores: tuple[float, ...]


@dataclass(frozen=True)
class Comparison:
    """An arm against the first one, on one task by one measure.

    Attributes:
        difference: of the means, the arm's less the first one's; with its 95 % interval.
        improvement: chance that one of its runs beats one of the first arm's.
        seeds_needed: runs per arm that would call two equal arms of this spread equivalent with
            chance 0.8; None without a margin.
        note: what the reader must know about the answer, or "".
    """

    task: str
    arm: str
    baseline: str
    measure: str
    difference: float
    interval: Interval
    improvement: float
    improvement_interval: Interval
    answer: Answer
    p_different: float
    p_equivalent: float | None
    seeds_needed: int | None
    note: str


@dataclass(frozen=True)
class Overall:
    """One arm over all tasks by one measure.

    Attributes:
        iqm: of the scores of all tasks, on the scales that were given; None without them, since
            returns of different tasks have no common unit.
        interval: its 95 % interval, runs resampled within their task.
        improvement: chance that one of its runs beats one of the first arm's, which needs no unit;
            None for the first arm.
    """

    arm: str
    measure: str
    iqm: float | None
    interval: Interval | None
    improvement: float | None
    improvement_interval: Interval | None


@dataclass(frozen=True)
class Analysis:
    """Everything that is concluded.

    Attributes:
        tasks: names; where there are several policies, one for `ALL_AGENTS` of each task and then
            one for each policy that several arms have, its name behind the task's.
        apart: policies that only one arm has, which are in no table.
        spans: by task, the environment steps between which areas are taken; None where the runs
            have no two evaluations in common.
        curves: by task and arm, one curve a run in the order of seeds.
        missing: cells that have not finished, and why.
        mixed: in words, where runs that are taken together were made with different source.
    """

    tasks: tuple[str, ...]
    arms: tuple[str, ...]
    spans: dict[str, Interval | None]
    summaries: tuple[Summary, ...]
    comparisons: tuple[Comparison, ...]
    overall: tuple[Overall, ...]
    curves: dict[tuple[str, str], tuple[Curve, ...]]
    missing: tuple[tuple[Cell, str], ...]
    mixed: tuple[str, ...]
    apart: tuple[str, ...]
    margin: float | None
    margin_is_late: bool
    alpha: float

    def to_json(self) -> dict[str, Any]:
        """Plain JSON values, without the curves, which results.jsonl has."""
        return {
            "schema_version": ANALYSIS_SCHEMA_VERSION,
            "margin": self.margin,
            "margin_is_late": self.margin_is_late,
            "alpha": self.alpha,
            "level": LEVEL,
            "spans": self.spans,
            "summaries": [vars(s) for s in self.summaries],
            "comparisons": [vars(c) for c in self.comparisons],
            "overall": [vars(o) for o in self.overall],
            "missing": [{"run": str(cell), "why": why} for cell, why in self.missing],
            "mixed": self.mixed,
            "apart": self.apart,
        }
