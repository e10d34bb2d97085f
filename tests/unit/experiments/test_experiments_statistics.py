"""The statistics of few runs: by hand, in closed form, from tables, and by simulation.

Rates are simulated with fixed seeds; the allowed distance is about four standard errors of the
number of trials, so a rule that is wrong by a factor is caught.
"""

from __future__ import annotations

import math
from statistics import NormalDist

import numpy as np
import pytest

from tuitrain.experiments.statistics import (
    area_under_curve,
    bootstrap_interval,
    equivalence_power,
    improvement_interval,
    iqm,
    judge,
    probability_of_improvement,
    seeds_for_power,
    stratified_resamples,
    welch,
)
from tuitrain.experiments.student import beta_regularised, t_cdf, t_quantile

TRIALS = 2_000


def scores(*values: float) -> np.ndarray:
    return np.array(values, np.float64)


# ---- Student's t -----------------------------------------------------------------------------


@pytest.mark.parametrize("t", [-50.0, -3.0, -0.7, 0.0, 0.1, 1.0, 2.5, 40.0])
def test_t_has_closed_forms_for_1_2_and_4_degrees(t: float) -> None:
    assert t_cdf(t, 1) == pytest.approx(0.5 + math.atan(t) / math.pi, rel=1e-12)
    assert t_cdf(t, 2) == pytest.approx(0.5 + t / (2 * math.sqrt(2 + t * t)), rel=1e-11)
    u = t / math.sqrt(4 + t * t)
    assert t_cdf(t, 4) == pytest.approx(0.5 + 0.75 * (u - u**3 / 3), rel=1e-10)


@pytest.mark.parametrize(
    ("probability", "degrees", "tabled"),
    [
        (0.975, 1, 12.7062),
        (0.975, 2, 4.3027),
        (0.975, 5, 2.5706),
        (0.95, 3, 2.3534),
        (0.95, 10, 1.8125),
        (0.995, 8, 3.3554),
        (0.975, 30, 2.0423),
        (0.975, 120, 1.9799),
    ],
)
def test_t_quantiles_are_the_tables(probability: float, degrees: int, tabled: float) -> None:
    assert t_quantile(probability, degrees) == pytest.approx(tabled, abs=6e-5)
    assert t_quantile(1 - probability, degrees) == pytest.approx(-tabled, abs=6e-5)


@pytest.mark.parametrize("degrees", [0.7, 1.5, 3.2, 17.9, 400.0, 1e6])
def test_quantile_and_distribution_are_inverse(degrees: float) -> None:
    for probability in (0.001, 0.2, 0.5, 0.9, 0.9999):
        found = t_cdf(t_quantile(probability, degrees), degrees)
        assert found == pytest.approx(probability, rel=1e-9)


def test_t_becomes_normal() -> None:
    assert t_quantile(0.975, 1e7) == pytest.approx(NormalDist().inv_cdf(0.975), rel=1e-6)


def test_incomplete_beta_of_whole_numbers_is_a_binomial_tail() -> None:
    # P(at least 3 of 7 heads) = I_x(3, 5)
    for x in (0.05, 0.3, 0.5, 0.9):
        tail = sum(math.comb(7, k) * x**k * (1 - x) ** (7 - k) for k in range(3, 8))
        assert beta_regularised(x, 3, 5) == pytest.approx(tail, rel=1e-12)
    assert (beta_regularised(0, 3, 5), beta_regularised(1, 3, 5)) == (0.0, 1.0)


# ---- aggregates ------------------------------------------------------------------------------


def test_iqm_is_the_mean_of_the_middle_half() -> None:
    assert iqm(scores(9, 1, 100, 2, 3, 4, -70, 8)) == (2 + 3 + 4 + 8) / 4
    assert iqm(scores(5, 1, 0, 90, 3)) == (1 + 3 + 5) / 3  # a quarter of 5, rounded down, is 1
    assert iqm(scores(2, 4, 9)) == 5
    assert iqm(np.array([[1.0, 2, 3, 90], [0, 0, 8, 9]])).tolist() == [2.5, 4.0]
    with pytest.raises(ValueError, match="no score"):
        iqm(scores())


def test_area_is_the_mean_height_between_two_steps() -> None:
    steps, values = scores(0, 10, 30), scores(0, 10, 10)
    assert area_under_curve(steps, values, 0, 30) == pytest.approx((50 + 200) / 30)
    assert area_under_curve(steps, values, 5, 20) == pytest.approx((37.5 + 100) / 15)
    # what comes after the second step has no say
    peak = scores(0, 0, 90, 0)
    assert area_under_curve(scores(0, 10, 20, 30), peak, 0, 10) == 0
    # uneven steps count by their length, not by their number
    uneven = area_under_curve(scores(0, 1, 2, 100), scores(0, 0, 0, 50), 0, 100)
    assert uneven == pytest.approx(98 * 25 / 100)
    # outside its points it keeps the first and last value
    assert area_under_curve(scores(10, 20), scores(1, 3), 0, 40) == pytest.approx(
        (10 * 1 + 10 * 2 + 20 * 3) / 40
    )


