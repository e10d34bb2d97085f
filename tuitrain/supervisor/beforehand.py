"""What a config already says of its run: the snapshot of one that has not begun."""

from __future__ import annotations

from tuitrain.config.schema import Config
from tuitrain.diagnosis.checks import all_checks
from tuitrain.protocol import CheckView
from tuitrain.supervisor.snapshot import PolicyPlan, RunView, build_snapshot


def planned_trouble(config: Config) -> list[CheckView]:
    """Checks that are raised by the plan alone; of several policies the one with fewest agents.

    Args:
        config: resolved.
    """
    learner, replay = config.learner, config.replay
    plan = PolicyPlan(
        "default",
        replay.capacity,
        replay.learning_starts,
        float(learner.updates_per_transition),
        1.0,
    )
    view = RunView("", "", config, config, supervisor_pid=0, policies=[plan])
    snapshot = build_snapshot(view, [], seq=0, now=0.0, time_s=0.0, elapsed_s=0.0)
    snapshot.policies[0].lr = learner.lr
    checks = all_checks(snapshot, config.checks)
    return [check for check in checks if check.state in ("warn", "fail")]
