"""Realistic lines and files of a run: what the screen is tested against."""

from __future__ import annotations

import json
import math
from pathlib import Path
from typing import Any

from tuitrain.protocol import (
    CheckView,
    EventLine,
    LearningView,
    PolicyView,
    ProcessView,
    ShardView,
    Snapshot,
)

START_S = 1_763_000_000.0


def actor(index: int, **changes: Any) -> ProcessView:
    """A healthy actor."""
    fields: dict[str, Any] = {
        "name": f"a{index}",
        "role": "actor",
        "pid": 40_100 + index,
        "state": "running",
        "beat_age_s": 0.2 + 0.05 * index,
        "progress": 1_550_000 + 1000 * index,
        "progress_age_s": 0.1,
        "rate": 1220.0 + 7 * index,
        "rate_unit": "st/s",
        "version": 96_980 + index,
        "lag_updates": 20.0 - index,
        "lag_s": 0.26,
        "epsilon": 0.10 + 0.04 * index,
        "epsilon_planned": 0.10 + 0.04 * index,
        "rss_bytes": 412 * 2**20,
        "cpu_percent": 97.0,
        "device": "cpu",
        "phase_share": {"act": 0.31, "env step": 0.52, "commit": 0.05, "wait": 0.11},
    }
    return ProcessView(**{**fields, **changes})


def processes(n_actors: int = 8) -> list[ProcessView]:
    """A learner, actors and an evaluator."""
    learner = ProcessView(
        name="learner",
        role="learner",
        pid=40_001,
        state="running",
        beat_age_s=0.3,
        progress=97_000,
        progress_age_s=0.0,
        rate=77.0,
        rate_unit="u/s",
        version=97_000,
        rss_bytes=2_470_000_000,
        cpu_percent=101.0,
        device="cuda:0",
        phase_share={"sample": 0.12, "copy": 0.04, "update": 0.79, "publish": 0.03, "wait": 0.01},
    )
    evaluator = ProcessView(
        name="eval",
        role="evaluator",
        pid=40_200,
        state="waiting",
        wait="next evaluation at 12.5M steps",
        beat_age_s=0.8,
        progress=30,
        progress_age_s=184.0,
        version=94_000,
        lag_updates=3000.0,
        rate=0.0,
        rate_unit="ep/s",
        lag_s=39.0,
        epsilon=0.0,
        rss_bytes=388 * 2**20,
        cpu_percent=0.0,
        device="cpu",
    )
    return [learner, *(actor(i) for i in range(n_actors)), evaluator]


def checks() -> list[CheckView]:
    """Fourteen checks, one of them a warning."""
    good = [
        ("replay_ratio", "replay ratio", "0.251", "0.250 ± 1%"),
        ("stack_agreement", "stack agreement", "0 of 12k", "= 0"),
        ("target_updates", "target updates", "194 of 194", "= expected"),
        ("spec_hash", "spec hash", "equal ×10", "equal"),
        ("torn_reads", "torn reads", "0", "= 0"),
        ("window_rejects", "window rejects", "1.2%", "≤ 10%"),
        ("epsilon", "epsilon vs plan", "0.000", "≤ 0.01"),
        ("weights_hash", "weights hash", "equal", "equal"),
        ("warm_up", "warm-up", "50k of 50k", "reached"),
        ("max_q", "max |Q|", "84.1", "≤ 990"),
        ("grad_norm", "grad norm p95", "3.1", "≤ 10"),
        ("lock_wait", "lock wait p99", "0.2 ms", "≤ 5 ms"),
        ("processes", "processes", "10 of 10", "all up"),
    ]
    rows = [
        CheckView(id=i, name=n, value=v, limit=limit, state="ok", advice="Nothing to do.")
        for i, n, v, limit in good
    ]
    rows.append(
        CheckView(
            id="policy_lag",
            name="policy lag a5",
            value="212u 2.8s",
            limit="≤ 200u",
            state="warn",
            advice="Actor a5 acts on weights 212 updates old. Give it a core of its own, or lower "
            "actors.envs_per_actor.",
            catalogue_id="3.1",
        )
    )
    rows.append(CheckView(id="checksum", name="row checksums", value="", limit="= 0", state="n/a"))
    return rows


def shard(index: int = 0, **changes: Any) -> ShardView:
    """A full ring of 10,000 rows, whose writer is a little further in it with each actor."""
    head = 52_000 + 1000 * index
    fields: dict[str, Any] = {
        "rows": 10_000,
        "tail": head - 9_960,
        "head": head,
        "reserved": 40,
        "low": head - 9_000,
        "end": head,
        "sampleable": 51_500.0,
        "rejects": 640.0 + index,
        "drawn_share": 0.125,
        "age_p50": 190_000.0,
        "age_p95": 380_000.0,
        "priority_mean": 0.42,
        "priority_max": 2.5,
        "lock_waits": 12.0,
        "lock_waited_s": 0.004,
        "lock_worst_s": 0.0011,
    }
    return ShardView(**{**fields, **changes})


