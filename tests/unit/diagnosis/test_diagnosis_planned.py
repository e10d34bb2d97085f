"""What a config plans, against cases worked out by hand."""

from __future__ import annotations

from typing import Any

import pytest

from tuitrain.config.schema import Config
from tuitrain.diagnosis import planned


def config(**tables: dict[str, Any]) -> Config:
    base = {"actors": {"count": 3}, "learner": {"lr": 1e-3, "lr_schedule_updates": 1000}}
    for name, table in tables.items():
        base[name] = {**base.get(name, {}), **table}
    return Config.model_validate(base)


LINEAR = {"lr_schedule": "linear", "lr_end": 0.0}


@pytest.mark.parametrize(
    ("learner", "lr", "updates", "planned_lr"),
    [
        ({}, 1e-3, 700, 1e-3),
        ({}, 4e-3, 700, 1e-3),
        (LINEAR, 0.5e-3, 500, 0.5e-3),
        (LINEAR, 0.532e-3, 500, 0.532e-3),  # measured a few updates ago
        (LINEAR, 1e-3, 500, 0.532e-3),
        (LINEAR, 0.0, 500, 0.5e-3),
        (LINEAR, 0.0, 2000, 0.0),
        (LINEAR, 1e-3, 2000, 0.0),
        (LINEAR, 1e-3, 3, 1e-3),
    ],
)
def test_the_nearest_planned_learning_rate(
    learner: dict[str, Any], lr: float, updates: int, planned_lr: float
) -> None:
    assert planned.lr_planned(lr, updates, config(learner=learner)) == pytest.approx(planned_lr)


def test_no_learning_rate_is_planned_where_nobody_knows_how_long_the_schedule_is() -> None:
    shared = config(learner=LINEAR | {"lr_schedule_updates": None})
    assert planned.lr_planned(1e-3, 10, shared) is None


def test_how_much_of_a_run_is_learned_from() -> None:
    late = config(
        run={"total_steps": 40_000},
        replay={"learning_starts": 39_000},
        learner={"replay_ratio": 0.1},
    )
    assert planned.learned_share(late, 1) == pytest.approx(0.025)
    assert planned.learned_share(late, 2) == pytest.approx(0.5125)
    a_try = config(
        run={"total_steps": 4_000}, replay={"learning_starts": 3_900}, learner={"replay_ratio": 0.1}
    )
    assert planned.learned_share(a_try, 1) is None


def test_how_far_weights_can_move() -> None:
    small = {"lr": 1e-9, "replay_ratio": 0.1}
    plan = config(learner=small, run={"total_steps": 41_000}, replay={"learning_starts": 1_000})
    assert planned.weight_move(plan, 1) == pytest.approx(4e-6)
    assert planned.weight_move(plan, 2) == pytest.approx(8.1e-6)
    assert planned.weight_move(config(learner=small, run={"total_steps": 5_000}), 1) is None


def test_epsilon_at_the_end_is_that_of_the_actor_that_explores_least() -> None:
    half = {"epsilon_end": 0.25, "ladder_alpha": 1.0}
    assert planned.final_epsilon(config(exploration=half)) == pytest.approx(0.0625)
    never = {"epsilon_decay_steps": 10**9}
    assert planned.final_epsilon(config(exploration=never)) == pytest.approx(1.0, abs=1e-3)
    assert planned.final_epsilon(config(algorithm={"noisy": True}, exploration=never)) is None
    a_try = config(run={"total_steps": 5_000}, exploration=never)
    assert planned.final_epsilon(a_try) is None


def test_a_schedule_that_ends_before_the_run() -> None:
    run, starts = {"total_steps": 21_000}, {"learning_starts": 1_000}  # 2,000 updates

    def spent(agents: int = 1, steps: int = 21_000, **learner: Any) -> float | None:
        plan = config(run=run | {"total_steps": steps}, replay=starts, learner=learner)
        return planned.lr_spent_share(plan, agents)

    early = LINEAR | {"lr_schedule_updates": 100}
    assert spent(**early) == pytest.approx(0.95)
    assert spent(agents=2, **early) == pytest.approx(1 - 100 / 4_100)
    assert spent(**early | {"lr_end": 1e-5}) == pytest.approx(0.95)
    assert spent(**early | {"lr_end": 1.1e-5}) == 0.0, "it goes on"
    assert spent(**early | {"lr_schedule": "constant"}) == 0.0
    assert spent(**LINEAR | {"lr_schedule_updates": 3_000}) == 0.0
    assert spent(**LINEAR | {"lr_schedule_updates": None}) == 0.0
    assert spent(steps=5_000, **early) is None, "a try"


