"""What the files of one run say, gathered for a report: config, curves, events, how it ended.

Reads run folders of ended and of living runs, complete or not. Knows nothing of pages.
"""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any, TypeGuard

from tuitrain.config.runs import RunFolder, RunFolderError
from tuitrain.config.schema import Config
from tuitrain.experiments.curves import rising
from tuitrain.metrics.rewind import surviving
from tuitrain.metrics.sinks import JsonLines, read_jsonl

MAX_POINTS = 300
MAX_EVENTS = 200

Point = tuple[float, float]

LEARNER_CURVES = {
    "loss": "loss",
    "q_mean": "mean action value",
    "grad_norm": "gradient norm before clipping",
    "lag_updates_p50": "policy lag of sampled transitions, median (updates)",
}
"""Fields of `learner` records that are shown, with their titles."""

_TOLD = "metrics."


@dataclass(frozen=True)
class RunFiles:
    """One run.

    Attributes:
        summary: summary.json, or None where there is none (it lives, or was killed).
        why_no_summary: said in its place.
        evaluations: by policy, (steps, mean return, half-width of its 95 % interval or 0).
        training: by policy, (steps, mean return of training episodes).
        learner: by field of ``LEARNER_CURVES`` and policy, (steps, value).
        told: by name and policy, (steps, value) of what the environments told in
            `info["metrics"]`.
        speed: (seconds of this session, environment steps per second).
        events: the newest, but every warning and error among the rest too.
        events_left_out: how many are not in `events`.
    """

    name: str
    path: str
    config: Config
    summary: dict[str, Any] | None
    why_no_summary: str
    provenance: dict[str, Any]
    evaluations: dict[str, list[tuple[float, float, float]]]
    training: dict[str, list[Point]]
    learner: dict[str, dict[str, list[Point]]]
    told: dict[str, dict[str, list[Point]]]
    speed: list[Point]
    events: list[dict[str, Any]]
    events_left_out: int


def read_run(folder: RunFolder) -> RunFiles:
    """Gather a run's files.

    Raises:
        RunFolderError: it has no readable config.
        ConfigError: its config does not fit this version's schema.
    """
    config = folder.load_config()
    why = "it has no summary.json: it is running, or its supervisor was killed"
    try:
        summary = folder.read_summary()
    except RunFolderError as error:
        summary, why = None, str(error)
    try:
        provenance = folder.read_json(folder.provenance_json) or {}
    except RunFolderError:
        provenance = {}
    curves = _Curves()
    for record in surviving(JsonLines(folder.metrics_jsonl)):  # one by one: it may be long
        curves.add(record)
    events, left_out = chosen_events(list(read_jsonl(folder.events_jsonl)))
    return RunFiles(
        name=folder.name,
        path=str(folder.path),
        config=config,
        summary=summary,
        why_no_summary=why,
        provenance=provenance,
        evaluations={name: rising(points) for name, points in curves.evaluations.items()},
        # Actors report in turn, each of its own episodes.
        training={name: thinned(sorted(points)) for name, points in curves.training.items()},
        learner={
            field: {name: thinned(rising(points)) for name, points in by_policy.items()}
            for field, by_policy in curves.learner.items()
        },
        told={
            field: {name: thinned(sorted(points)) for name, points in by_policy.items()}
            for field, by_policy in sorted(curves.told.items())
        },
        speed=thinned(curves.speed),
        events=events,
        events_left_out=left_out,
    )


def thinned(points: Sequence[Point], most: int = MAX_POINTS) -> list[Point]:
    """At most `most` points: means of neighbours, so that no stretch is left out."""
    if len(points) <= most:
        return list(points)
    size = math.ceil(len(points) / most)
    return [_mean(points[i : i + size]) for i in range(0, len(points), size)]


def chosen_events(
    events: Sequence[dict[str, Any]], most: int = MAX_EVENTS
) -> tuple[list[dict[str, Any]], int]:
    """The newest `most` events, of them as many warnings and errors as there are, in order.

    Returns:
        The events, and how many were left out.
    """
    grave = [i for i, e in enumerate(events) if e.get("level") in ("warning", "error")][-most:]
    others = [i for i in range(len(events)) if i not in set(grave)]
    room = most - len(grave)
    kept = sorted([*grave, *(others[-room:] if room else [])])
    return [events[i] for i in kept], len(events) - len(kept)


class _Curves:
    """Points out of records, as they come."""

    def __init__(self) -> None:
        self.evaluations: dict[str, list[tuple[float, float, float]]] = {}
        self.training: dict[str, list[Point]] = {}
        self.learner: dict[str, dict[str, list[Point]]] = {name: {} for name in LEARNER_CURVES}
        self.told: dict[str, dict[str, list[Point]]] = {}
        self.speed: list[Point] = []

    def add(self, record: Mapping[str, Any]) -> None:
        """Take from a record what is finite; unknown kinds are passed over."""
        kind, policy = record.get("kind"), str(record.get("policy", ""))
        if kind == "system" and (point := _point(record, "wall_s", "steps_per_s")):
            self.speed.append(point)
        elif kind == "train" and (point := _point(record, "steps", "return_mean")):
            self.training.setdefault(policy, []).append(point)
        elif kind == "eval" and (point := _point(record, "steps", "return_mean")):
            half = record.get("return_ci95")
            width = float(half) if _finite(half) else 0.0
            self.evaluations.setdefault(policy, []).append((*point, width))
        elif kind == "learner":
            for field, by_policy in self.learner.items():
                if point := _point(record, "steps", field):
                    by_policy.setdefault(policy, []).append(point)
        elif kind == "env":
            for field in record:
                if field.startswith(_TOLD) and (point := _point(record, "steps", field)):
                    of_name = self.told.setdefault(field.removeprefix(_TOLD), {})
                    of_name.setdefault(policy, []).append(point)


def _point(record: Mapping[str, Any], x: str, y: str) -> Point | None:
    a, b = record.get(x), record.get(y)
    return (float(a), float(b)) if _finite(a) and _finite(b) else None


def _finite(value: object) -> TypeGuard[float]:
    return isinstance(value, int | float) and not isinstance(value, bool) and math.isfinite(value)


def _mean(points: Sequence[Point]) -> Point:
    return (
        math.fsum(x for x, _ in points) / len(points),
        math.fsum(y for _, y in points) / len(points),
    )