def policy(name: str = "default", **changes: Any) -> PolicyView:
    """A policy in the middle of its training."""
    fields: dict[str, Any] = {
        "name": name,
        "transitions": 12_400_000,
        "sampleable": 412_000,
        "capacity": 1_000_000,
        "learning_starts": 50_000,
        "updates": 97_000,
        "updates_per_s": 77.0,
        "ratio_target": 0.25,
        "ratio_achieved": 0.251,
        "version": 97_000,
        "published_age_s": 0.4,
        "lag_updates_p50": 18.0,
        "lag_updates_p95": 37.0,
        "sample_age_p95": 380_000.0,
        "window_rejects": 5120,
        "loss": 0.0213,
        "q_mean": 41.2,
        "q_max_abs": 84.1,
        "td_p95": 0.71,
        "grad_norm": 3.1,
        "lr": 6.25e-5,
        "train_return_mean": 71.5,
        "eval_return_mean": 87.3,
        "eval_return_ci95": 4.2,
        "eval_best": 91.0,
        "shards": [shard(i) for i in range(8)],
    }
    return PolicyView(**{**fields, **changes})


def several(n: int = 12) -> Snapshot:
    """A run of `n` policies, agent_0 improving, agent_1 falling, the others flat."""
    policies = []
    for i in range(n):
        verdict: Any = {0: "IMPROVING", 1: "FALLING"}.get(i, "FLAT")
        learning = LearningView(policy=f"agent_{i}", verdict=verdict, mean=80.0 + i, n_evals=5)
        policies.append(
            policy(
                f"agent_{i}",
                learning=learning,
                train_return_mean=60.0 + i,
                eval_return_mean=80.0 + i,
                eval_best=90.0 + i,
            )
        )
    return snapshot(policies=policies, learning=policies[min(1, n - 1)].learning)


def snapshot(**changes: Any) -> Snapshot:
    """A run at 24 % of its steps, with one warning."""
    fields: dict[str, Any] = {
        "seq": 1,
        "time_s": START_S + 1265,
        "run_id": "3f9a12bc",
        "run_dir": "runs/breakout-rainbow-0412",
        "name": "breakout-rainbow-0412",
        "schedule": "async",
        "state": "running",
        "elapsed_s": 1265.0,
        "eta_s": 3837.0,
        "steps": 12_400_000,
        "total_steps": 50_000_000,
        "steps_per_s": 9800.0,
        "supervisor_pid": 1,
        "processes": processes(),
        "policies": [policy()],
        "learning": LearningView(
            verdict="IMPROVING",
            mean=87.3,
            ci95=4.2,
            best=91.0,
            n_evals=30,
            age_s=184.0,
            slope_per_1m_steps=4.1,
            slope_ci95=1.2,
            reason="last 10 evaluations",
        ),
        "checks": checks(),
        "last_checkpoint": "runs/breakout-rainbow-0412/checkpoints/ckpt-0000095000",
        "last_checkpoint_age_s": 44.0,
    }
    return Snapshot(**{**fields, **changes})


def bare() -> Snapshot:
    """A run of which nothing has been measured yet."""
    return Snapshot(
        seq=1,
        time_s=0.0,
        run_id="0",
        run_dir="r",
        name="bare",
        schedule="async",
        state="starting",
        elapsed_s=0.0,
        supervisor_pid=1,
        processes=[ProcessView(name="a0", role="actor"), ProcessView(name="l", role="learner")],
        policies=[policy(
            "default", transitions=0, sampleable=None, updates=0, updates_per_s=None,
            ratio_achieved=None, published_age_s=None, lag_updates_p95=None, sample_age_p95=None,
            grad_norm=None, shards=[ShardView(rows=10, tail=0, head=0)],
        )],
    )  # fmt: skip


def paused() -> Snapshot:
    """The same run, paused."""
    stopped = [
        p.model_copy(update={"state": "paused", "rate": 0.0, "wait": "paused by a client"})
        for p in processes()
    ]
    return snapshot(state="paused", steps_per_s=0.0, eta_s=None, processes=stopped)


