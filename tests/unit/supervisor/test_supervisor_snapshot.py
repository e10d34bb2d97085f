"""What clients are shown, computed from what workers said."""

from __future__ import annotations

import math
from dataclasses import replace
from types import SimpleNamespace
from typing import Any

import pytest

from tuitrain.config.schema import Config
from tuitrain.metrics.rewind import Rewind
from tuitrain.supervisor.clients.console import progress_line
from tuitrain.supervisor.crew.worker_view import RateMeter, WorkerView
from tuitrain.supervisor.snapshot import (
    PolicyPlan,
    RunView,
    build_snapshot,
)
from tuitrain.supervisor.starting import Starting

PLAN = PolicyPlan(
    name="default",
    capacity=1000,
    learning_starts=100,
    ratio=0.5,
    band_updates=4.0,
    target_every_updates=10,
)


def run(plan: PolicyPlan = PLAN, **changes: Any) -> RunView:
    config = Config.model_validate({"run": {"total_steps": 1000}, **changes})
    return RunView("0123abcd", "/r", config, config, 1, policies=[plan], state="running")


def learner(**counters: float) -> WorkerView:
    view = WorkerView("learner", "learner")
    named = {k.replace("__", "/"): v for k, v in counters.items()}
    view.on_heartbeat(0.0, dict.fromkeys(named, 0.0), {})
    view.on_heartbeat(1.0, named, {})
    return view


def build(view: RunView, *workers: WorkerView, now: float = 1.0) -> Any:
    return build_snapshot(view, workers, seq=1, now=now, time_s=100.0, elapsed_s=now)


def test_a_rate_is_over_the_last_seconds_only() -> None:
    meter = RateMeter(window_s=5.0)
    assert meter.rate(0.0) is None
    for second in range(100):
        meter.add(second, 10.0 * second if second < 50 else 500.0 + 30.0 * (second - 50))
    assert meter.rate(99.2) == pytest.approx(30.0)


def test_a_rate_falls_to_zero_when_readings_stop() -> None:
    meter = RateMeter(window_s=5.0)
    for half in range(20):
        meter.add(half / 2, 50.0 * half)
    at_end = meter.rate(9.5)
    assert at_end == pytest.approx(100.0)
    later = meter.rate(13.0)
    assert later is not None
    assert 0 < later < 100.0
    assert meter.rate(15.0) == 0.0


def ratio(plan: PolicyPlan = PLAN, **counters: float) -> tuple[Any, Any, Any]:
    """Achieved, asked for, updates that it counts."""
    named = {f"{name}__default": value for name, value in counters.items()}
    policy = build(run(plan), learner(**named)).policies[0]
    return policy.ratio_achieved, policy.ratio_target, policy.ratio_updates


def test_the_achieved_ratio_starts_when_warm_up_ends() -> None:
    assert ratio(inserts=100, updates=0)[0] is None
    assert ratio(inserts=300, updates=100) == (0.5, 0.5, 100)


def test_a_resumed_run_counts_this_session_only() -> None:
    plan = PolicyPlan("default", 1000, 100, 0.5, 4.0, base_transitions=900, base_updates=400)
    assert ratio(plan, inserts=1000, updates=400)[0] is None
    assert ratio(plan, inserts=1200, updates=500) == (0.5, 0.5, 100)


def test_a_changed_ratio_is_measured_from_the_change_on() -> None:
    """▣ By all that was made before it would be off for ever."""
    since = {"ratio": 2.0, "ratio_inserts": 500, "ratio_updates": 200}
    assert ratio(inserts=500, updates=200, **since) == (None, 2.0, 0)
    assert ratio(inserts=600, updates=400, **since) == (2.0, 2.0, 200)


def test_counters_become_the_run() -> None:
    view = learner(
        env_steps=400,
        updates__default=150,
        inserts__default=400,
        version__default=15,
        target_updates__default=15,
        sampleable__default=390,
    )
    snapshot = build(run(), view)
    assert snapshot.steps == 400
    assert snapshot.steps_per_s == pytest.approx(400.0)
    assert snapshot.eta_s == pytest.approx(1.5)
    policy = snapshot.policies[0]
    assert (policy.updates, policy.transitions, policy.version) == (150, 400, 15)
    assert policy.ratio_achieved == 0.5
    assert policy.target_updates_expected == 15
    assert {c.id: c.state for c in snapshot.checks}["target_updates"] == "ok"


