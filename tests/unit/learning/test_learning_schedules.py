"""Epsilon, learning rate and the target rule: pure functions with exact ends."""

from __future__ import annotations

import math

import pytest
from hypothesis import given
from hypothesis import strategies as st

from tuitrain.config.learner import LearnerConfig
from tuitrain.config.schema import ExplorationConfig
from tuitrain.learning.exploration import actor_epsilon, epsilon_at
from tuitrain.learning.lr import lr_at
from tuitrain.learning.target_rule import expected_target_updates, target_period

EXPLORATION = ExplorationConfig(epsilon_start=0.9, epsilon_end=0.1, epsilon_decay_steps=1000)


def test_epsilon_exact_at_start_middle_end_and_after() -> None:
    assert epsilon_at(0, EXPLORATION) == 0.9
    assert epsilon_at(500, EXPLORATION) == pytest.approx(0.5, abs=1e-15)
    assert epsilon_at(1000, EXPLORATION) == 0.1
    assert epsilon_at(10**12, EXPLORATION) == 0.1


@given(st.integers(0, 2000))
def test_epsilon_is_pure_and_falls(step: int) -> None:
    here = epsilon_at(step, EXPLORATION)
    assert here == epsilon_at(step, EXPLORATION)
    assert 0.1 <= epsilon_at(step + 1, EXPLORATION) <= here <= 0.9


def test_ladder_by_hand() -> None:
    # Ape-X with epsilon 0.4, alpha 7, 3 actors: 0.4^1, 0.4^4.5, 0.4^8
    got = [actor_epsilon(0.4, i, 3, 7.0) for i in range(3)]
    assert got == [0.4, pytest.approx(0.4**4.5), pytest.approx(0.4**8)]
    assert [actor_epsilon(0.4, i, 3, 0.0) for i in range(3)] == [0.4] * 3
    assert actor_epsilon(0.4, 0, 1, 7.0) == 0.4
    assert [actor_epsilon(e, 2, 3, 7.0) for e in (0.0, 1.0)] == [0.0, 1.0]
    for index in (-1, 3):
        with pytest.raises(ValueError, match="of 3"):
            actor_epsilon(0.4, index, 3, 7.0)


def learner(**changes: object) -> LearnerConfig:
    return LearnerConfig.model_validate({"lr": 1e-3, "lr_end": 1e-4, **changes})


def test_lr_exact_at_start_middle_and_end() -> None:
    for kind, middle in (("linear", 5.5e-4), ("cosine", 5.5e-4), ("constant", 1e-3)):
        config = learner(lr_schedule=kind)
        end = 1e-3 if kind == "constant" else 1e-4
        assert lr_at(0, config, 1000) == 1e-3
        assert lr_at(500, config, 1000) == pytest.approx(middle, rel=1e-12)
        assert lr_at(1000, config, 1000) == end
        assert lr_at(9999, config, 1000) == end
    quarter = 1e-4 + 9e-4 * (1 + math.cos(math.pi / 4)) / 2
    assert lr_at(250, learner(lr_schedule="cosine"), 1000) == pytest.approx(quarter, rel=1e-12)
    assert lr_at(250, learner(lr_schedule="linear"), 1000) == pytest.approx(7.75e-4, rel=1e-12)


def test_lr_schedule_length_of_its_own_comes_first() -> None:
    config = learner(lr_schedule="linear", lr_schedule_updates=100)
    assert lr_at(50, config, 10**6) == pytest.approx(5.5e-4)
    assert lr_at(100, config, 10**6) == 1e-4


def test_target_rule() -> None:
    hard, soft = learner(target_update_every_updates=7), learner(tau=0.01)
    assert [expected_target_updates(u, hard) for u in (0, 6, 7, 13, 14)] == [0, 0, 1, 1, 2]
    assert [expected_target_updates(u, soft) for u in (0, 1, 9)] == [0, 1, 9]
    assert target_period(learner()) == 500
    with pytest.raises(ValueError, match=r"target_update_every_updates and learner\.tau"):
        target_period(learner(tau=0.1, target_update_every_updates=3))
