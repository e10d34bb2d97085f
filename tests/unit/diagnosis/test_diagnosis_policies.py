"""Checks that compare policies: who competes, who is left behind, and what one cannot hide."""

from __future__ import annotations

from typing import Any

import pytest

from tests.unit.diagnosis.healthy import change, healthy
from tests.unit.diagnosis.test_diagnosis_checks import LIMITS, states
from tuitrain.diagnosis.checks import all_checks
from tuitrain.protocol import LearningView, PolicyView, Snapshot


def test_one_policy_of_no_numbers_does_not_hide_another() -> None:
    out = change("policies.0.q_max_abs", 1e5)
    broken = out.policies[0].model_copy(update={"name": "z", "q_max_abs": float("nan")})
    for policies in ([out.policies[0], broken], [broken, out.policies[0]]):
        out.policies = policies
        assert states(out)["q_bound"] == "fail"


def competing(first: LearningView, second: LearningView, *means: float) -> Snapshot:
    out = healthy()
    out.policies.append(out.policies[0].model_copy(update={"name": "z"}))
    for policy, view, mean in zip(out.policies, (first, second), means, strict=True):
        policy.learning, policy.eval_return_mean = view, mean
    return out


def test_who_competes_need_not_rise() -> None:
    falls = LearningView(policy="default", verdict="FALLING", under_best_evals=9)
    rises = LearningView(policy="z", verdict="IMPROVING", held_evals=9)
    assert states(competing(rises, rises, 3.0, 4.0))["learning"] == "ok"
    (mixed,) = (
        r for r in all_checks(competing(falls, rises, 3.0, 4.0), LIMITS) if r.id == "learning"
    )
    assert (mixed.state, mixed.value) == ("n/a", "default FALLING"), "nor is it called well"
    assert states(competing(falls, falls, 3.0, 4.0))["learning"] == "warn"
    assert states(competing(falls, falls, 3.0, -3.0))["learning"] == "n/a"


@pytest.mark.parametrize(
    ("means", "rewards", "eval_kwargs", "state"),
    [
        ((3.0, -3.0), (-7.0, 7.0), None, "n/a"),
        ((3.0, -3.0), (None, None), None, "n/a"),
        ((3.0, 4.0), (-7.0, 7.0), "{'opponents': 'chance'}", "n/a"),
        ((0.0, 0.0), (-1.0, 2.0), None, "n/a"),  # both sides, or all three, by each policy
        ((3.0, 4.0), (-7.0, 7.0), None, "warn"),  # they act together, and are paid like that
        ((0.0, 0.0), (0.0, 1.0), None, "warn"),  # they act together, and earn nothing
        ((3.0, 4.0), (0.0, 7.0), "{'easy': True}", "warn"),
    ],
)
def test_of_games_against_oneself_alone_nothing_is_said(
    means: tuple[float, float],
    rewards: tuple[float | None, float | None],
    eval_kwargs: str | None,
    state: str,
) -> None:
    falls = LearningView(policy="default", verdict="FALLING", under_best_evals=9)
    out = competing(falls, falls, *means)
    out.policies[0].reward_min, out.policies[1].reward_max = rewards
    out.policies[1].eval_kwargs = eval_kwargs
    assert states(out)["learning"] == state


def beside(state: str, **other: Any) -> Snapshot:
    """A run with one more policy, `z`."""
    out = healthy()
    out.state = state
    out.policies.append(PolicyView(name="z", learning_starts=1000, **other))
    return out


@pytest.mark.parametrize(
    ("state", "other", "judged", "said"),
    [
        ("running", {}, "warn", "policy z has never had a transition"),
        ("paused", {}, "warn", "policy z has never had a transition"),
        ("finished", {}, "warn", "policy z has never had a transition"),
        ("failed", {}, "warn", "policy z has never had a transition"),
        ("running", {"transitions": 9, "warm_up_transitions": 9}, "ok", ""),  # it warms up
        (
            "stopped",
            {"transitions": 9, "warm_up_transitions": 9},
            "warn",
            "policy z has made no update: 9 of 1,000 transitions",
        ),
        ("running", {"transitions": 1000, "updates": 1}, "ok", ""),
        ("finished", {"transitions": 1000, "updates": 1}, "ok", ""),
    ],
)
def test_a_policy_that_does_not_learn_as_others_do_is_named(
    state: str, other: dict[str, Any], judged: str, said: str
) -> None:
    (row,) = [row for row in all_checks(beside(state, **other), LIMITS) if row.id == "left_behind"]
    assert (row.state, row.value) == (judged, "z" if said else "nobody")
    assert row.advice.startswith(said)
    assert bool(row.advice) == bool(said)


@pytest.mark.parametrize(
    ("state", "judged"),
    [("running", "n/a"), ("stopped", "n/a"), ("failed", "n/a"), ("finished", "warn")],
)
def test_where_nobody_has_learned_only_the_end_of_the_plan_is_too_late(
    state: str, judged: str
) -> None:
    out = change("policies.0.updates", 0)
    out.state = state
    assert states(out)["left_behind"] == judged
