"""What a comparison shows: from results to the numbers of the table, the plot and analysis.json.

Two measures of each run: its *final* return (the last greedy evaluation) and its *area* (the mean
greedy return over the environment steps that every run of the task has evaluations for). Arms are
described by interquartile means and compared with the first arm. Where there are several policies,
both measures are first taken of the mean over all agents, which is a number that arms have in
common whatever their policies are, and then of each policy that arms share. Pure: no files, no
printing.
"""

from __future__ import annotations

import itertools
import math
from collections.abc import Mapping, Sequence

import numpy as np

from tuitrain.experiments.curves import Curve, mean_over_agents
from tuitrain.experiments.findings import (
    ALL_AGENTS,
    LEVEL,
    MEASURES,
    Analysis,
    Comparison,
    Interval,
    Overall,
    Summary,
)
from tuitrain.experiments.plan import Cell, Plan, check_scales
from tuitrain.experiments.statistics import (
    RESAMPLES,
    Difference,
    Scores,
    Verdict,
    area_under_curve,
    bootstrap_interval,
    improvement_interval,
    iqm,
    judge,
    probability_of_improvement,
    seeds_for_power,
    welch,
)
from tuitrain.experiments.store import FINISHED, Result

POWER = 0.8
_BOOTSTRAP_SEED = 20210830
"""Fixed, so that the same results give the same intervals."""


def analyse(
    plan: Plan,
    results: Mapping[Cell, Result],
    late_margin: float | None = None,
    scales: Mapping[str, Interval] | None = None,
    resamples: int = RESAMPLES,
) -> Analysis:
    """Conclude from the finished runs of a plan.

    Args:
        late_margin: a margin given now, after the runs, in place of the plan's; said in the result.
        scales: by task, the returns that count as 0 and as 1 where tasks are taken together.

    Raises:
        PlanError: a scale is of no task, or some tasks have one and others don't.
    """
    rng = np.random.default_rng(_BOOTSTRAP_SEED)
    margin = plan.margin if late_margin is None else late_margin
    curves = _curves(plan, results)
    tasks = tuple(dict.fromkeys(task for task, _ in curves))
    check_scales(scales or {}, plan.tasks)
    spans = {
        task: _span([c for (t, _), cs in curves.items() if t == task for c in cs]) for task in tasks
    }
    scores = {
        (task, arm, measure): _scores(measure, group, spans[task])
        for (task, arm), group in curves.items()
        for measure in MEASURES
    }
    summaries, comparisons = [], []
    for measure in MEASURES:
        for task in tasks:
            for arm in plan.arms:
                ours = scores.get((task, arm, measure), np.empty(0))
                if not ours.size:
                    continue
                summaries.append(_summary(task, arm, measure, ours, rng, resamples))
                theirs = scores.get((task, plan.arms[0], measure), np.empty(0))
                if arm != plan.arms[0] and min(ours.size, theirs.size) >= 2:
                    names = (task, arm, plan.arms[0], measure)
                    comparisons.append(_comparison(names, ours, theirs, margin, plan.alpha, rng))
    return Analysis(
        tasks=tasks,
        arms=plan.arms,
        spans=spans,
        summaries=tuple(summaries),
        comparisons=tuple(comparisons),
        overall=_overall(plan, tasks, scores, scales or {}, rng, resamples),
        curves=curves,
        missing=tuple(_missing(plan, results)),
        mixed=tuple(_mixed(plan, results)),
        apart=tuple(_policies(plan, results)[1]),
        margin=margin,
        margin_is_late=late_margin is not None and late_margin != plan.margin,
        alpha=plan.alpha,
    )


def _curves(plan: Plan, results: Mapping[Cell, Result]) -> dict[tuple[str, str], tuple[Curve, ...]]:
    """Curves of finished runs by task (and policy, where there are several) and arm."""
    shown, apart = _policies(plan, results)
    several = len(shown) + len(apart) > 1
    groups = [ALL_AGENTS, *shown] if several else shown
    found: dict[tuple[str, str], list[Curve]] = {}
    for task, policy, arm in itertools.product(plan.tasks, groups, plan.arms):
        for result in _finished(plan, results):
            if (result.cell.task, result.cell.arm) != (task, arm):
                continue
            curve = result.curves.get(policy)
            if several and policy == ALL_AGENTS:
                curve = mean_over_agents(result.curves, result.agents)
            if curve is not None:
                name = _named(task, policy) if several else task
                found.setdefault((name, arm), []).append(curve)
    return {key: tuple(group) for key, group in found.items()}


def _policies(plan: Plan, results: Mapping[Cell, Result]) -> tuple[list[str], list[str]]:
    """Policies that several arms have, or all where only one arm has runs; and the others."""
    arms_of: dict[str, set[str]] = {}
    arms = set()
    for result in _finished(plan, results):
        arms.add(result.cell.arm)
        for policy in result.curves:
            arms_of.setdefault(policy, set()).add(result.cell.arm)
    if len(arms_of) == 1 or len(arms) == 1:
        return list(arms_of), []
    shown = [policy for policy, having in arms_of.items() if len(having) > 1]
    return shown, [policy for policy in arms_of if policy not in shown]


def _named(task: str, policy: str) -> str:
    return " ".join(filter(None, (task, policy)))


def _span(curves: Sequence[Curve]) -> Interval | None:
    """The steps that every curve covers."""
    low = max(float(curve.steps[0]) for curve in curves)
    high = min(float(curve.steps[-1]) for curve in curves)
    return (low, high) if low < high else None