def test_before_any_heartbeat_a_resumed_run_shows_where_it_starts() -> None:
    plan = PolicyPlan("default", 1000, 100, 0.5, 4.0, base_transitions=900, base_updates=400)
    view = run(plan)
    view.base_steps = 900
    snapshot = build(view, WorkerView("learner", "learner"))
    assert snapshot.steps == 900
    assert snapshot.policies[0].updates == 400
    assert snapshot.policies[0].ratio_achieved is None
    assert snapshot.eta_s is None


def test_soft_updates_are_expected_at_every_update() -> None:
    plan = PolicyPlan("default", 1000, 100, 0.5, 4.0, target_every_updates=None)
    view = learner(updates__default=7, target_updates__default=14)  # a second owner
    snapshot = build(run(plan), view)
    assert snapshot.policies[0].target_updates_expected == 7
    assert {c.id: c.state for c in snapshot.checks}["target_updates"] == "fail"


def test_an_actor_behind_the_newest_version_has_lag() -> None:
    view = run()
    source = learner(updates__default=50, version__default=5)
    build(view, source, now=1.0)
    actor = WorkerView("a0", "actor")
    actor.on_heartbeat(3.0, {"version": 4, "updates_held": 40, "epsilon": 0.1}, {})
    process = build(view, source, actor, now=3.0).processes[1]
    assert process.lag_updates == 10
    assert process.lag_s == pytest.approx(2.0)
    assert process.epsilon == 0.1
    actor.on_heartbeat(3.5, {"version": 5, "updates_held": 50}, {})
    process = build(view, source, actor, now=3.5).processes[1]
    assert (process.lag_updates, process.lag_s) == (0, 0.0)


def test_phase_shares_are_of_recent_time() -> None:
    view = WorkerView("a0", "actor")
    for second in range(20):
        view.on_heartbeat(second, {}, {"act": float(second), "wait": 100.0})
    assert view.phase_share == {"act": 1.0, "wait": 0.0}


def test_records_that_are_not_finite_are_counted() -> None:
    view = run()
    view.on_record({"kind": "learner", "policy": "default", "loss": 1.0}, 0.0)
    assert build(view).policies[0].non_finite == 0
    view.on_record({"kind": "learner", "policy": "default", "loss": math.nan}, 0.0)
    snapshot = build(view)
    assert snapshot.policies[0].non_finite == 1
    assert {c.id: c.state for c in snapshot.checks}["non_finite"] == "fail"


def test_numbers_of_updates_that_are_lost_do_not_count() -> None:
    """▣ A learner's successor goes on from sound weights: no checkpoint of it was called good."""
    view = run()
    view.on_record({"kind": "learner", "policy": "other", "steps": 9, "updates": 5000}, 0.0)
    for updates, loss in ((100, math.nan), (200, 1.0), (300, math.nan), (400, math.nan)):
        about = {"kind": "learner", "policy": "default", "steps": 10 * updates, "updates": updates}
        view.on_record({**about, "loss": loss}, 0.0)
    assert build(view).policies[0].non_finite == 3
    view.on_rewind(Rewind(9000, {"default": 300}))  # the learner alone
    assert build(view).policies[0].non_finite == 2
    view.on_rewind(Rewind(2000))  # all of them
    assert build(view).policies[0].non_finite == 1
    view.begin()
    assert build(view).policies[0].non_finite is None


def test_evaluations_make_the_verdict() -> None:
    view = run()
    for i in range(5):
        view.on_record(
            {
                "kind": "eval",
                "policy": "default",
                "steps": i * 1000,
                "return_mean": 10.0 * i,
                "return_ci95": 1.0,
            },
            float(i),
        )
    learning = build(view, now=6.0).learning
    assert learning.verdict == "IMPROVING"
    assert (learning.mean, learning.best, learning.n_evals) == (40.0, 40.0, 5)
    assert learning.age_s == pytest.approx(2.0)


