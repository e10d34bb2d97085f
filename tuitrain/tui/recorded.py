"""What the files of a run say of it: its curves, its events, and how it ended.

For runs that have ended, and for the curves from before this screen was opened. Reads; never
writes. A missing file is an empty one, a damaged line is counted and passed over.
"""

from __future__ import annotations

import json
import math
import tomllib
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any, get_args

import numpy as np
from pydantic import ValidationError

from tuitrain import regular
from tuitrain.checkpoint.files import checkpoints
from tuitrain.diagnosis.ended import at_the_end, checks_of, stretches
from tuitrain.protocol import (
    BestView,
    EventLine,
    LearningView,
    PolicyView,
    ProcessView,
    RunState,
    Snapshot,
)
from tuitrain.tui.curve import EMPTY
from tuitrain.tui.store import ENDED, Store, as_float


def load_recorded(run_dir: Path, store: Store) -> None:
    """Feed a run's metrics.jsonl and events.jsonl into ``store``; damaged lines are counted.

    A file that is missing is an empty one. Meant for a thread: a long run takes seconds.
    """
    for line in _json_lines(run_dir / "metrics.jsonl", store):
        store.add_record(line)
    for line in _json_lines(run_dir / "events.jsonl", store):
        try:
            store.add_event(EventLine.model_validate(line))
        except ValidationError:
            store.damaged_lines += 1
    summary = _object(run_dir / "summary.json")
    if summary.get("state") and summary.get("reason"):
        _tell_end(store, f"{summary['state']}: {summary['reason']}", summary["state"] == "failed")


def tell_if_killed(run_dir: Path, store: Store) -> None:
    """Say of an ended run that it was killed, if so: nobody was left to write that down.

    One without events has never begun.
    """
    if not store.events or _object(run_dir / "summary.json"):
        return
    text = "killed: its supervisor ended without a word"
    if checkpoints(run_dir / "checkpoints"):
        text += f"; `tuitrain resume {run_dir.name}` goes on from its newest checkpoint"
    _tell_end(store, text)


def judged_again(run_dir: Path, found: Snapshot) -> tuple[Snapshot, str]:
    """With how a killed run's checks stood at its end and what it had learned, made again.

    For a thread: a long run takes seconds. Whatever its files hold, nothing is raised: all else
    there is stays on the screen.

    Args:
        found: ``recorded_snapshot``.

    Returns:
        The snapshot, and why there are no checks in it; empty if there are.
    """
    try:
        from tuitrain.config.runs import RunFolder
        from tuitrain.metrics.sinks import JsonLines
        from tuitrain.supervisor.left import read_left
        from tuitrain.supervisor.postmortem import postmortem

        folder = RunFolder(run_dir)
        left = read_left(folder)
        if left.config is None:
            return found, "; ".join(left.notes)
        made = postmortem(folder, None, left)
        checks = at_the_end(made.checks, [], stretches(JsonLines(folder.events_jsonl)))
    except Exception as error:
        return found, " ".join(str(error).split()) or repr(error)
    verdicts = {policy.name: policy.learning for policy in made.policies}
    policies = [
        policy.model_copy(update={"learning": verdicts.get(policy.name, policy.learning)})
        for policy in found.policies
    ]
    told: dict[str, Any] = {"checks": checks, "policies": policies}
    if made.policies:  # else nobody knows whose evaluations these were
        told["learning"] = made.learning
    return found.model_copy(update=told), ""


def tell_unmade(store: Store, why: str) -> None:
    """Say of a killed run that nobody knows how its checks stood."""
    _tell_end(store, f"its checks cannot be made again: {why}", seq=-1_000_001)


def _tell_end(store: Store, text: str, bad: bool = True, seq: int = -1_000_000) -> None:
    last = max((e.time_s for e in store.events), default=0.0)
    store.add_event(
        EventLine(
            seq=seq,
            time_s=last,
            level="error" if bad else "info",
            source="summary",
            text=text,
        )
    )


def _json_lines(path: Path, store: Store) -> Iterator[dict[str, Any]]:
    try:
        with open(path, "rb", opener=regular.opener) as file:
            while raw := file.readline(regular.MOST_BYTES):
                if not raw.strip():
                    continue
                try:
                    line = json.loads(raw)
                except (ValueError, RecursionError):
                    store.damaged_lines += 1
                    continue
                if isinstance(line, dict):
                    yield line
                else:
                    store.damaged_lines += 1
    except OSError:
        return


def recorded_snapshot(run_dir: Path, store: Store) -> Snapshot:
    """What the files of a run still say of it, as a snapshot; the rest is not known.

    Without a summary the run was interrupted.
    """
    summary = _object(run_dir / "summary.json")
    state = summary.get("state")
    config = _toml(run_dir / "config.toml")
    run = config.get("run", {}) if isinstance(config.get("run"), dict) else {}
    runtime = _object(run_dir / "runtime.json")
    records = list(store.latest.values())
    finals = summary.get("policies")
    finals = finals if isinstance(finals, dict) else {}
    times = [t for r in records if (t := as_float(r.get("wall_s"))) is not None]
    stamps = [t for r in records if (t := as_float(r.get("time_s"))) is not None]
    stamps += [e.time_s for e in store.events]
    return Snapshot(
        seq=0,
        time_s=max(stamps, default=0.0),
        run_id=str(summary.get("run_id") or runtime.get("run_id", "")),
        run_dir=str(run_dir),
        name=str(run_dir.name),
        schedule=str(run.get("schedule", "n/a")),
        state=state if state in get_args(RunState) and state in ENDED else "interrupted",
        elapsed_s=as_float(summary.get("wall_s")) or max(times, default=0.0),
        steps=_whole(
            as_float(summary.get("steps"))
            or max((as_float(r.get("steps")) or 0.0 for r in records), default=0.0)
        ),
        total_steps=_whole(
            as_float(summary.get("total_steps")) or as_float(run.get("total_steps")) or 0.0
        ),
        supervisor_pid=0,
        processes=_recorded_failure(summary),
        policies=[
            _recorded_policy(name, store, config, finals.get(name))
            for name in dict.fromkeys([*store.policies(), *map(str, finals)])
        ],
        learning=_recorded_learning(summary, store),
        checks=checks_of(summary),
        bottleneck=str(summary["bottleneck"]) if summary.get("bottleneck") else None,
        last_checkpoint=str(summary["last_checkpoint"]) if summary.get("last_checkpoint") else None,
        best=_recorded_best(summary),
    )


