"""How a run ended, as the file that stays: summary.json."""

from __future__ import annotations

import time
from typing import Any

from tuitrain.config.runs import RunFolder
from tuitrain.disk import write_atomically
from tuitrain.metrics.sinks import JsonLines, to_json
from tuitrain.supervisor.ending import EXIT_CODES, End
from tuitrain.supervisor.run import Run
from tuitrain.supervisor.totals import totals

SCHEMA_VERSION = 1


def summarise(run: Run, end: End) -> dict[str, Any]:
    """Everything worth knowing of a run that is over."""
    snapshot = run.snapshot()
    failure = run.failure
    results = run.crew.results()
    raised = run.checking.close(snapshot)
    fingerprint: dict[str, Any] = {}
    for result in results.values():  # each learner's is of its own policies
        fingerprint |= result.get("fingerprint") or {}
    return {
        "schema_version": SCHEMA_VERSION,
        "run_id": run.run_id,
        "run_dir": str(run.folder.path),
        "name": run.folder.name,
        "schedule": run.config.run.schedule,
        "seed": run.config.run.seed,
        "state": end.state,
        "reason": end.reason,
        "ends_because": run.unattended.because,
        "stop_rules": [rule.model_dump() for rule in snapshot.stop_rules],
        "cause": end.reason if end.state == "failed" else None,
        "failed_check": end.check or None,
        "exit_code": EXIT_CODES[end.state],
        "started_s": run.started_s,
        "ended_s": time.time(),
        "wall_s": snapshot.elapsed_s,
        "steps": snapshot.steps,
        "total_steps": snapshot.total_steps,
        "base_steps": run.session.began_at,
        "policies": {
            p.name: {
                "agents": p.agents,
                "updates": p.updates,
                "transitions": p.transitions,
                "version": p.version,
                "ratio_achieved": p.ratio_achieved,
                "ratio_target": p.ratio_target,
                "target_updates": p.target_updates,
                "eval_return_mean": p.eval_return_mean,
                "eval_return_ci95": p.eval_return_ci95,
                "eval_best": p.eval_best,
                "train_return_mean": p.train_return_mean,
                "learning": p.learning.model_dump(),
            }
            for p in snapshot.policies
        },
        "learning": snapshot.learning.model_dump(),
        "bottleneck": snapshot.bottleneck,
        "checks": [check.model_dump() for check in snapshot.checks],
        "raised_checks": raised,
        "last_checkpoint": snapshot.last_checkpoint,
        "best": None if snapshot.best is None else snapshot.best.model_dump(),
        "fingerprint": fingerprint or None,
        "failure": None if failure is None else {"worker": failure.worker, **failure.data()},
        "restarts": {w.name: w.view.restarts for w in run.crew.workers.values() if w.view.restarts},
        "deaths": run.deaths,
        "lost_updates": dict(run.view.lost_updates),
        "totals": totals(JsonLines(run.folder.events_jsonl)),
        "reproducible": snapshot.reproducible,
        "changes": {
            s.key: {"value": s.value, "given": s.given}
            for s in snapshot.settings
            if s.value != s.given
        },
        "lost_lines": run.journal.lost_lines,
    }


def write_summary(folder: RunFolder, summary: dict[str, Any]) -> None:
    """Write summary.json in one move."""
    write_atomically(folder.summary_json, to_json(summary) + "\n")