def evaluated(view: RunView, policy: str, means: list[float], now: float) -> None:
    for i, mean in enumerate(means):
        record = {"kind": "eval", "policy": policy, "steps": i * 1000, "return_mean": mean}
        view.on_record({**record, "return_ci95": 1.0}, now)


def test_each_policy_is_judged_by_itself_and_the_worst_by_name_stands_for_all() -> None:
    view = run()
    view.policies = [replace(PLAN, name=name) for name in ("a", "b", "c")]
    assert progress_line(build(view)).count("worst") == 0  # nothing is judged yet
    evaluated(view, "a", [10.0 * i for i in range(5)], 1.0)
    evaluated(view, "b", [7.0] * 8, 2.0)
    evaluated(view, "c", [8.0] * 8, 3.0)
    shown = build(view, now=6.0)
    verdicts = [(p.learning.policy, p.learning.verdict) for p in shown.policies]
    assert verdicts == [("a", "IMPROVING"), ("b", "FLAT"), ("c", "FLAT")]
    assert [p.learning.age_s for p in shown.policies] == [5.0, 4.0, 3.0]
    assert (shown.learning.policy, shown.learning.mean) == ("b", 7.0)
    assert shown.learning.reason == f"b: {shown.policies[1].learning.reason}"
    assert "  worst of 3: b → FLAT eval 7±1  " in progress_line(shown)
    assert "  a 0 updates  b 0 updates  c 0 updates  " in progress_line(build(view))
    view.policies = [replace(PLAN, name=name) for name in ("a", "b", "c", "d")]
    assert "  0 updates 0.0 u/s of 4 policies  worst of 4: b → " in progress_line(build(view))
    one = run(PLAN)
    evaluated(one, "default", [7.0] * 8, 2.0)
    assert "  eval 7±1 FLAT  " in progress_line(build(one))


def test_a_verdict_that_the_newest_evaluation_does_not_fit_says_so() -> None:
    """▣ "FLAT AT BEST eval 43.1, best 500" contradicts itself."""
    one, two = run(PLAN), run(PLAN)
    solved = [20.0, 90.0, 210.0, 390.0, *[500.0] * 12]
    evaluated(one, "default", [*solved, 43.0], 2.0)
    shown = build(one)
    assert "  eval 43±1 FLAT AT BEST but for the newest  " in progress_line(shown)
    assert shown.learning.newest_alone == "FLAT"
    evaluated(two, "default", solved, 2.0)
    assert "  eval 500±1 FLAT AT BEST  " in progress_line(build(two))


def test_a_verdict_is_of_what_survives_a_return_to_a_checkpoint() -> None:
    view = run()
    evaluated(view, "default", [10.0, 20.0, 30.0, 40.0, 50.0, 0.0, 0.0], 1.0)
    assert build(view).learning.verdict != "IMPROVING"
    view.on_rewind(Rewind(4000, {}))
    assert build(view).learning.verdict == "IMPROVING"


def test_evaluations_that_were_due_and_not_made_are_counted() -> None:
    view = run(eval={"every_steps": 1000})
    for steps in (1000, 2004, 5010, 5600, 9000, 9000):  # 3000 and 4000, 6000 to 8000
        record = {"kind": "eval", "policy": "default", "steps": steps, "return_mean": 1.0}
        view.on_record(record, 1.0)
    assert (build(view).learning.n_evals, build(view).learning.skipped) == (6, 5)
    resumed = run(eval={"every_steps": 1000})
    resumed.base_steps = 7500
    resumed.on_record({**record, "steps": 8000}, 1.0)
    assert build(resumed).learning.skipped == 0


def beat(view: WorkerView, now: float, steps: float) -> None:
    view.on_heartbeat(now, {"env_steps": steps}, {})


