"""The learning verdict, against cases whose answer is known."""

from __future__ import annotations

import math
import random
from dataclasses import replace
from statistics import fmean, stdev

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
    assert up.slope_ci95 is not None
    assert up.reason == "return +990 ± 205 per 1M steps over the last 5 evaluations"
    assert judge(line([50, 39, 31, 20, 10])).verdict == "FALLING"


def test_a_rise_within_the_evaluations_own_errors_is_flat() -> None:
    # The same perfect line: what differs is how well each point is known.
    assert judge(line([10, 11, 12, 13, 14], ci95=0.5)).verdict == "IMPROVING"
    assert judge(line([10, 11, 12, 13, 14], ci95=8.0)).verdict == "TOO EARLY"
    assert judge(line([10, 11, 12, 13] * 2, ci95=8.0)).verdict == "FLAT"


def test_that_nothing_changes_takes_eight_evaluations_to_say() -> None:
    said = verdicts([9.0, 10.0, 8.0, 9.5] * 3)
    assert said == ["TOO EARLY"] * 7 + ["FLAT"] * 5
    early = judge(line([9.0, 10.0, 8.0, 9.5]))
    assert "over the last 4 evaluations, from 8 to 10: " in early.reason
    assert early.reason.endswith("and there are fewer than 8")
    assert verdicts([50, 39, 31, 20, 10])[-2:] == ["FALLING", "FALLING"]


def test_what_swings_is_at_its_best_only_when_the_newest_is() -> None:
    """▣ Three of fifteen under the best are few, but not if two are what is seen now."""
    steady = [*RISE, *SOLVED * 4, 142.8, *[500.0] * 8, 142.8, 143.1]
    assert verdicts(steady)[-2:] == ["FLAT AT BEST", "FLAT"]
    back = judge(line([*steady, 500.0, 500.0]))
    assert back.verdict == "FLAT AT BEST"
    assert back.reason.startswith("it has risen and stays at its best, 500; return ")
    assert back.reason.endswith("over the last 16 evaluations, from 142.8 to 500")


def test_the_newest_quarter_counts_at_least_8_and_at_most_32() -> None:
    for n, counted in ((4, 4), (9, 8), (32, 8), (64, 16), (128, 32), (400, 32)):
        assert judge(line([7.0] * n)).reason.count(f"over the last {counted} evaluations") == 1
    assert judge(line([0, 50, 100] + [200] * 9, ci95=3.0)).verdict == "FLAT AT BEST"


RISE = [20.0, 90.0, 210.0, 390.0]
SOLVED = [500.0] * 12


def verdicts(means: list[float], ci95: float | None = 4.0) -> list[str]:
    """What was said after each evaluation."""
    every = line(means, ci95)
    return [judge(every[: n + 1]).verdict for n in range(len(every))]


def changes(said: list[str]) -> list[str]:
    """What was said, each word once until another came."""
    return [now for i, now in enumerate(said) if i == 0 or now != said[i - 1]]


def test_a_solved_environment_stays_flat_at_its_best() -> None:
    assert changes(verdicts(RISE + SOLVED)) == ["TOO EARLY", "IMPROVING", "FLAT AT BEST"]
    assert changes(verdicts(RISE + SOLVED, ci95=0.0))[-1] == "FLAT AT BEST"
    assert changes(verdicts(RISE + SOLVED, ci95=None))[-1] == "FLAT AT BEST"


@pytest.mark.parametrize("ci95", [0.0, 4.0, None])
def test_what_has_never_risen_is_not_good_for_being_flat(ci95: float | None) -> None:
    assert changes(verdicts([9.0] * 20, ci95)) == ["TOO EARLY", "FLAT"]
    assert changes(verdicts([9.0, 10.0, 8.0, 9.5] * 8, ci95)) == ["TOO EARLY", "FLAT"]


def test_one_bad_evaluation_of_a_solved_environment_is_no_news() -> None:
    said = verdicts([*RISE, *SOLVED, 82.0, *SOLVED])
    assert changes(said) == ["TOO EARLY", "IMPROVING", "FLAT AT BEST"]


def test_a_collapse_is_told_until_the_best_is_reached_again() -> None:
    low = [82.0, 95.0, 76.0, 88.0, 91.0, 84.0, 79.0, 90.0, 85.0]
    said = verdicts([*RISE, *SOLVED, *low, *SOLVED])
    began, over = len(RISE + SOLVED), len(RISE + SOLVED + low)
    assert said[began] == "FLAT AT BEST"  # one alone
    assert set(said[began + 2 : over]) == {"FALLING", "BELOW BEST"}
    assert said[over - 1] == "BELOW BEST"
    assert "FLAT" not in changes(said[:over])
    assert said[-1] == "FLAT AT BEST"


def played(rng: random.Random, mean: float) -> Evaluation:
    """Ten episodes with a standard deviation of 10."""
    returns = [rng.gauss(mean, 10) for _ in range(10)]
    return Evaluation(0, fmean(returns), 2.262 * stdev(returns) / math.sqrt(10), 10)


