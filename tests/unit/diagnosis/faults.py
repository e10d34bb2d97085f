"""Snapshots of a healthy run, and one for every fault that a check is there for."""

from __future__ import annotations

from typing import Any

from tuitrain.protocol import CheckState, PolicyView, ProcessView, Snapshot, WeightsHeld


def snapshot(**changes: Any) -> Snapshot:
    return Snapshot(
        **{
            "seq": 1,
            "time_s": 0.0,
            "run_id": "0123abcd",
            "run_dir": "/r",
            "name": "n",
            "schedule": "async",
            "state": "running",
            "elapsed_s": 1.0,
            "supervisor_pid": 1,
            **changes,
        }
    )


def healthy() -> Snapshot:
    def process(name: str, role: str) -> ProcessView:
        return ProcessView(
            name=name,
            role=role,
            state="running",
            beat_age_s=0.3,
            progress_age_s=0.3,
            spec_hash="s",
            weights={"default": WeightsHeld(version=7, sha256="aa")},
        )

    policy = PolicyView(
        name="default",
        transitions=101_000,
        capacity=50_000,
        learning_starts=1000,
        updates=10_000,
        ratio_target=0.1,
        ratio_achieved=0.1,
        ratio_band_updates=50.0,
        ratio_updates=10_000,
        warm_up_transitions=101_000,
        lag_updates_p95=4000.0,
        target_updates=20,
        target_updates_expected=20,
        non_finite=0,
    )
    return snapshot(
        spec_hash="s",
        steps=101_000,
        steps_per_s=100.0,
        lost_lines=0,
        processes=[process("learner", "learner"), process("a0", "actor")],
        policies=[policy],
    )


def change(path: str, value: Any) -> Snapshot:
    """A healthy snapshot with one thing changed: `policies.0.updates`."""
    out = healthy()
    target: Any = out
    *way, last = path.split(".")
    for key in way:
        target = target[int(key)] if key.isdigit() else getattr(target, key)
    if isinstance(target, dict):
        target[last] = value
    else:
        setattr(target, last, value)
    return out


FAULTS: list[tuple[str, str, Any, CheckState, str]] = [
    ("processes", "processes.1.state", "failed", "fail", "a0"),
    ("heartbeat", "processes.1.beat_age_s", 6.0, "warn", "a0"),
    ("progress", "processes.1.progress_age_s", 31.0, "warn", "a0"),
    ("replay_ratio", "policies.0.ratio_achieved", 0.1012, "fail", "1.2%"),
    ("replay_ratio", "policies.0.ratio_achieved", 0.0988, "fail", "1.2%"),
    ("policy_lag", "policies.0.lag_updates_p95", 6001.0, "warn", "publish_every_updates"),
    ("spec", "processes.1.spec_hash", "other", "fail", "environment"),
    (
        "weights_hash",
        "processes.1.weights.default",
        WeightsHeld(version=7, sha256="bb"),
        "fail",
        "never published",
    ),
    ("non_finite", "policies.0.non_finite", 1, "fail", "default"),
    ("target_updates", "policies.0.target_updates", 40, "fail", "more than one owner"),
    ("target_updates", "policies.0.target_updates", 19, "fail", "default"),
    ("warm_up", "policies.0.warm_up_transitions", 999, "fail", "before learning_starts"),
    (
        "left_behind",
        "policies",
        [*healthy().policies, PolicyView(name="z")],
        "warn",
        "never had a transition",
    ),
    ("lost_lines", "lost_lines", 3, "warn", "could not be written"),
]
"""For every check: what is changed in a healthy run, the state it leads to, and what is said."""
