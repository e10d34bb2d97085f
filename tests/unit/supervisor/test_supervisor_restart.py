"""The decision to restart, on literal histories."""

from __future__ import annotations

from dataclasses import replace

import pytest

from tuitrain.supervisor.restart import Death, GiveUp, Restart, RestartRule, decide

RULE = RestartRule(max_restarts=3, period_s=100.0)


def killed(*at_s: float) -> list[Death]:
    return [Death(at, ready=True, told=False) for at in at_s]


def test_a_death_is_followed_by_a_successor() -> None:
    assert decide(killed(0.0), 0.0, RULE) == Restart()
    assert decide(killed(0.0, 1.0, 2.0), 2.0, RULE) == Restart()


def test_too_many_within_the_period_give_up() -> None:
    verdict = decide(killed(0.0, 10.0, 20.0, 30.0), 30.0, RULE)
    assert isinstance(verdict, GiveUp)
    assert "death 4 of this worker within 100 s" in verdict.reason
    assert "supervisor.max_restarts is 3" in verdict.reason


def test_the_same_number_over_a_longer_time_does_not() -> None:
    assert decide(killed(0.0, 40.0, 80.0, 120.0), 120.0, RULE) == Restart()
    a_week = [3600.0 * hour for hour in range(24 * 7)]
    for number in range(1, len(a_week)):
        assert decide(killed(*a_week[:number]), a_week[number - 1], RULE) == Restart()


def test_a_death_on_the_edge_of_the_period_counts() -> None:
    assert isinstance(decide(killed(0.0, 1.0, 2.0, 100.0), 100.0, RULE), GiveUp)
    assert decide(killed(0.0, 1.0, 2.0, 100.5), 100.5, RULE) == Restart()


def test_it_is_the_clock_of_the_decision_that_counts() -> None:
    """Who was killed took a while to be reaped."""
    assert decide(killed(0.0, 1.0, 2.0, 3.0), 103.5, RULE) == Restart()


@pytest.mark.parametrize("told", [False, True])
def test_a_first_one_that_was_never_ready_stops_the_run(told: bool) -> None:
    verdict = decide([Death(0.0, ready=False, told=told)], 0.0, RULE)
    assert isinstance(verdict, GiveUp)
    assert "before it was ready" in verdict.reason


def test_a_successor_that_cannot_be_built_stops_the_run() -> None:
    history = [*killed(0.0), Death(5.0, ready=False, told=True, cause="ImportError: gone")]
    assert isinstance(decide(history, 5.0, RULE), GiveUp)


def test_a_successor_that_is_killed_before_it_is_ready_is_one_death_more() -> None:
    unborn = Death(5.0, ready=False, told=False)
    assert decide([*killed(0.0), unborn], 5.0, RULE) == Restart()
    history = [*killed(0.0), unborn, replace(unborn, at_s=6.0), replace(unborn, at_s=7.0)]
    assert isinstance(decide(history, 7.0, RULE), GiveUp)


def test_exceptions_count_like_other_deaths() -> None:
    raised = [Death(at, True, True, "ValueError: x", progress=1) for at in (0.0, 1.0, 2.0)]
    assert decide(raised, 2.0, RULE) == Restart()


def test_a_successor_that_raises_the_same_at_once_stops_the_run() -> None:
    at_once = [Death(at, True, True, "ValueError: x", progress=0) for at in (0.0, 1.0)]
    assert decide(at_once[:1], 0.0, RULE) == Restart(), "once may be chance"
    verdict = decide(at_once, 1.0, RULE)
    assert isinstance(verdict, GiveUp)
    assert "before it had done anything" in verdict.reason
    got_on = replace(at_once[1], progress=1)
    assert decide([at_once[0], got_on], 1.0, RULE) == Restart()
    other = replace(at_once[1], cause="ValueError: y")
    assert decide([at_once[0], other], 1.0, RULE) == Restart()


def test_who_repeats_its_past_is_not_asked_to_raise_the_same_again() -> None:
    """However far apart: between two checkpoints it may train for longer than a period."""
    rule = replace(RULE, repeats=True)
    raised = [Death(at, True, True, "ValueError: x", progress=9) for at in (0.0, 500.0)]
    assert decide(raised[:1], 0.0, rule) == Restart()
    verdict = decide(raised, 500.0, rule)
    assert isinstance(verdict, GiveUp)
    assert "in the same way" in verdict.reason
    other = [raised[0], replace(raised[1], cause="ValueError: y")]
    assert decide(other, 500.0, rule) == Restart()
    assert decide(killed(0.0, 500.0), 500.0, rule) == Restart()


def test_who_has_come_past_a_new_checkpoint_does_not_repeat_its_past() -> None:
    """A disk that is out of reach for a moment twice a day ends no run of a week."""
    rule = replace(RULE, repeats=True)
    hours = [Death(3600.0 * i, True, True, "OSError: x", 9, f"ckpt-{i}") for i in range(1, 50)]
    for number in range(1, len(hours)):
        assert decide(hours[:number], hours[number - 1].at_s, rule) == Restart()
    again = [*hours, replace(hours[-1], at_s=hours[-1].at_s + 3600.0)]
    verdict = decide(again, again[-1].at_s, rule)
    assert isinstance(verdict, GiveUp)
    assert "no new checkpoint in between" in verdict.reason
    # the first one came of the run's first checkpoint: before, all went back to the start
    first = [replace(hours[0], at_s=0.0, checkpoint=None), hours[0]]
    assert decide(first, hours[0].at_s, rule) == Restart()
    crowd = [replace(death, at_s=float(i)) for i, death in enumerate(hours[:4])]
    verdict = decide(crowd, 3.0, rule)
    assert isinstance(verdict, GiveUp)
    assert "death 4 of all workers together" in verdict.reason


def test_restarting_can_be_turned_off() -> None:
    assert decide(killed(0.0), 0.0, RestartRule(0, 100.0)) == GiveUp("")
