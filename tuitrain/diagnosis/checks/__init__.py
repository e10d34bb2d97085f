"""The checks a user sees: one pure function per row, from a snapshot and the limits to its state.

Each has a stable id, what was measured, the limit, a state and one line of advice; its
`catalogue_id` names the failures it guards against. A check whose input has not been measured is
``n/a``, never ``ok``. A check knows nothing but the snapshot and `[checks]` of the config.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from tuitrain.diagnosis.checks import (
    audit,
    ends,
    environment,
    learning,
    network,
    replay,
    settings,
    workers,
)
from tuitrain.diagnosis.checks.row import Check
from tuitrain.protocol import CheckView, Snapshot

if TYPE_CHECKING:
    from tuitrain.config.checks import ChecksConfig

CHECKS: tuple[Check, ...] = (
    environment.spec,
    workers.processes,
    workers.heartbeat,
    workers.progress,
    workers.standstill,
    workers.lock_wait,
    audit.row_checksums,
    audit.cross_episode,
    audit.stack_agreement,
    replay.overwritten,
    replay.warm_up,
    replay.left_behind,
    replay.replay_ratio,
    replay.policy_lag,
    replay.weights_hash,
    environment.resets,
    environment.observations,
    ends.episode_ends,
    environment.action_effect,
    environment.reward_signal,
    environment.reward_scale,
    environment.evaluation_env,
    network.network,
    settings.device,
    settings.lr,
    settings.target_network,
    settings.epsilon,
    settings.exploration,
    settings.discount,
    settings.evaluations,
    settings.value_range,
    learning.target_updates,
    learning.grad_flow,
    learning.q_bound,
    learning.grad_norm,
    learning.non_finite,
    workers.phase_time,
    workers.provenance,
    workers.lost_lines,
    learning.learning,
)
"""From processes over data, environment and settings to symptoms: causes stand first."""

BY_ID: dict[str, Check] = {check.id: check for check in CHECKS}


def all_checks(snapshot: Snapshot, limits: ChecksConfig) -> list[CheckView]:
    """Every check, worst first; ties keep the order of `CHECKS`."""
    order = {"fail": 0, "warn": 1, "ok": 2, "n/a": 3}
    rows = [check.run(snapshot, limits) for check in CHECKS]
    return sorted(rows, key=lambda row: order[row.state])
