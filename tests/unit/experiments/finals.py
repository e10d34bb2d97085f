"""Plans and results of runs whose returns are given."""

from __future__ import annotations

import numpy as np

from tuitrain.config.resolve import resolve
from tuitrain.config.schema import Config
from tuitrain.experiments.analysis import analyse
from tuitrain.experiments.curves import Curve
from tuitrain.experiments.findings import Analysis
from tuitrain.experiments.plan import Cell, Plan
from tuitrain.experiments.store import Result

SEEDS = (1, 2, 3, 4)


def evaluation(steps: int, value: float | None, policy: str = "default") -> dict:
    return {"kind": "eval", "policy": policy, "steps": steps, "return_mean": value}


def curve(*returns: float, steps: tuple[float, ...] = (100, 200, 300)) -> Curve:
    return Curve(np.array(steps, np.float64), np.array(returns, np.float64))


def plan(*arms: str, tasks: tuple[str, ...] = ("",), margin: float | None = None) -> Plan:
    config = resolve(Config(), cores=1)
    return Plan(arms, tasks, SEEDS, {(a, t): config for a in arms for t in tasks}, margin)


def finished(arm: str, finals: list[float], task: str = "") -> dict[Cell, Result]:
    """Runs whose return rises from 0 to the final one."""
    return {
        (cell := Cell(arm, task, seed)): Result(
            cell, "finished", "", f"r{seed}", 300, 1.0, {"default": curve(0, final / 2, final)}
        )
        for seed, final in zip(SEEDS, finals, strict=True)
    }


def concluded(
    ours: list[float], theirs: list[float], margin: float | None = None
) -> tuple[Analysis, str]:
    """The analysis of two arms, and the first answer (of final returns)."""
    results = finished("base", theirs) | finished("new", ours)
    found = analyse(plan("base", "new", margin=margin), results, resamples=200)
    return found, found.comparisons[0].answer
