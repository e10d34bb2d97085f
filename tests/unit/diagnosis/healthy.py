"""Snapshots of a healthy run, and how one is changed: what checks are asked about."""

from __future__ import annotations

from typing import Any

from tuitrain.measurements import NetworkMeasured
from tuitrain.protocol import (
    LearningView,
    PolicyView,
    ProcessView,
    ShardView,
    Snapshot,
    WeightsHeld,
)


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
            device="cpu",
            device_asked="cpu",
        )

    learner, actor = process("learner", "learner"), process("a0", "actor")
    learner.phase_share = {"sample": 0.2, "copy": 0.1, "update": 0.4, "publish": 0.1, "wait": 0.2}
    actor.epsilon, actor.epsilon_off = 0.1, 0.0

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
        eval_return_mean=100.0,
        learning=LearningView(policy="default", verdict="IMPROVING", n_evals=10, held_evals=6),
        shards=[ShardView(rows=60_000, tail=0, head=30_000, lock_worst_s=0.001)],
        transitions_here=101_000,
        returns_abs_max=1.0,
        returns_nonzero_share=0.9,
        observation_spread=1.0,
        observation_abs_max=4.8,
        td_abs_mean=0.5,
        grad_zero_share=0.0,
        grad_norm=3.0,
        network=NetworkMeasured(low=-90.0, high=90.0),
        audited=1200,
        stack_disagreements=0,
        cross_episode_samples=0,
        checksum_failures=0,
        episodes=400,
        first_return_mean=20.0,
        truncated=40,
        length_max=500,
        truncated_length_min=200,
        truncated_length_max=500,
        resets_unchanged=0,
        begins_differ=1,
        changes_within=1,
        action_effect_p=1e-30,
        action_effect_rows=20_000,
        reset_difference_p=0.4,
        evals_cut_alike=0,
        evals_planned=20,
        lr=5e-4,
        lr_start=5e-4,
        lr_planned=5e-4,
        learned_share=0.99,
        weight_move=10.0,
        gamma=0.99,
        returns_clipped_share=0.0,
        lr_spent_share=0.0,
        most_epsilon=1.0,
        final_epsilon=0.05,
        target_kept_at_end=0.0,
        q_max_abs=60.0,
        q_bound=100.0,
        overwritten=0,
        steps_each=12_000.0,
    )
    return snapshot(
        spec_hash="s",
        steps=101_000,
        steps_per_s=100.0,
        lost_lines=0,
        edited_sources=[],
        total_steps=200_000,
        processes=[learner, actor],
        policies=[policy],
        learning=policy.learning,
    )


def change(path: str, value: Any) -> Snapshot:
    """A healthy snapshot with one thing changed: `policies.0.updates`.

    Several fields of one policy or process are changed by a dict: `policies.0`.
    """
    out = healthy()
    target: Any = out
    *way, last = path.split(".")
    for key in way:
        target = target[int(key)] if key.isdigit() else getattr(target, key)
    if isinstance(target, list):
        for key, of in value.items():
            setattr(target[int(last)], key, of)
    elif isinstance(target, dict):
        target[last] = value
    else:
        setattr(target, last, value)
    return out


def waiting() -> list[ProcessView]:
    """Learner and actor, each of which waits for the other."""
    found = healthy().processes
    for process in found:
        process.state, process.progress_age_s = "waiting", 61.0
    found[0].wait, found[1].wait = "data", "the learner"
    return found
