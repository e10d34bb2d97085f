"""From a run's metrics.jsonl to its learning curves: greedy return over environment steps.

Reads files; knows no statistics.
"""

from __future__ import annotations

import math
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any, TypeVar

import numpy as np
from numpy.typing import NDArray

from tuitrain.metrics.rewind import surviving
from tuitrain.metrics.sinks import JsonLines

P = TypeVar("P", bound=tuple[float, ...])


@dataclass(frozen=True)
class Curve:
    """Greedy evaluations of one policy in one run.

    Attributes:
        steps: float64[N], environment steps of the whole run, strictly increasing.
        returns: float64[N], mean undiscounted return of each evaluation.
    """

    steps: NDArray[np.float64]
    returns: NDArray[np.float64]

    def to_json(self) -> dict[str, list[float]]:
        """Plain JSON values; ``curve_from_json`` reads them back."""
        return {"steps": self.steps.tolist(), "returns": self.returns.tolist()}


def curve_from_json(data: Mapping[str, Any]) -> Curve:
    """A curve as ``Curve.to_json`` wrote it."""
    return Curve(np.array(data["steps"], np.float64), np.array(data["returns"], np.float64))


def read_curves(metrics_jsonl: Path) -> dict[str, Curve]:
    """The curve of each policy; none where there is no usable evaluation."""
    return curves_of(surviving(JsonLines(metrics_jsonl)))


def curves_of(records: Iterable[Mapping[str, Any]]) -> dict[str, Curve]:
    """The curve of each policy from records in the order of time."""
    points: dict[str, list[tuple[float, float]]] = {}
    for record in records:
        value, steps = record.get("return_mean"), record.get("steps")
        if record.get("kind") != "eval" or not _finite(value) or not _finite(steps):
            continue
        assert isinstance(value, int | float)
        assert isinstance(steps, int | float)
        points.setdefault(str(record.get("policy", "")), []).append((float(steps), float(value)))
    return {
        name: Curve(*np.array(rising(found), np.float64).T.copy()) for name, found in points.items()
    }


def mean_over_agents(curves: Mapping[str, Curve], agents: Mapping[str, int]) -> Curve | None:
    """The mean over all agents of an episode's return, from the curves of a run's policies.

    A policy's curve is the mean over the agents that act under it, so it counts once for each of
    them. That is a number that runs can be compared by whose policies are dealt otherwise. Where a
    policy has no evaluation at a step, because none of its agents came, the others are all there
    is; of agents that share a policy and are absent from whole episodes it has the mean of those
    that took part.

    Args:
        curves: by policy.
        agents: how many act under each policy of an environment; 1 where it is not known.

    Returns:
        A curve over the steps at which any policy was evaluated; None where none was.
    """
    if not curves:
        return None
    steps = np.unique(np.concatenate([curve.steps for curve in curves.values()]))
    total, count = np.zeros(len(steps)), np.zeros(len(steps))
    for name, curve in curves.items():
        places, weight = np.searchsorted(steps, curve.steps), agents.get(name, 1)
        total[places] += weight * curve.returns
        count[places] += weight
    return Curve(steps, total / count)


def rising(points: Iterable[P]) -> list[P]:
    """Points, x first, without those that a later one has made void.

    A resumed run goes back in steps: from there on what came later counts. So does the later one
    of two evaluations at the same step.
    """
    kept: list[P] = []
    for point in points:
        while kept and kept[-1][0] >= point[0]:
            kept.pop()
        kept.append(point)
    return kept


def _finite(value: object) -> bool:
    return isinstance(value, int | float) and not isinstance(value, bool) and math.isfinite(value)
