"""How a run ended, as the file that stays: summary.json."""

from __future__ import annotations

import time
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from tuitrain.config.runs import RunFolder, write_atomically
from tuitrain.metrics.sinks import to_json
from tuitrain.protocol import RunState

if TYPE_CHECKING:
    from tuitrain.supervisor.supervisor import Supervisor

SCHEMA_VERSION = 1

EXIT_OK = 0
EXIT_CONFIG = 2
EXIT_FAILED = 3
EXIT_INTERRUPTED = 130

EXIT_CODES: dict[RunState, int] = {
    "finished": EXIT_OK,
    "stopped": EXIT_OK,
    "failed": EXIT_FAILED,
    "interrupted": EXIT_INTERRUPTED,
}
"""0 finished or stopped by its user; 2 config or usage; 3 failed; 130 Ctrl-C."""


@dataclass(frozen=True)
class End:
    """Why a run ends.

    Attributes:
        checkpoint: whether the learner saves before it stops.
        hard: workers are killed without being asked.
    """

    state: RunState
    reason: str
    checkpoint: bool = True
    hard: bool = False


def summarise(supervisor: Supervisor, end: End) -> dict[str, Any]:
    """Everything worth knowing of a run that is over."""
    snapshot = supervisor.snapshot()
    failure = supervisor.failure
    results = supervisor.crew.results()
    fingerprint = next((r["fingerprint"] for r in results.values() if r.get("fingerprint")), None)
    return {
        "schema_version": SCHEMA_VERSION,
        "run_id": supervisor.run_id,
        "run_dir": str(supervisor.folder.path),
        "name": supervisor.folder.name,
        "schedule": supervisor.config.run.schedule,
        "seed": supervisor.config.run.seed,
        "state": end.state,
        "reason": end.reason,
        "cause": end.reason if end.state == "failed" else None,
        "exit_code": EXIT_CODES[end.state],
        "started_s": supervisor.started_s,
        "ended_s": time.time(),
        "wall_s": snapshot.elapsed_s,
        "steps": snapshot.steps,
        "total_steps": snapshot.total_steps,
        "base_steps": supervisor.view.base_steps,
        "policies": {
            p.name: {
                "updates": p.updates,
                "transitions": p.transitions,
                "version": p.version,
                "ratio_achieved": p.ratio_achieved,
                "ratio_target": p.ratio_target,
                "target_updates": p.target_updates,
                "eval_return_mean": p.eval_return_mean,
                "eval_return_ci95": p.eval_return_ci95,
                "eval_best": p.eval_best,
            }
            for p in snapshot.policies
        },
        "learning": snapshot.learning.model_dump(),
        "checks": [check.model_dump() for check in snapshot.checks],
        "last_checkpoint": snapshot.last_checkpoint,
        "fingerprint": fingerprint,
        "failure": None if failure is None else {"worker": failure.worker, **failure.data()},
        "lost_lines": supervisor.journal.lost_lines,
    }


def write_summary(folder: RunFolder, summary: dict[str, Any]) -> None:
    """Write summary.json in one move."""
    write_atomically(folder.summary_json, to_json(summary) + "\n")
