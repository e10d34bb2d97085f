"""What checks are given to judge: of records, heartbeats and the config at one moment."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import pytest

from tuitrain.config.schema import Config
from tuitrain.protocol import LearningView, ProcessView, Snapshot
from tuitrain.supervisor.crew.worker_view import WorkerView
from tuitrain.supervisor.evaluated import Evaluated
from tuitrain.supervisor.measured import SETTLED_S, compare_epsilons
from tuitrain.supervisor.snapshot import PolicyPlan, RunView, build_snapshot


def config(**tables: dict[str, Any]) -> Config:
    base: dict[str, dict[str, Any]] = {
        "run": {"total_steps": 40_000},
        "actors": {"count": 2, "envs_per_actor": 4, "chunk_steps": 16},
    }
    for name, table in tables.items():
        base[name] = {**base.get(name, {}), **table}
    return Config.model_validate(base)


def run(of: Config | None = None) -> RunView:
    of = of or config()
    plan = PolicyPlan("p", 1000, 100, 0.5, 4.0, target_every_updates=500)
    return RunView("0123abcd", "/r", of, of, 1, policies=[plan], state="running")


def shown(view: RunView, *workers: WorkerView, now: float = 100.0) -> Snapshot:
    return build_snapshot(view, workers, seq=1, now=now, time_s=0.0, elapsed_s=now)


def learner(**fields: Any) -> dict[str, Any]:
    return {"kind": "learner", "policy": "p", "updates": 10, "steps": 100} | fields


def test_what_records_say_is_in_the_view_of_their_policy() -> None:
    view = run()
    view.on_record(learner(returns_abs_max=3.0), 0.0)
    view.on_record({"kind": "train", "policy": "p", "episodes": 4, "length_max": 9}, 0.0)
    (policy,) = shown(view).policies
    assert (policy.returns_abs_max, policy.episodes, policy.length_max) == (3.0, 4, 9)
    assert (policy.final_epsilon, policy.target_kept_at_end) == (0.05, 0.0)
    view.begin()
    (policy,) = shown(view).policies
    assert (policy.returns_abs_max, policy.episodes) == (None, None)


def test_what_is_changed_for_evaluations_is_named() -> None:
    assert shown(run()).policies[0].eval_kwargs is None
    changed = config(env={"eval_kwargs": {"easy": True}})
    assert shown(run(changed)).policies[0].eval_kwargs == "{'easy': True}"


def test_only_the_first_episodes_of_a_run_are_by_chance() -> None:
    view = run()
    first = {"kind": "train", "policy": "p", "epsilon": 1.0, "episodes": 20, "return_mean": 3.0}
    view.on_record(first, 0.0)
    assert shown(view).policies[0].first_return_mean is None, "of 8 environments the short ones"
    view.on_record(first | {"return_mean": 7.0}, 0.0)
    assert shown(view).policies[0].first_return_mean == 5.0
    view.base_steps = 100
    assert shown(view).policies[0].first_return_mean is None


def test_untrained_weights_play_by_chance_and_those_of_another_run_do_not() -> None:
    first = {"kind": "train", "policy": "p", "updates": 0, "epsilon": 0.6, "episodes": 40}
    for init_from, mean in ((None, 3.0), ("other/best", None)):
        view = run(config(run={"init_from": init_from}))
        view.on_record(first | {"return_mean": 3.0, "chance_episodes": 0}, 0.0)
        assert shown(view).policies[0].first_return_mean == mean


def test_values_are_bounded_once_returns_are_known() -> None:
    view = run()
    for _ in range(4):
        view.on_record(learner(returns_abs_max=3.0), 0.0)
    assert shown(view).policies[0].q_bound is None
    view.on_record(learner(returns_abs_max=2.0), 0.0)
    assert shown(view).policies[0].q_bound == pytest.approx(300.0)
    view.on_record({"kind": "train", "policy": "p", "reward_min": -7.0, "reward_max": 1.0}, 0.0)
    assert shown(view).policies[0].q_bound == pytest.approx(700.0)


@pytest.mark.parametrize("begin", ["begin", "begin_again"])
def test_what_was_paid_before_a_resume_or_a_way_back_bounds_values_still(begin: str) -> None:
    """▣ A prize once in a long episode: values know it, and five records of draws may not."""
    view = run()
    view.on_record(learner(returns_abs_max=1.0), 0.0)
    view.on_record({"kind": "train", "policy": "p", "reward_min": 0.0, "reward_max": 7.0}, 0.0)
    for _ in range(2):  # twice: what the session between has not met is not forgotten
        getattr(view, begin)()
        for _ in range(5):
            view.on_record(learner(returns_abs_max=0.0, q_max_abs=500.0), 0.0)
        found = shown(view)
        assert found.policies[0].q_bound == pytest.approx(700.0)
        assert {row.id: row.state for row in found.checks}["q_bound"] == "ok"


@pytest.mark.parametrize(
    ("id_", "paid", "before", "after"),
    [("reward_signal", 0.0, "n/a", "warn"), ("reward_scale", 1e-5, "ok", "warn")],
)
def test_rewards_of_before_a_resume_are_not_missed(
    id_: str, paid: float, before: str, after: str
) -> None:
    """▣ Its replay is full at once, and what is rarely paid has not been met again yet."""
    view, worker, saved = run(), WorkerView("learner", "learner"), 500_000
    view.policies = [replace(view.policies[0], base_transitions=saved, replay_transitions=saved)]
    view.on_record(learner(returns_abs_max=0.0), 0.0)
    ended = {"episodes": 1_000, "reward_min": 0.0, "reward_max": paid}
    view.on_record({"kind": "train", "policy": "p", **ended}, 0.0)
    for more, state in ((9_999, before), (10_000, after)):
        worker.on_heartbeat(0.0, {"updates/p": 9.0, "inserts/p": float(saved + more)}, {})
        assert {row.id: row.state for row in shown(view, worker).checks}[id_] == state


def test_a_learning_rate_that_was_changed_is_judged_once_all_have_it() -> None:
    """▣ Who is told a moment later, or is paused, would be taken for one that does not obey."""
    view = run()
    view.on_record(learner(lr=5e-4), 0.0)
    assert shown(view).policies[0].lr_planned == 5e-4
    view.config = config(learner={"lr": 1e-3})
    assert shown(view, now=1.0).policies[0].lr_planned == 5e-4  # no record since
    view.on_record(learner(lr=5e-4), 2.0)
    assert shown(view).policies[0].lr_planned is None
    view.on_record(learner(lr=5e-4), 1.0 + SETTLED_S)
    assert shown(view).policies[0].lr_planned == 1e-3


def test_atari_episodes_of_one_life_begin_anywhere() -> None:
    for life_loss, told in ((False, 1e-12), (True, None)):
        atari = {"id": "tuitrain.envs.atari:make", "kwargs": {"life_loss": life_loss}}
        view = run(config(env=atari))
        view.on_record({"kind": "eval", "policy": "p", "reset_difference_p": 1e-12}, 0.0)
        assert shown(view).policies[0].reset_difference_p == told


def test_devices_are_those_of_the_config() -> None:
    view = run(config(learner={"device": "cuda"}))
    roles = ("learner", "actor", "evaluator", "probe")
    asked = [p.device_asked for p in shown(view, *(WorkerView(r, r) for r in roles)).processes]
    assert asked == ["cuda", "cpu", "cpu", None]
    (process,) = shown(run(), WorkerView("learner", "learner")).processes
    assert process.device_asked is None  # "auto", until the probe has said


def test_how_long_environments_have_run_and_what_was_overwritten() -> None:
    view, worker = run(), WorkerView("learner", "learner")
    view.base_steps = 200
    worker.on_heartbeat(0.0, {"env_steps": 1000.0, "updates/p": 3.0, "overwritten/p": 0.0}, {})
    (policy,) = shown(view, worker).policies
    assert (policy.steps_each, policy.overwritten) == (100.0, 0)


FALLS = config(exploration={"epsilon_decay_steps": 10_000, "epsilon_end": 0.0})


def actor(epsilon: float, **fields: Any) -> ProcessView:
    told = {"state": "running", "rate": 500.0, "beat_age_s": 0.2, "epsilon": epsilon}
    return ProcessView(name="a1", role="actor", **(told | fields))


def off(process: ProcessView) -> float | None:
    """At step 5,000 of 10,000, at 1,000 steps/s: ahead by 5 chunks of all, behind by one."""
    compare_epsilons([process], FALLS, 5000, 1000.0, age_s=0.3)
    return process.epsilon_off


def test_an_actor_may_be_a_little_behind_or_ahead() -> None:
    slack = (5 * 128 + 2 * 1000 * (64 / 500 + 0.3 + 0.2 + 1.0)) / 10_000
    assert off(actor(0.5)) == off(actor(0.5 + 0.9 * slack)) == off(actor(0.5 - 0.9 * slack)) == 0
    assert off(actor(0.9)) == pytest.approx(0.4 - slack)
    assert off(actor(0.0)) == pytest.approx(0.5 - slack)


@pytest.mark.parametrize(
    "fields",
    [{"state": "waiting"}, {"state": "paused"}, {"rate": None}, {"rate": 0.0}, {"epsilon": None}],
)
def test_who_does_nothing_has_the_epsilon_of_then(fields: dict[str, Any]) -> None:
    assert off(actor(1.0).model_copy(update=fields)) is None


def test_epsilon_is_compared_while_the_run_goes_on_by_one_config() -> None:
    view = run(FALLS)
    source, worker = WorkerView("learner", "learner"), WorkerView("a0", "actor")
    for now in (0.0, 1.0):
        source.on_heartbeat(now, {"env_steps": 90_000.0 + now}, {})
        worker.on_heartbeat(now, {"steps": 100 * now, "epsilon": 0.7}, {})
        source.beat_at = worker.beat_at = now
    worker.state = "running"
    assert shown(view, source, worker, now=1.0).processes[1].epsilon_off == pytest.approx(0.7)
    view.state = "paused"
    assert shown(view, source, worker, now=1.0).processes[1].epsilon_off is None
    view.state, view.config = "running", config(exploration={"epsilon_end": 0.7})
    assert shown(view, source, worker, now=1.0).processes[1].epsilon_off is None


def evaluated(*means: float) -> LearningView:
    made = Evaluated()
    for number, mean in enumerate(means):
        record = {"kind": "eval", "policy": "p", "steps": 100 * number, "return_mean": mean}
        made.add(record | {"return_ci95": 0.1}, 0.0, every_steps=100, base_steps=0)
    return made.learning("p", 0.0)


def test_how_long_a_verdict_has_held() -> None:
    assert evaluated().held_evals == 0
    assert evaluated(1.0, 1.0).verdict == "TOO EARLY"
    flat = evaluated(*[1.0] * 11)
    assert (flat.verdict, flat.held_evals, flat.window) == ("FLAT", 4, 8)
    risen = evaluated(*(float(n) for n in range(6)), *[5.0] * 12)
    assert (risen.verdict, risen.held_evals < 14) == ("FLAT AT BEST", True)


def test_how_long_it_has_been_under_its_best() -> None:
    rise = [float(n) for n in range(6)]
    assert evaluated(*rise, *[5.0] * 12).under_best_evals == 0
    fallen = evaluated(*rise, *[5.0] * 12, *[1.0] * 9)
    assert (fallen.verdict, fallen.under_best_evals) == ("BELOW BEST", 6), "from the fourth low one"


def test_how_long_a_verdict_has_held_is_less_after_going_back() -> None:
    made = Evaluated()
    for number in range(12):
        record = {"kind": "eval", "policy": "p", "steps": 100 * number, "return_mean": 1.0}
        made.add(record, 0.0, every_steps=100, base_steps=0)
    assert made.learning("p", 0.0).held_evals == 5
    made.rewind(900)
    assert made.learning("p", 0.0).held_evals == 3
