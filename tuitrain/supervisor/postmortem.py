"""The last snapshot of a run that has ended, made again from its files, checks included.

The same code that a living run is judged by reads the records; of workers only what records hold is
known, so what they alone could tell is n/a. Reads; never writes. Missing files are empty ones.
"""

from __future__ import annotations

import math
from collections.abc import Iterator, Mapping
from typing import Any, get_args

from tuitrain.config.runs import RunFolder
from tuitrain.diagnosis.headlines import to_be_read
from tuitrain.metrics.records import NEVER_MISSING
from tuitrain.metrics.rewind import is_number, surviving
from tuitrain.metrics.sinks import JsonLines
from tuitrain.protocol import RunState, Snapshot
from tuitrain.supervisor.crew.failure import why_of
from tuitrain.supervisor.crew.worker_view import WorkerView
from tuitrain.supervisor.left import Left, read_left
from tuitrain.supervisor.snapshot import RunView, build_snapshot
from tuitrain.supervisor.totals import totals

COUNTED = frozenset({"warm_up", "replay_ratio", "left_behind", "overwritten"})
"""Checks of counts of transitions: without a summary nobody knows those."""

CLOCK_SLACK_S = 1.0
"""When a session began is the same by all of its records, but for so much."""

_UNKNOWN = {"state": "n/a", "value": "not in its files", "advice": ""}
_UNJUDGED = {"state": "n/a", "value": "not known without its config", "advice": ""}


def postmortem(
    folder: RunFolder, summary: Mapping[str, Any] | None, left: Left | None = None
) -> Snapshot:
    """What is known of the run at its last moment.

    Without its config nothing is judged again: every check is n/a, and `total_steps` is what the
    summary says, or 0.

    Args:
        summary: its summary.json; None of a run that was killed with its supervisor.
        left: its other files; None: to be read.
    """
    left = left or read_left(folder)
    config = left.assumed
    told: Mapping[str, Any] = summary or {}
    view = RunView(
        run_id=str(told.get("run_id", "")),
        run_dir=str(folder.path),
        config=config,
        given=config,
        supervisor_pid=0,
        spec_hash=left.planned.spec_hash,
        policies=left.planned.policies,
        base_steps=left.planned.base_steps,
        state=_state(told),
    )
    view.lost_updates = _lost_updates(folder, summary)
    view.measured.changed_at = _changed_at(folder)
    learner = WorkerView("learner", "learner", state="finished")
    last_s, began_s = 0.0, math.nan
    for record in _records(folder):
        time_s, wall_s = record.get("time_s"), record.get("wall_s")
        if is_number(time_s) and is_number(wall_s):
            if abs(time_s - wall_s - began_s) > CLOCK_SLACK_S:  # another session
                view.evaluated.begin()
                view.begin_again()
                view.newest.clear()
            began_s = time_s - wall_s
        last_s = float(time_s) if is_number(time_s) else last_s
        view.on_record(record, last_s)
        _count(learner.counters, record)
    policies = told.get("policies")
    for name, policy in policies.items() if isinstance(policies, Mapping) else ():
        if isinstance(policy, Mapping) and is_number(policy.get("transitions")):
            learner.counters[f"inserts/{name}"] = policy["transitions"]
    workers = [learner]
    failure = told.get("failure")
    if isinstance(failure, Mapping) and failure.get("worker") and failure.get("how"):
        name, role = str(failure["worker"]), str(failure.get("role", ""))
        workers = [w for w in workers if w.name != name]
        why, again = why_of(failure), told.get("restarts")
        again = again.get(name) if isinstance(again, Mapping) else 0
        died = int(again) if is_number(again) else 0
        error = f"{why.rstrip('.')}{to_be_read(folder.name, name, why)}"
        workers.append(WorkerView(name, role, restarts=died, state="failed", error=error))
    elapsed_s = float(told["wall_s"]) if is_number(told.get("wall_s")) else 0.0
    snapshot = build_snapshot(view, workers, seq=0, now=last_s, time_s=last_s, elapsed_s=elapsed_s)
    if left.config is None:
        total = told.get("total_steps")
        snapshot.total_steps = int(total) if is_number(total) else 0
        snapshot.checks = [check.model_copy(update=_UNJUDGED) for check in snapshot.checks]
    elif summary is None:
        snapshot.checks = [
            check if check.id not in COUNTED else check.model_copy(update=_UNKNOWN)
            for check in snapshot.checks
        ]
    return snapshot


def _changed_at(folder: RunFolder) -> float:
    """Unix time at which the living run was last told other values: records before knew others."""
    found = -math.inf
    for event in JsonLines(folder.events_jsonl):
        data, time_s = event.get("data"), event.get("time_s")
        if isinstance(data, Mapping) and data.get("mark") == "set" and is_number(time_s):
            found = max(found, time_s)
    return found


def _lost_updates(folder: RunFolder, summary: Mapping[str, Any] | None) -> dict[str, int]:
    """By policy, of the last session: updates that have died with learners."""
    if summary is None:
        events: list[Mapping[str, Any]] = []
        for event in JsonLines(folder.events_jsonl):
            data = event.get("data")
            if isinstance(data, Mapping) and data.get("mark") == "resume":
                events.clear()
            elif isinstance(data, Mapping) and "lost_updates" in data:
                events.append(event)
        told: object = totals(events)["lost_updates"]
    else:
        told = summary.get("lost_updates")
    counts = told if isinstance(told, Mapping) else {}
    return {str(name): int(count) for name, count in counts.items() if is_number(count)}


def _state(summary: Mapping[str, Any]) -> RunState:
    states: tuple[RunState, ...] = get_args(RunState)
    return next((state for state in states if state == summary.get("state")), "interrupted")


def _records(folder: RunFolder) -> Iterator[dict[str, Any]]:
    """Those that count, with NaN where a null stands for a number that was not finite."""
    for record in surviving(JsonLines(folder.metrics_jsonl)):
        kind = record.get("kind")
        lost = {k: math.nan for k, v in record.items() if v is None and (kind, k) in NEVER_MISSING}
        yield record | lost


def _count(counters: dict[str, float], record: Mapping[str, Any]) -> None:
    """Carry what a record counts to where heartbeats would have put it."""
    if is_number(record.get("steps")):
        counters["env_steps"] = max(record["steps"], counters.get("env_steps", 0))
    if record.get("kind") == "learner":
        for name in ("updates", "target_updates", "version"):
            if is_number(record.get(name)):
                counters[f"{name}/{record.get('policy')}"] = record[name]