def _scores(measure: str, curves: Sequence[Curve], span: Interval | None) -> Scores:
    if measure == "final":
        return np.array([curve.returns[-1] for curve in curves])
    if span is None:
        return np.empty(0)
    return np.array([area_under_curve(c.steps, c.returns, *span) for c in curves])


def _summary(
    task: str, arm: str, measure: str, scores: Scores, rng: np.random.Generator, resamples: int
) -> Summary:
    several = scores.size >= 2
    return Summary(
        task=task,
        arm=arm,
        measure=measure,
        n=scores.size,
        iqm=float(iqm(scores)),
        interval=bootstrap_interval([scores], iqm, rng, LEVEL, resamples) if several else None,
        mean=float(scores.mean()),
        sd=float(scores.std(ddof=1)) if several else None,
        scores=tuple(scores.tolist()),
    )


def _comparison(
    names: tuple[str, str, str, str],
    ours: Scores,
    theirs: Scores,
    margin: float | None,
    alpha: float,
    rng: np.random.Generator,
) -> Comparison:
    difference = welch(ours, theirs)
    verdict = judge(difference, margin, alpha)
    if _identical(ours, theirs):
        # Welch takes the runs as independent, which these are certainly not.
        difference = Difference(0.0, 0.0, math.inf)
        verdict = Verdict("equivalent", 1.0, 0.0)
    sd = float(np.sqrt((ours.var(ddof=1) + theirs.var(ddof=1)) / 2))
    task, arm, baseline, measure = names
    return Comparison(
        task=task,
        arm=arm,
        baseline=baseline,
        measure=measure,
        difference=difference.value,
        interval=difference.interval(LEVEL),
        improvement=probability_of_improvement([ours], [theirs]),
        improvement_interval=improvement_interval([ours], [theirs], rng, LEVEL),
        answer=verdict.answer,
        p_different=verdict.p_different,
        p_equivalent=verdict.p_equivalent,
        seeds_needed=None if margin is None else seeds_for_power(sd, margin, POWER, alpha),
        note=_note(ours, theirs),
    )


def _note(ours: Scores, theirs: Scores) -> str:
    if _identical(ours, theirs):
        return "the same number for every seed: the difference is exactly 0"
    if ours.std() == 0 and theirs.std() == 0:
        return "no spread within either arm (a ceiling?): look at the other measure"
    return ""


def _identical(ours: Scores, theirs: Scores) -> bool:
    """Whether each seed gave both arms the same number, as `sequential` and `lockstep` do."""
    return ours.size == theirs.size and bool((ours == theirs).all()) and ours.std() > 0


def _overall(
    plan: Plan,
    tasks: Sequence[str],
    scores: Mapping[tuple[str, str, str], Scores],
    scales: Mapping[str, Interval],
    rng: np.random.Generator,
    resamples: int,
) -> tuple[Overall, ...]:
    # Policies of one run are no strata: they are resampled together or not at all.
    several = any(task not in plan.tasks for task in tasks)
    strata = [_named(task, ALL_AGENTS) if several else task for task in plan.tasks]
    if len(strata) < 2 or not set(strata) <= set(tasks):
        return ()
    found = []
    baseline = plan.arms[0]
    for measure in MEASURES:
        theirs = [scores.get((task, baseline, measure), np.empty(0)) for task in strata]
        for arm in plan.arms:
            ours = [scores.get((task, arm, measure), np.empty(0)) for task in strata]
            if not all(s.size for s in (*ours, *theirs)):
                continue
            middle = interval = chance = chances = None
            if scales:
                scaled = [_scaled(s, scales[t]) for s, t in zip(ours, plan.tasks, strict=True)]
                middle = float(iqm(np.concatenate(scaled)))
                interval = bootstrap_interval(scaled, iqm, rng, LEVEL, resamples)
            if arm != baseline:
                chance = probability_of_improvement(ours, theirs)
                chances = improvement_interval(ours, theirs, rng, LEVEL)
            found.append(Overall(arm, measure, middle, interval, chance, chances))
    return tuple(found)


def _scaled(scores: Scores, scale: Interval) -> Scores:
    low, high = scale
    return (scores - low) / (high - low)


def _finished(plan: Plan, results: Mapping[Cell, Result]) -> list[Result]:
    return [results[c] for c in plan.cells() if c in results and results[c].state == FINISHED]


def _mixed(plan: Plan, results: Mapping[Cell, Result]) -> list[str]:
    """Arms may differ in their environment's and network's files, but one arm's runs may not."""
    finished = _finished(plan, results)
    found = []
    versions = {result.code.get("tuitrain") for result in finished}
    if len(versions) > 1:
        found.append(f"the runs were made with {len(versions)} different sources of tuitrain")
    for key in plan.configs:
        runs = [r for r in finished if (r.cell.arm, r.cell.task) == key]
        if len({result.code.get("sources") for result in runs}) > 1:
            name = " ".join(filter(None, key))
            found.append(f"{name}: files of its environment or network changed between its runs")
    return found


def _missing(plan: Plan, results: Mapping[Cell, Result]) -> list[tuple[Cell, str]]:
    missing = []
    for cell in plan.cells():
        result = results.get(cell)
        if result is None:
            missing.append((cell, "has not been run"))
        elif result.state != FINISHED:
            where = f" (runs/{result.run})" if result.run else ""
            missing.append((cell, f"{result.state}: {result.cause}{where}"))
    return missing
