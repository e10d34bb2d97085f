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

from tuitrain.metrics.sinks import read_jsonl

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
    return curves_of(read_jsonl(metrics_jsonl))


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
