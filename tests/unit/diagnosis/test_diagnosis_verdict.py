"""The learning verdict, against cases whose answer is known."""

from __future__ import annotations

import math
import random

import pytest

from tuitrain.diagnosis.verdict import Evaluation, judge, worst


def line(means: list[float], ci95: float | None = 4.0) -> list[Evaluation]:
    return [Evaluation(steps=(i + 1) * 10_000, mean=m, ci95=ci95) for i, m in enumerate(means)]


@pytest.mark.parametrize("n", [0, 1, 3])
def test_fewer_than_four_evaluations_are_too_early(n: int) -> None:
    judged = judge(line([100.0 * i for i in range(n)]))
    assert judged.verdict == "TOO EARLY"
    assert judged.slope_per_1m_steps is None


def test_a_clear_rise_and_fall() -> None:
    up = judge(line([10, 20, 31, 39, 50]))
    assert up.verdict == "IMPROVING"
    assert up.slope_per_1m_steps == pytest.approx(990.0)
    assert judge(line([50, 39, 31, 20, 10])).verdict == "FALLING"


def test_a_rise_within_the_evaluations_own_errors_is_flat() -> None:
    # The same perfect line: what differs is how well each point is known.
    assert judge(line([10, 11, 12, 13, 14], ci95=0.5)).verdict == "IMPROVING"
    assert judge(line([10, 11, 12, 13, 14], ci95=8.0)).verdict == "FLAT"


def test_only_the_last_eight_count() -> None:
    assert judge(line([0, 50, 100] + [200] * 8, ci95=3.0)).verdict == "FLAT"


def test_a_solved_environment_without_spread_is_flat() -> None:
    assert judge(line([500.0] * 6, ci95=0.0)).verdict == "FLAT"


def test_the_slope_is_the_weighted_least_squares_one() -> None:
    # By hand: weights 1, 1, 1, 1/4 (relative), x = 1..4, y = 1, 2, 3, 10.
    points = [
        Evaluation(1, 1.0, 2.0),
        Evaluation(2, 2.0, 2.0),
        Evaluation(3, 3.0, 2.0),
        Evaluation(4, 10.0, 4.0),
    ]
    w, x, y = [1, 1, 1, 0.25], [1, 2, 3, 4], [1, 2, 3, 10]
    mx = sum(a * b for a, b in zip(w, x, strict=True)) / sum(w)
    my = sum(a * b for a, b in zip(w, y, strict=True)) / sum(w)
    slope = sum(a * (b - mx) * (c - my) for a, b, c in zip(w, x, y, strict=True)) / sum(
        a * (b - mx) ** 2 for a, b in zip(w, x, strict=True)
    )
    assert judge(points).slope_per_1m_steps == pytest.approx(slope * 1e6)


def test_noise_without_a_trend_is_called_a_trend_in_about_one_case_of_twenty() -> None:
    rng = random.Random(1)
    verdicts = [
        judge(line([rng.gauss(100, 5) for _ in range(8)], ci95=1.96 * 5)).verdict
        for _ in range(2000)
    ]
    wrong = sum(v != "FLAT" for v in verdicts) / len(verdicts)
    assert wrong < 0.06


def test_numbers_that_are_none_and_evaluations_at_one_step() -> None:
    assert judge(line([math.nan, 1, 2, 3])).verdict == "TOO EARLY"
    assert judge([Evaluation(7, float(i), 1.0) for i in range(5)]).verdict == "TOO EARLY"


def test_reading_records() -> None:
    record = {"kind": "eval", "steps": 5, "return_mean": 2, "return_ci95": None, "episodes": 9}
    assert Evaluation.from_record(record) == Evaluation(5, 2.0, None, 9)
    assert Evaluation.from_record({"return_mean": None}) is None
    assert Evaluation.from_record({"return_mean": math.inf}) is None


def test_of_several_policies_the_worst_is_shown() -> None:
    assert worst({"a": "IMPROVING", "b": "FALLING", "c": "TOO EARLY"}) == "b"
    assert worst({"a": "IMPROVING", "b": "TOO EARLY", "c": "FLAT", "d": "FLAT"}) == "c"