def longest_under_best(means: list[float], seed: int) -> int:
    """Evaluations in a row after which a run is clearly under its best."""
    rng = random.Random(seed)
    made: list[Evaluation] = []
    longest = now = 0
    for number, mean in enumerate(means, start=1):
        made.append(replace(played(rng, mean), steps=1_000 * number))
        now = now + 1 if judge(made).under_best else 0
        longest = max(longest, now)
    return longest


@pytest.mark.parametrize("seed", range(8))
def test_who_plays_as_well_as_ever_is_not_under_the_best_by_chance(seed: int) -> None:
    """▣ Weights differ from one evaluation to the next by more than their episodes tell."""
    rng = random.Random(100 + seed)
    swings = [20.0] * 5 + [rng.gauss(100, 6) for _ in range(115)]
    assert longest_under_best(swings, seed) < 4


@pytest.mark.parametrize("seed", range(4))
def test_a_fall_is_under_the_best(seed: int) -> None:
    assert longest_under_best([20.0] * 5 + [100.0] * 20 + [50.0] * 12, seed) >= 4
    slowly = [100.0 - 0.5 * i for i in range(80)]
    assert longest_under_best([20.0] * 5 + slowly, seed) >= 4


def test_a_recovery_is_below_the_best_until_it_is_there() -> None:
    back = [80.0] * 8 + [100.0, 120.0, 140.0, 160.0, 180.0, 200.0, 220.0, 240.0]
    judged = judge(line([*RISE, *SOLVED, *back]))
    assert judged.verdict == "BELOW BEST"
    assert judged.slope_per_1m_steps == pytest.approx(2000.0)
    assert (
        "the last 4 evaluations brought 210 on average, the best 4 in a row 500; return"
        in judged.reason
    )


def test_a_little_under_the_best_is_at_it() -> None:
    """▣ What is certain need not matter: 0.4 of 500 are missing, by intervals that do not meet."""
    assert verdicts([*RISE, *SOLVED, *[499.6] * 12], ci95=0.1)[-1] == "FLAT AT BEST"


def test_a_slow_rise_is_seen_once_there_are_many_evaluations() -> None:
    rng = random.Random(4)
    said = verdicts([100 + i + rng.gauss(0, 5) for i in range(160)], ci95=9.8)
    assert set(said[60:]) == {"IMPROVING"}


def test_a_return_that_swings_is_flat_and_the_word_holds() -> None:
    said = verdicts([*RISE, *[500.0, 120.0, 500.0, 430.0, 90.0, 500.0, 310.0] * 8])
    assert len(changes(said)) <= 6
    assert said[-1] == "FLAT"


def test_evaluations_are_unlike_if_their_own_errors_do_not_explain_it() -> None:
    """▣ CartPole with a learning rate of 0.01, and two runs that play about alike."""
    swings = judge(line([500.0, 94.3, 99.4, 500.0, 154.7, 500.0, 118.2, 82.8, 97.2], ci95=20.0))
    assert swings.unlike
    assert (swings.window, swings.lowest, swings.highest) == (8, 82.8, 500.0)
    assert not judge(line([9.7, 9.2, 9.6, 9.8, 9.5, 9.3, 9.3, 9.4, 9.4, 9.2], ci95=0.4)).unlike
    assert not judge(line([100.0] * 8, ci95=0.0)).unlike
    assert not judge(line([0.0, 500.0] * 4, ci95=None)).unlike, "how sure they are is not known"


def test_by_noise_alone_evaluations_are_not_unlike() -> None:
    rng = random.Random(3)
    assert not any(judge([replace(played(rng, 100.0), steps=s) for s in range(8)]).unlike
                   for _ in range(500))  # fmt: skip


def test_a_verdict_changes_when_two_evaluations_in_a_row_say_so() -> None:
    up = line([10.0 * i for i in range(8)])
    assert judge(up).verdict == "IMPROVING"
    then = judge([*up, Evaluation(90_000, 0.0, 4.0)])
    assert then.verdict == "IMPROVING"
    assert then.newest_alone == "FLAT"
    assert then.reason.startswith(
        "as it was before the newest evaluation, 0; one alone changes no verdict. With it, it "
        "would be FLAT: return "
    )
    assert then.reason.endswith("over the last 8 evaluations, from 0 to 70: neither a rise nor a "
                                "fall is certain")  # fmt: skip
    assert judge(up).newest_alone is None
    assert judge([*up, Evaluation(90_000, 0.0, 4.0), Evaluation(100_000, 0.0, 4.0)]).verdict != (
        "IMPROVING"
    )


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
    said = [
        judge(line([rng.gauss(100, 5) for _ in range(8)], ci95=1.96 * 5)).verdict
        for _ in range(2000)
    ]
    assert sum(v != "FLAT" for v in said) / len(said) < 0.06


@pytest.mark.parametrize("ci95", [9.8, None])
def test_noise_alone_is_hardly_ever_above_or_below_its_best(ci95: float | None) -> None:
    rng = random.Random(2)
    said: list[str] = []
    for _ in range(20):
        said += verdicts([rng.gauss(100, 5) for _ in range(100)], ci95)[20:]
    assert said.count("FLAT") / len(said) > 0.9


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
    assert worst({"a": "FLAT", "b": "BELOW BEST", "c": "FLAT AT BEST"}) == "b"
    assert worst({"a": "FLAT AT BEST", "b": "IMPROVING"}) == "b"