def test_who_explores_most_and_when() -> None:
    nobody = {"epsilon_start": 0.0, "epsilon_end": 0.0}
    assert planned.most_epsilon(config(exploration=nobody)) == 0.0
    assert planned.most_epsilon(config(exploration=nobody | {"epsilon_start": 0.1})) == 0.1
    assert planned.most_epsilon(config(exploration=nobody | {"epsilon_end": 0.2})) == 0.2
    late = nobody | {"epsilon_end": 1.0, "epsilon_decay_steps": 10**9}
    assert planned.most_epsilon(config(exploration=late)) == pytest.approx(0.0, abs=1e-3)
    assert planned.most_epsilon(config(algorithm={"noisy": True}, exploration=nobody)) is None
    assert planned.most_epsilon(config(run={"init_from": "r/best"}, exploration=nobody)) is None
    assert planned.most_epsilon(config(run={"total_steps": 5_000}, exploration=nobody)) is None


def test_evaluations_that_are_due() -> None:
    def due(steps: int = 20_000, **tables: Any) -> int | None:
        return planned.evals_planned(config(run={"total_steps": steps}, eval=tables))

    assert due(every_steps=6_000) == 3
    assert due(every_steps=20_000) == 1, "at its end"
    assert due(every_steps=20_001) == 0
    assert due(every_steps=20_001, enabled=False) is None
    assert due(steps=5_000, every_steps=20_001) is None, "a try"


def test_epsilon_may_be_that_of_any_step_about_now() -> None:
    falls = config(exploration={"epsilon_end": 0.0, "epsilon_decay_steps": 1000})
    assert planned.epsilon_off(0.5, 0, 500, 0, falls) == 0.0
    assert planned.epsilon_off(0.6, 0, 500, 100, falls) == pytest.approx(0.0)
    assert planned.epsilon_off(0.65, 0, 500, 100, falls) == pytest.approx(0.05)
    assert planned.epsilon_off(0.35, 0, 500, 100, falls) == pytest.approx(0.05)
    assert planned.epsilon_off(1.0, 0, 50, 100, falls) == 0.0
    ladder = config(exploration={"epsilon_start": 0.4, "epsilon_end": 0.4, "ladder_alpha": 1.0})
    assert planned.epsilon_off(0.16, 2, 5, 1, ladder) == pytest.approx(0.0)
    assert planned.epsilon_off(0.4, 2, 5, 1, ladder) == pytest.approx(0.24)


@pytest.mark.parametrize(
    ("learner", "steps", "kept"),
    [
        ({"tau": 1e-7}, 20_000, 0.99981),
        ({"tau": 0.005}, 20_000, 0.0),
        ({"tau": 1.0}, 20_000, 0.0),
        ({"target_update_every_updates": 1900}, 20_000, 0.0),
        ({"target_update_every_updates": 1901}, 20_000, 1.0),
        ({}, 20_000, 0.0),
        ({}, 5_000, None),  # a try
    ],
)
def test_what_the_target_network_keeps(
    learner: dict[str, Any], steps: int, kept: float | None
) -> None:
    plan = config(learner=learner, run={"total_steps": steps})
    found = planned.target_kept_at_end(plan, agents=1)
    assert found == (None if kept is None else pytest.approx(kept, abs=1e-4))


def test_agents_that_share_a_policy_make_updates_together() -> None:
    plan = config(learner={"tau": 1e-3}, run={"total_steps": 11_000})
    assert planned.target_kept_at_end(plan, 1) == pytest.approx(0.3677, abs=1e-3)
    assert planned.target_kept_at_end(plan, 2) == pytest.approx(0.3677**2.1, abs=1e-3)


@pytest.mark.parametrize(
    ("learner", "algorithm", "bound"),
    [
        ({"gamma": 0.99}, {}, 200.0),
        ({"gamma": 0.5, "n_step": 2}, {}, 2 / 0.75),
        ({"gamma": 0.0}, {}, 2.0),
        ({"gamma": 1.0}, {}, None),
        ({"gamma": 0.5}, {"name": "c51", "v_min": -30.0}, 30.0),
        ({"gamma": 0.99}, {"name": "c51"}, 200.0),
        ({"gamma": 0.5}, {"munchausen": True}, 2 * (2 + 0.9 + 0.03 * 6.9078)),
    ],
)
def test_values_are_bounded_by_the_largest_return(
    learner: dict[str, Any], algorithm: dict[str, Any], bound: float | None
) -> None:
    found = planned.q_bound(2.0, config(learner=learner, algorithm=algorithm))
    assert found == (None if bound is None else pytest.approx(bound, rel=1e-4))
