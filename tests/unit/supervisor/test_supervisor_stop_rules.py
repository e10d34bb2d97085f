"""The rules of `[stop]`, on literal histories."""

from __future__ import annotations

from typing import Any

import pytest

from tuitrain.config.unattended import StopConfig
from tuitrain.supervisor.stop_rules import Evaluations, judge, reason

NAN = float("nan")


def one(*means: float | None) -> list[dict[str, float | None]]:
    return [{"default": mean} for mean in means]


def two(*means: tuple[float | None, float | None]) -> list[dict[str, float | None]]:
    return [{"wolves": a, "sheep": b} for a, b in means]


@pytest.mark.parametrize(
    ("rules", "history", "trained_s", "ends"),
    [
        ({}, one(1e9), 1e9, None),
        # the mean of the last evaluation alone, and reaching it is enough
        ({"eval_return": 10.0}, [], 0.0, None),
        ({"eval_return": 10.0}, one(9.99), 0.0, None),
        ({"eval_return": 10.0}, one(3.0, 10.0), 0.0, "mean return 10 in the last evaluation"),
        ({"eval_return": 10.0}, one(11.0, 9.0), 0.0, None),
        ({"eval_return": 10.0}, one(None), 0.0, None),
        ({"eval_return": 10.0}, one(NAN), 0.0, None),
        ({"eval_return": -5.0}, one(-4.0), 0.0, "ends at -5"),
        # every policy, in one and the same evaluation, or the one that is named
        ({"eval_return": 10.0}, two((11.0, 9.0)), 0.0, None),
        ({"eval_return": 10.0}, two((11.0, None)), 0.0, None),
        ({"eval_return": 10.0}, two((11.0, 9.0), (9.0, 11.0)), 0.0, None),
        ({"eval_return": 10.0}, two((11.0, 12.0)), 0.0, "11 of wolves"),
        ({"eval_return": 10.0, "policy": "wolves"}, two((11.0, 0.0)), 0.0, "11 of wolves"),
        ({"eval_return": 10.0, "policy": "sheep"}, two((11.0, 0.0)), 0.0, None),
        ({"eval_return": 10.0, "policy": "nobody"}, two((11.0, 11.0)), 0.0, None),
        ({"wall_time_s": 60.0}, [], 59.9, None),
        ({"wall_time_s": 60.0}, [], 60.0, "60 s of training"),
        # the first one is always a new best; an equal one is not
        ({"no_improvement_evals": 2}, one(1.0, 1.0), 0.0, None),
        ({"no_improvement_evals": 2}, one(1.0, 1.0, 0.5), 0.0, "2 evaluations without a new best"),
        ({"no_improvement_evals": 2}, one(1.0, 0.5, 1.5, 1.4), 0.0, None),
        ({"no_improvement_evals": 2}, one(None, None), 0.0, "2 evaluations"),
        ({"no_improvement_evals": 2}, one(NAN, NAN), 0.0, "2 evaluations"),
        ({"no_improvement_evals": 2}, one(1.0, NAN, None), 0.0, "2 evaluations"),
        ({"no_improvement_evals": 2}, one(NAN, 1.0, 0.0), 0.0, None),
        # any policy that improves keeps the run going, unless one is named
        ({"no_improvement_evals": 2}, two((1, 1), (0, 2), (0, 3), (0, 4)), 0.0, None),
        (
            {"no_improvement_evals": 2, "policy": "wolves"},
            two((1, 1), (0, 2), (0, 3)),
            0.0,
            "2 evaluations without a new best of wolves",
        ),
        # the first rule that is met is the reason
        ({"eval_return": 1.0, "wall_time_s": 5.0}, one(2.0), 9.0, "stop.eval_return: "),
        ({"eval_return": 3.0, "wall_time_s": 5.0}, one(2.0), 9.0, "stop.wall_time_s: "),
    ],
)
def test_a_history_ends_the_run_or_not(
    rules: dict[str, Any], history: list[Any], trained_s: float, ends: str | None
) -> None:
    found = reason(judge(StopConfig(**rules), history, trained_s))
    assert (found is None) if ends is None else (found is not None and ends in found), found


def test_how_far_each_rule_is() -> None:
    rules = StopConfig(eval_return=10.0, wall_time_s=60.0, no_improvement_evals=5)
    views = {v.key: v for v in judge(rules, two((4.0, 3.0), (4.0, 2.0)), 12.0)}
    assert list(views) == ["stop.eval_return", "stop.wall_time_s", "stop.no_improvement_evals"]
    assert [(v.value, v.limit, v.policy) for v in views.values()] == [
        (2.0, 10.0, "sheep"),
        (12.0, 60.0, None),
        (1.0, 5.0, None),
    ]
    assert judge(rules, [], 0.0)[0].value is None


def test_records_become_whole_evaluations() -> None:
    seen = Evaluations(["wolves", "sheep"])
    wolf = {"policy": "wolves", "return_mean": 1.0}
    assert not seen.add(wolf)
    assert seen.add({"policy": "sheep", "return_mean": None})
    assert seen.history == [{"wolves": 1.0, "sheep": None}]


def test_an_evaluation_of_which_a_record_was_lost_does_not_count() -> None:
    seen = Evaluations(["wolves", "sheep"])
    assert not seen.add({"policy": "wolves", "return_mean": 1.0})
    assert not seen.add({"policy": "wolves", "return_mean": 2.0})
    assert seen.add({"policy": "sheep", "return_mean": 3.0})
    assert seen.history == [{"wolves": 2.0, "sheep": 3.0}]