def test_the_time_left_is_told_from_minutes_and_not_from_the_last_second() -> None:
    view = WorkerView("learner", "learner")
    for second in range(101):
        beat(view, second, 2.0 * second)
    for tick in range(1, 11):  # for five seconds ten times as fast
        beat(view, 100 + tick / 2, 200.0 + 10 * tick)
    shown = build(run(), view, now=105.0)
    assert shown.steps_per_s == pytest.approx(20.0)
    assert shown.eta_s == pytest.approx(700 / (300 / 105))


def test_a_pause_has_no_end_and_is_no_slowness_later() -> None:
    view, of = WorkerView("learner", "learner"), run()
    for second in range(11):
        beat(view, second, 10.0 * second)
    of.state = view.state = "paused"
    for second in range(11, 60):
        beat(view, second, 100.0)
    assert build(of, view, now=59.0).eta_s is None
    of.state = view.state = "running"
    for second in range(60, 70):
        beat(view, second, 100.0 + 10 * (second - 59))
    assert build(of, view, now=69.0).eta_s == pytest.approx(800 / 10)


def test_what_is_slow_is_kept_when_the_run_has_ended() -> None:
    of, view, actor = run(), learner(env_steps=10.0), WorkerView("a0", "actor")
    view.phase_share, actor.phase_share = {"update": 0.9, "wait": 0.1}, {"wait": 0.8}
    words = "bottleneck: learner, busy 90%; actors wait 80%"
    assert build(of, view, actor).bottleneck == words
    of.state = view.state = actor.state = "finished"
    assert build(of, view, actor).bottleneck == words


def test_agents_are_counted_by_policy() -> None:
    assert build(run(replace(PLAN, agents=5))).policies[0].agents == 5


def test_what_a_worker_used_last_is_not_shown_once_it_has_ended() -> None:
    view = learner(updates__default=7.0)
    view.rss_bytes, view.cpu_percent, view.phase_share = 0, 0.0, {"wait": 1.0}
    shown = build(run(), view).processes[0]
    assert (shown.rate, shown.rss_bytes, shown.phase_share) == (7.0, 0, {"wait": 1.0})
    view.state = "finished"
    shown = build(run(), view).processes[0]
    assert (shown.rate, shown.rss_bytes, shown.cpu_percent) == (None, None, None)
    assert shown.phase_share == {}


def test_without_an_evaluator_nothing_is_claimed() -> None:
    assert build(run(eval={"enabled": False})).learning.verdict == "n/a"


def test_each_policy_is_counted_by_the_learner_that_has_it() -> None:
    """Of several learners; all count steps, and the run has made what the newest says."""
    plans = [replace(PLAN, name=name) for name in ("a", "b", "c")]
    view = run()
    view.policies = plans
    first = learner(updates__a=5.0, inserts__a=500.0, env_steps=90.0)
    second = learner(updates__b=7.0, inserts__b=700.0, env_steps=95.0)
    first.name, second.name = "learner0", "learner1"
    shown = build(view, first, second)
    assert [(p.updates, p.transitions) for p in shown.policies] == [(5, 500), (7, 700), (0, 0)]
    assert [p.updates_per_s for p in shown.policies] == [5.0, 7.0, None]
    assert (shown.steps, shown.steps_per_s) == (95, 95.0)
    assert [(p.name, p.rate) for p in shown.processes] == [("learner0", 5.0), ("learner1", 7.0)]


def test_a_successor_goes_on_where_its_predecessor_had_counted_to() -> None:
    view = WorkerView("a0", "actor")
    view.on_heartbeat(0.0, {"steps": 100, "episodes": 4, "epsilon": 0.5}, {"act": 3.0})
    view.on_heartbeat(1.0, {"steps": 200, "episodes": 9, "epsilon": 0.4}, {"act": 4.0})
    view.progress = 25
    view.begin_again()
    assert (view.restarts, view.state, view.phase_share) == (1, "starting", {})
    view.on_heartbeat(2.0, {"steps": 0, "epsilon": 0.3}, {"act": 0.0})
    assert view.counters == {"steps": 200, "episodes": 9, "epsilon": 0.3}
    assert view.rate("steps", 2.0) == 50.0
    view.on_heartbeat(3.0, {"steps": 30, "episodes": 1, "epsilon": 0.2}, {"act": 1.0})
    assert view.counters == {"steps": 230, "episodes": 10, "epsilon": 0.2}
    assert view.phase_share == {"act": 1.0}
    view.begin_again()
    view.on_heartbeat(4.0, {"steps": 5}, {})
    assert view.counters["steps"] == 235
    assert (view.earlier_progress, view.restarts) == (25, 2)


