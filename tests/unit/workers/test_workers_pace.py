"""Schedules over the planned updates go on from where they are when the replay ratio is changed."""

from __future__ import annotations

from fractions import Fraction

import pytest
from hypothesis import given
from hypothesis import strategies as st

from tuitrain.config.resolve import planned_updates
from tuitrain.config.schema import Config
from tuitrain.replay.limiter_rule import LimiterRule
from tuitrain.workers.blueprint import Base
from tuitrain.workers.learners.pace import Pace

STEPS, STARTS = 20_000, 1_000
CONFIG = Config.model_validate(
    {
        "run": {"total_steps": STEPS},
        "replay": {"learning_starts": STARTS},
        "learner": {"replay_ratio": 0.3},
    }
)
FIRST = LimiterRule(Fraction(3, 10), STARTS, Fraction(100), 10)


def share(rule: LimiterRule, updates: int, base: Base | None = None) -> float:
    course = pace(rule, base).course(CONFIG, 1)
    return course.at(updates) / course.length


def pace(rule: LimiterRule, base: Base | None = None) -> Pace:
    words = rule.updates_per_insert, rule.learning_starts, rule.updates_before
    return Pace.of(CONFIG, base or Base(), "p", words)


def test_without_a_change_it_is_updates_by_planned_updates() -> None:
    course = pace(FIRST).course(CONFIG, 1)
    assert course.length == planned_updates(CONFIG) == 5700
    assert [course.at(n) for n in (0, 1, 5700)] == [0, 1, 5700]


ratios = st.fractions(Fraction(1, 50), 8, max_denominator=50)
changes = st.lists(st.tuples(st.integers(0, STEPS), ratios), max_size=5).map(sorted)


def grain(rule: LimiterRule) -> float:
    """One update more or less, as a share of all."""
    return 2 / float(rule.updates_per_insert * (STEPS - STARTS))


@given(changes)
def test_a_change_moves_nothing_and_the_end_is_the_end(changes: list[tuple[int, Fraction]]) -> None:
    """▣ For any ratios at any time, with a learner that makes what is due."""
    rule, made = FIRST, 0
    for inserts, ratio in changes:
        made += max(0, rule.updates_due(inserts, made) - 1)  # of the last one, nothing is owed yet
        before, old = share(rule, made), rule
        rule = rule.changed(ratio, inserts)
        assert share(rule, made) == pytest.approx(before, abs=grain(old) + grain(rule))
        assert pace(rule).passed == max(0, inserts - STARTS), "whatever the ratios were"
    made += max(0, rule.updates_due(STEPS, made) - 1)
    assert share(rule, made) == pytest.approx(1.0, abs=grain(rule))


def test_updates_that_were_owed_do_not_take_it_back() -> None:
    """▣ A hundred of them would be worth ten thousand transitions by the new ratio."""
    made = FIRST.updates_due(10_000, 0) - 101
    before = share(FIRST, made)
    rule = FIRST.changed(Fraction(1, 100), 10_000)
    for owed in range(101):
        assert share(rule, made + owed) == pytest.approx(9_000 / 19_000, abs=1e-3)
    assert 0 < 9_000 / 19_000 - before < 0.02, "never more than the band"


def test_a_replay_that_is_begun_anew_goes_on_from_there() -> None:
    """▣ What its own counts say of a changed ratio is gone."""
    changed = FIRST.changed(Fraction(2), 10_500)
    made = changed.updates_due(12_000, 0) - 1
    before = share(changed, made)
    anew = Base(updates={"p": made}, began={"p": (str(pace(changed).passed_at(made)), made)})
    fresh = LimiterRule(Fraction(2), STARTS, Fraction(100), 10)
    assert share(fresh, made, anew) == pytest.approx(before)
    assert share(fresh, made) != pytest.approx(before, abs=0.1), "by the counts alone"