def _recorded_failure(summary: Mapping[str, Any]) -> list[ProcessView]:
    """The worker whose failure ended the run, if one did: the only one still worth a look."""
    failure = summary.get("failure")
    if not isinstance(failure, dict) or not failure.get("worker"):
        return []
    trace = failure.get("traceback")
    words = f"{failure.get('error_type') or failure.get('how')}: {failure.get('message') or ''}"
    return [
        ProcessView(
            name=str(failure["worker"]),
            role=str(failure.get("role", "")),
            state="failed",
            error=trace if isinstance(trace, str) and trace.strip() else words,
        )
    ]


def _recorded_policy(name: str, store: Store, config: Mapping[str, Any], final: Any) -> PolicyView:
    learner = store.latest.get((name, "learner"), {})
    replay = config.get("replay", {})
    found = {
        key: as_float(learner.get(key))
        for key in (
            "loss", "q_mean", "q_max_abs", "td_p95", "grad_norm", "lr", "lag_updates_p50",
            "lag_updates_p95", "sample_age_p95",
        )
    }  # fmt: skip
    evaluation = store.latest.get((name, "eval"), {})
    view = PolicyView(
        name=name,
        capacity=_whole(as_float(replay.get("capacity")) or 0.0),
        learning_starts=_whole(as_float(replay.get("learning_starts")) or 0.0),
        updates=_whole(as_float(learner.get("updates")) or 0.0),
        version=_whole(as_float(learner.get("version")) or 0.0),
        train_return_mean=as_float(store.latest.get((name, "train"), {}).get("return_mean")),
        eval_return_mean=as_float(evaluation.get("return_mean")),
        eval_return_ci95=as_float(evaluation.get("return_ci95")),
        eval_best=_evaluations(store, name)[1],
        learning=_recorded_evaluations(name, store),
        **found,
    )
    if not isinstance(final, dict):
        return view
    try:
        return PolicyView.model_validate({**view.model_dump(), **final, "name": name})
    except ValidationError:
        return view


def _recorded_learning(summary: Mapping[str, Any], store: Store) -> LearningView:
    if isinstance(summary.get("learning"), dict):
        try:
            return LearningView.model_validate(summary["learning"])
        except ValidationError:
            pass
    found = (_recorded_evaluations(name, store) for name in store.policies())
    nothing = LearningView(reason="recorded run without evaluations")
    return next((learning for learning in found if learning.n_evals), nothing)


def _recorded_evaluations(name: str, store: Store) -> LearningView:
    """What the curves say of one policy; there is no verdict on it."""
    n_evals, best = _evaluations(store, name)
    last = store.latest.get((name, "eval"), {})
    return LearningView(
        policy=name,
        mean=as_float(last.get("return_mean")),
        ci95=as_float(last.get("return_ci95")),
        best=best,
        n_evals=n_evals,
        reason="recorded run",
    )


def _recorded_best(summary: Mapping[str, Any]) -> BestView | None:
    try:
        return BestView.model_validate(summary.get("best"))
    except ValidationError:
        return None


def _evaluations(store: Store, policy: str) -> tuple[int, float | None]:
    """How many evaluations of a policy there were, and the best mean return of them."""
    curve = store.curves().get((policy, "eval", "return_mean"), EMPTY)
    good = np.isfinite(curve.high)
    best = float(curve.high[good].max()) if good.any() else None
    return int(curve.count[good].sum()), best


def _whole(value: float) -> int:
    return int(value) if math.isfinite(value) else 0


def env_settings(
    run_dir: Path,
) -> tuple[dict[str, Any], dict[str, Any], dict[str, Any] | None]:
    """`env.kwargs` and `env.eval_kwargs` of the run, and what came of playing both before it.

    The first two are empty, the last is None, where nobody can tell.
    """
    env = _toml(run_dir / "config.toml").get("env")
    found = (env.get(key) if isinstance(env, dict) else None for key in ("kwargs", "eval_kwargs"))
    kwargs, others = (value if isinstance(value, dict) else {} for value in found)
    tried = _object(run_dir / "probe.json").get("evaluations")
    known = isinstance(tried, dict) and {"words", "suspect"} <= tried.keys()
    return kwargs, others, tried if known else None


def _object(path: Path) -> dict[str, Any]:
    try:
        value = json.loads(regular.read(path))
    except (OSError, ValueError, RecursionError):
        return {}
    return value if isinstance(value, dict) else {}


def _toml(path: Path) -> dict[str, Any]:
    try:
        return tomllib.loads(regular.read_text(path))
    except (OSError, ValueError):
        return {}