def test_what_a_dead_learner_has_made_still_counts_for_ratio_and_rate() -> None:
    """The network's own count goes back to the checkpoint; ratio and rate must not."""
    counters = {"inserts/default": 400.0, "updates/default": 150.0, "updates_made/default": 150.0}
    view = WorkerView("learner", "learner")
    view.on_heartbeat(0.0, counters, {})
    view.begin_again()
    counters |= {"updates/default": 110.0, "updates_made/default": 160.0}
    view.on_heartbeat(1.0, counters, {})
    state = run()
    state.lost_updates = {"default": 50}
    policy = build(state, view).policies[0]
    assert (policy.updates, policy.lost_updates) == (110, 50)
    assert policy.ratio_achieved == (160 / 300)
    assert policy.updates_per_s == 10.0


def test_shards_are_their_policys_own_and_outlive_their_memory() -> None:
    """The last snapshot is made when the memory has been given back."""
    memory = {"default": [{"rows": 10, "tail": 2, "head": 9, "sampleable": 7.0}], "other": []}
    held = SimpleNamespace(shards=lambda: dict(memory), close=memory.clear)
    there: Any = SimpleNamespace(
        shards=held.shards, crew=SimpleNamespace(judged_by=SimpleNamespace(where=None))
    )
    starting = Starting(there, *[None] * 3)
    starting.held = held
    starting.let_go()
    assert held.shards() == {}
    snapshot = build_snapshot(
        run(), [], seq=1, now=1.0, time_s=1.0, elapsed_s=1.0, shards=there.shards()
    )
    (shard,) = snapshot.policies[0].shards
    assert (shard.rows, shard.head, shard.sampleable, shard.lock_waits) == (10, 9, 7.0, None)
    assert build(run()).policies[0].shards == []


def test_a_rate_is_never_over_a_pause() -> None:
    view = WorkerView("learner", "learner", state="running")
    for second in range(5):
        view.on_heartbeat(second, {"env_steps": 100.0 * second, "updates/p": 10.0 * second}, {})
    view.state = "paused"
    for second in range(5, 20):
        view.on_heartbeat(second, {"env_steps": 400.0, "updates/p": 40.0}, {})
    assert view.rate("env_steps", 19.0) is None
    view.state = "running"
    for second in range(20, 23):
        made = second - 20
        rates = [view.rate(name, second) for name in ("env_steps", "updates", "updates/p")]
        assert rates in ([None] * 3, [100.0, 10.0, 10.0])
        view.on_heartbeat(
            second, {"env_steps": 400 + 100.0 * made, "updates/p": 40 + 10.0 * made}, {}
        )
    assert view.rate("env_steps", 22.0) == 100.0


def test_what_a_silent_worker_said_last_is_not_told_as_if_it_were_so() -> None:
    """▣ A worker that hangs in its environment has said before that it waits."""
    actor = WorkerView("a0", "actor", state="waiting", wait="the learner", stands_in="env step")
    actor.beat_at = 0.0
    heard = build(run(), actor, now=5.0).processes[0]
    assert (heard.state, heard.wait) == ("waiting", "the learner")
    shown = build(run(), actor, now=5.1)  # checks.heartbeat_s is 5
    assert (shown.processes[0].state, shown.processes[0].wait) == ("silent", None)
    assert shown.bottleneck == 'silent: a0 in "env step"'
    shown.steps_per_s = 0.0
    assert "a0 silent" in progress_line(shown)
    again = build(run(), replace(actor, beat_at=5.1), now=5.2)
    assert again.processes[0].state == "waiting"
    assert again.bottleneck is None