@pytest.mark.parametrize(
    ("steps", "values", "low", "high"),
    [
        (scores(0, 0), scores(1, 1), 0, 1),
        (scores(1, 0), scores(1, 1), 0, 1),
        (scores(0, 1), scores(1), 0, 1),
        (scores(), scores(), 0, 1),
        (scores(0, 1), scores(1, 1), 1, 1),
    ],
)
def test_no_area_without_a_curve(
    steps: np.ndarray, values: np.ndarray, low: float, high: float
) -> None:
    with pytest.raises(ValueError, match=r"curve|area"):
        area_under_curve(steps, values, low, high)


# ---- bootstrap -------------------------------------------------------------------------------


def test_runs_are_resampled_within_their_stratum() -> None:
    low, high = stratified_resamples(
        [scores(1, 2, 3), scores(10, 20)], np.random.default_rng(0), 500
    )
    assert (low.shape, high.shape) == ((500, 3), (500, 2))
    assert set(np.unique(low)) == {1.0, 2.0, 3.0}
    assert set(np.unique(high)) == {10.0, 20.0}
    # with replacement: a resample repeats a score in 1 - 3!/27 of all cases
    repeats = np.mean([len(set(row)) < 3 for row in low.tolist()])
    assert repeats == pytest.approx(1 - 6 / 27, abs=0.08)


def test_a_bootstrap_of_two_scores_has_three_values() -> None:
    # means of 2 draws out of {0, 1}: 0, ½, 1 with chances ¼, ½, ¼
    def mean(drawn: np.ndarray) -> np.ndarray:
        return drawn.mean(axis=-1)

    rng = np.random.default_rng(0)
    assert bootstrap_interval([scores(0, 1)], mean, rng, level=0.4) == (0.5, 0.5)
    assert bootstrap_interval([scores(0, 1)], mean, rng, level=0.6) == (0.0, 1.0)


def test_bootstrap_intervals_hold_the_truth_as_often_as_is_said() -> None:
    rng = np.random.default_rng(1)
    held = dict.fromkeys((4, 10), 0)
    for n in held:
        for _ in range(400):
            low, high = bootstrap_interval([rng.normal(size=n)], iqm, rng, resamples=400)
            held[n] += low <= 0 <= high
    assert held[4] / 400 == pytest.approx(0.87, abs=0.06)
    assert held[10] / 400 == pytest.approx(0.93, abs=0.05)


def test_strata_keep_their_weight() -> None:
    # Each stratum is constant: resampled across strata, the mean would vary.
    strata = [np.full(3, 0.0), np.full(9, 1.0)]
    rng = np.random.default_rng(0)
    low, high = bootstrap_interval(strata, lambda s: s.mean(axis=-1), rng)
    assert (low, high) == (0.75, 0.75)


def test_probability_of_improvement_counts_pairs() -> None:
    assert probability_of_improvement([scores(1, 5)], [scores(0, 3)]) == 3 / 4
    assert probability_of_improvement([scores(1, 2)], [scores(1, 2)]) == 1 / 2  # ties count half
    assert probability_of_improvement([scores(1)], [scores(2)]) == 0
    both = probability_of_improvement([scores(9), scores(1, 1, 1)], [scores(1), scores(2, 2)])
    assert both == 1 / 2  # a task counts once, however many runs it has
    with pytest.raises(ValueError, match="same tasks"):
        probability_of_improvement([scores(1)], [])


def test_the_interval_of_improvement_is_certain_only_of_the_certain() -> None:
    rng = np.random.default_rng(0)
    assert improvement_interval([scores(3, 4)], [scores(1, 2)], rng) == (1.0, 1.0)
    low, high = improvement_interval([rng.normal(size=40)], [rng.normal(size=40)], rng)
    # the standard error of Mann-Whitney's share under equality: √((n+m+1)/(12nm))
    width = 2 * 1.96 * math.sqrt(81 / (12 * 40 * 40))
    assert high - low == pytest.approx(width, rel=0.15)
    assert low < 0.5 < high
    tasks = [scores(3, 4), scores(1)], [scores(1, 2), scores(9)]
    assert improvement_interval(*tasks, rng) == (0.5, 0.5)


# ---- two means -------------------------------------------------------------------------------


def test_welch_by_hand() -> None:
    # variances 4 and 1, so error² = 4/3 + 1/3; degrees = (5/3)² / ((4/3)²/2 + (1/3)²/2)
    difference = welch(scores(8, 10, 12), scores(1, 2, 3))
    assert difference.value == 8
    assert difference.error == pytest.approx(math.sqrt(5 / 3))
    assert difference.degrees == pytest.approx((25 / 9) / (17 / 18))
    low, high = difference.interval()
    half = t_quantile(0.975, 50 / 17) * math.sqrt(5 / 3)
    assert (low, high) == (pytest.approx(8 - half), pytest.approx(8 + half))
    with pytest.raises(ValueError, match="two scores"):
        welch(scores(1), scores(1, 2))


