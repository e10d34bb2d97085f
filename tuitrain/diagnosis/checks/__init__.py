"""The checks a user sees: one pure function per row, from a snapshot and the limits to its state.

Each has a stable id, what was measured, the limit, a state and one line of advice; its
`catalogue_id` names the failures it guards against. A check whose input has not been measured is
``n/a``, never ``ok``. A check knows nothing but the snapshot and `[checks]` of the config.
"""

from __future__ import annotations

from tuitrain.config.checks import ChecksConfig
from tuitrain.diagnosis.checks import environment, learning, replay, workers
from tuitrain.diagnosis.checks.row import Check
from tuitrain.protocol import CheckView, Snapshot

CHECKS: tuple[Check, ...] = (
    workers.processes,
    workers.heartbeat,
    workers.progress,
    environment.spec,
    replay.replay_ratio,
    replay.policy_lag,
    replay.weights_hash,
    replay.warm_up,
    replay.left_behind,
    learning.target_updates,
    learning.non_finite,
    workers.lost_lines,
)
"""From processes over data, environment and settings to symptoms: causes stand first."""

BY_ID: dict[str, Check] = {check.id: check for check in CHECKS}


def all_checks(snapshot: Snapshot, limits: ChecksConfig) -> list[CheckView]:
    """Every check, worst first; ties keep the order of `CHECKS`."""
    order = {"fail": 0, "warn": 1, "ok": 2, "n/a": 3}
    rows = [check.run(snapshot, limits) for check in CHECKS]
    return sorted(rows, key=lambda row: order[row.state])