def failed() -> Snapshot:
    """The same run after its learner met a loss that was not finite."""
    workers = processes()
    workers[0] = workers[0].model_copy(
        update={
            "state": "failed",
            "error": "Traceback (most recent call last):\n  ...\n"
            "NonFiniteLoss: loss of policy default is nan at update 97000",
            "rate": None,
            "cpu_percent": None,
            "rss_bytes": None,
        }
    )
    rows = checks()
    rows[10] = CheckView(
        id="grad_norm",
        name="grad norm p95",
        value="nan",
        limit="≤ 10",
        state="fail",
        advice="The loss is not finite: lower learner.lr or set learner.grad_clip.",
        catalogue_id="7.1",
    )
    return snapshot(
        state="failed",
        eta_s=None,
        steps_per_s=None,
        processes=workers,
        policies=[policy(loss=math.nan, grad_norm=math.inf, q_mean=math.nan)],
        learning=LearningView(verdict="FALLING", mean=math.nan, ci95=None, n_evals=3, age_s=9.0),
        checks=rows,
    )


def events() -> list[EventLine]:
    """What a run says in its first minutes, and one warning."""
    said = [
        ("info", "supervisor", "run 3f9a12bc started: async, 8 actors, 50M steps"),
        ("info", "supervisor", "probe: observation uint8 (84, 84) × 4 frames, 4 actions, cuda:0"),
        ("info", "learner", "network nature, 1 693 362 parameters, dueling"),
        ("info", "supervisor", "all 10 processes up in 4.1 s"),
        ("info", "learner", "warm-up over: 50 016 transitions, first update"),
        ("info", "eval", "v94000: return 87.3 ± 4.2 over 30 episodes"),
        ("info", "supervisor", "checkpoint ckpt-0000095000 written in 0.31 s"),
        ("warning", "supervisor", "policy lag a5: 212 updates, limit 200"),
    ]
    return [
        EventLine(seq=i, time_s=START_S + 10 * i, level=level, source=source, text=text)
        for i, (level, source, text) in enumerate(said)
    ]


def records(n: int = 400, policy_name: str = "default") -> list[dict[str, Any]]:
    """Metrics of a run that learns: learner and train records, an evaluation every twentieth."""
    found: list[dict[str, Any]] = []
    for i in range(1, n + 1):
        share = i / n
        wave = math.sin(i * 1.7) + 0.6 * math.sin(i * 0.37)
        base = {
            "policy": policy_name,
            "steps": int(12_400_000 * share),
            "updates": int(97_000 * share),
            "time_s": START_S + 1265 * share,
            "wall_s": 1265 * share,
        }
        level = 95 * (1 - math.exp(-2.6 * share))
        found.append(
            {
                "kind": "train",
                **base,
                "actor": i % 8,
                "episodes": 3,
                "return_mean": 0.8 * level + 5 * wave,
                "return_min": 0.5 * level,
                "return_max": 1.1 * level,
                "length_mean": 180 + 9 * level,
                "epsilon": max(0.1, 1 - share * 3),
            }
        )
        found.append(
            {
                "kind": "learner",
                **base,
                "version": base["updates"],
                "loss": 0.02 + 0.6 * math.exp(-4 * share) * (1.2 + 0.5 * wave * 0.6),
                "q_mean": 45 * share**0.6 + 0.5 * wave,
                "q_max_abs": 88 * share**0.5 + wave,
                "td_abs_mean": 0.2 + 0.3 * math.exp(-3 * share),
                "td_p95": 0.7 + 1.2 * math.exp(-3 * share) + 0.05 * wave,
                "grad_norm": 3 + wave,
                "lr": 6.25e-5 * (1 - 0.9 * share),
                "lag_updates_p50": 18 + wave,
                "lag_updates_p95": 37 + 3 * wave,
                "sample_age_p95": 380_000 * min(1.0, 3 * share),
                "target_updates": base["updates"] // 500,
            }
        )
        if i % 20 == 0:
            found.append(
                {
                    "kind": "eval",
                    **base,
                    "version": base["updates"],
                    "episodes": 30,
                    "return_mean": level + 3 * wave,
                    "return_ci95": 4.2,
                    "return_min": 0.0,
                    "return_max": 1.3 * level,
                    "length_mean": 200 + 10 * level,
                    "duration_s": 12.0,
                }
            )
    return found


def write_run(folder: Path, **summary: Any) -> Path:
    """A recorded run's folder."""
    (folder / "logs").mkdir(parents=True, exist_ok=True)
    (folder / "metrics.jsonl").write_text("".join(json.dumps(r) + "\n" for r in records()))
    (folder / "events.jsonl").write_text("".join(e.model_dump_json() + "\n" for e in events()))
    (folder / "config.toml").write_text(
        '[run]\nname = "breakout"\nschedule = "async"\ntotal_steps = 50_000_000\n'
        "[replay]\ncapacity = 1_000_000\nlearning_starts = 50_000\n"
    )
    (folder / "summary.json").write_text(json.dumps({"state": "finished", **summary}))
    for name in ("supervisor", "learner", "a0"):
        (folder / "logs" / f"{name}.log").write_text(
            "".join(f"12:00:{i % 60:02d} {name} line {i}\n" for i in range(200))
        )
    return folder
