"""What a config already says of its run: the snapshot of one that has not begun."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from tuitrain.config.schema import Config
from tuitrain.diagnosis.checks import all_checks
from tuitrain.protocol import CheckView
from tuitrain.supervisor.snapshot import PolicyPlan, RunView, build_snapshot


def planned_trouble(
    config: Config, networks: Mapping[str, Mapping[str, Any] | None] | None = None
) -> list[CheckView]:
    """Checks that are raised by the plan alone; of several policies the one with fewest agents.

    Args:
        config: resolved.
        networks: by policy what was found by asking its network, as in ``PolicyPlan``; None if
            nobody has asked.
    """
    learner, replay = config.learner, config.replay
    plans = [
        PolicyPlan(
            name,
            replay.capacity,
            replay.learning_starts,
            float(learner.updates_per_transition),
            1.0,
            network=network,
        )
        for name, network in (networks or {"default": None}).items()
    ]
    view = RunView("", "", config, config, supervisor_pid=0, policies=plans)
    snapshot = build_snapshot(view, [], seq=0, now=0.0, time_s=0.0, elapsed_s=0.0)
    for policy in snapshot.policies:
        policy.lr = learner.lr
    checks = all_checks(snapshot, config.checks)
    return [check for check in checks if check.state in ("warn", "fail")]