def test_p_values_say_what_the_interval_says() -> None:
    difference = welch(scores(8, 10, 12, 9), scores(7, 9, 10))
    low, high = difference.interval(0.95)
    assert difference.p_above(low) == pytest.approx(0.025)
    assert difference.p_below(high) == pytest.approx(0.025)
    assert difference.p_zero() == pytest.approx(2 * difference.p_above(0))


def test_without_spread_the_difference_is_what_it_is() -> None:
    ceiling = np.full(4, 500.0)
    same = judge(welch(ceiling, ceiling), margin=1)
    assert (same.answer, same.p_different, same.p_equivalent) == ("equivalent", 1, 0)
    assert judge(welch(ceiling, ceiling), margin=None).answer == "inconclusive"
    assert judge(welch(ceiling, ceiling - 9), margin=5).answer == "different"
    # sums of tenths are not exactly equal; that is no spread
    tenths = np.array([0.1 + 0.2, 0.3, 0.3])
    assert welch(tenths, tenths + 1).error == 0


def test_the_three_answers() -> None:
    wide, narrow = scores(0, 10, 20), scores(10.0, 10.1, 9.9)
    assert judge(welch(wide, narrow), 5).answer == "inconclusive"
    assert judge(welch(narrow + 0.05, narrow), 5).answer == "equivalent"
    assert judge(welch(narrow + 9, narrow), 5).answer == "different"
    # proven but smaller than what matters
    small = welch(narrow + 1, narrow)
    assert judge(small, None).answer == "different"
    assert judge(small, 5).answer == "equivalent"
    with pytest.raises(ValueError, match="above 0"):
        judge(small, 0)


def test_equivalent_is_that_the_90_percent_interval_lies_within_the_margin() -> None:
    difference = welch(scores(3, 5, 4, 6, 9), scores(2, 4, 6, 3))
    low, high = difference.interval(0.90)
    edge = max(-low, high)
    assert judge(difference, edge * 1.0001).answer == "equivalent"
    assert judge(difference, edge * 0.9999).answer == "inconclusive"


# ---- rates -----------------------------------------------------------------------------------


def rate(answer: str, n: int, shift: float, margin: float | None, spread: float = 1.0) -> float:
    """Share of an answer among simulated normal arms of `n` runs each."""
    rng = np.random.default_rng(20210830)
    ours = rng.normal(shift, spread, (TRIALS, n))
    theirs = rng.normal(0.0, 1.0, (TRIALS, n))
    answers = [judge(welch(x, y), margin).answer for x, y in zip(ours, theirs, strict=True)]
    return answers.count(answer) / TRIALS


@pytest.mark.parametrize("n", [4, 10, 30])
def test_equal_arms_are_called_different_in_a_twentieth_of_all_cases(n: int) -> None:
    assert rate("different", n, 0.0, None) == pytest.approx(0.05, abs=0.02)


def test_also_with_unequal_spreads() -> None:
    assert rate("different", 10, 0.0, None, spread=4.0) == pytest.approx(0.05, abs=0.02)


@pytest.mark.parametrize(("n", "margin"), [(10, 1.5), (30, 1.0)])
def test_arms_that_differ_by_the_margin_are_called_equivalent_in_a_twentieth(
    n: int, margin: float
) -> None:
    assert rate("equivalent", n, margin, margin) == pytest.approx(0.05, abs=0.02)
    assert rate("equivalent", n, 2 * margin, margin) == 0


@pytest.mark.parametrize(("sd_per_margin", "power"), [(1.0, 0.8), (0.5, 0.9)])
def test_the_promised_seeds_have_the_promised_power(sd_per_margin: float, power: float) -> None:
    n = seeds_for_power(sd_per_margin, 1.0, power)
    found = rate("equivalent", n, 0.0, 1 / sd_per_margin)
    assert found == pytest.approx(equivalence_power(n, sd_per_margin, 1.0), abs=0.04)
    assert found > power - 0.03
    assert equivalence_power(n - 1, sd_per_margin, 1.0) < power


@pytest.mark.parametrize(
    ("n", "sd", "margin", "power"),
    [(3, 0.5, 2.0, 0.977678), (6, 1.0, 2.0, 0.884063), (30, 1.0, 0.9, 0.928098)],
)
def test_power_is_the_integral(n: int, sd: float, margin: float, power: float) -> None:
    # by scipy 1.x: quad over chi.pdf times the normal chance of falling within the margin
    assert equivalence_power(n, sd, margin) == pytest.approx(power, abs=2e-6)


def test_with_many_seeds_their_number_is_the_normal_one() -> None:
    # n = 2·(z(1-α) + z(1-β/2))²·(sd/margin)²  (e.g. Lakens 2017)
    z = NormalDist().inv_cdf
    normal = 2 * (z(0.95) + z(0.9)) ** 2 * 10**2
    assert seeds_for_power(10, 1) == pytest.approx(normal, rel=0.005)
    assert seeds_for_power(0, 1) == 2
    many = 2 * (z(0.95) + z(0.9)) ** 2 * 200**2
    assert seeds_for_power(200, 1) == pytest.approx(many, rel=1e-4)
    assert equivalence_power(1, 1, 1) == 0
    with pytest.raises(ValueError, match="no such test"):
        seeds_for_power(1, 0)
