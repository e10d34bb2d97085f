"""A check's state is told once it has held, and remembered until the run is over."""

from __future__ import annotations

import pytest

from tuitrain.diagnosis.standing import CLEAR_LOOKS, RAISE_LOOKS, Change, Standings
from tuitrain.protocol import CheckState, CheckView


def check(state: CheckState, value: str = "7", id_: str = "q_bound") -> CheckView:
    return CheckView(
        id=id_, name="Q bound", value=value, limit="1", state=state, advice="", catalogue_id="7.1"
    )


class Looks:
    """One check after the other, each a thousand steps and half a second after the one before."""

    def __init__(self) -> None:
        self.standings = Standings()
        self.number = 0

    def __call__(self, *states: CheckState, at_work: bool = True) -> list[Change]:
        changes = []
        for state in states:
            self.number += 1
            changes += self.standings.look(
                [check(state, str(self.number))],
                1000 * self.number,
                self.number / 2,
                at_work=at_work,
            )
        return changes


def told(changes: list[Change]) -> list[tuple[str, str, str]]:
    return [(change.was, change.state, change.level) for change in changes]


def raised(*states: CheckState) -> Looks:
    look = Looks()
    for state in states:
        assert look(*[state] * RAISE_LOOKS)
    return look


def test_a_state_is_told_once_it_has_held() -> None:
    look = Looks()
    assert look("ok", *["warn"] * (RAISE_LOOKS - 1)) == []
    assert told(look("warn")) == [("ok", "warn", "warning")]
    assert look(*["warn"] * 50) == []
    assert told(look(*["fail"] * RAISE_LOOKS)) == [("warn", "fail", "error")]
    assert look(*["ok"] * (CLEAR_LOOKS - 1)) == []
    assert told(look("ok")) == [("fail", "ok", "info")]


def test_what_flaps_is_told_as_what_it_always_is_at_least() -> None:
    look = Looks()
    assert look(*["ok", "fail"] * 50) == [], "never bad for long"
    assert told(look(*["warn", "fail"] * 50)) == [("ok", "warn", "warning")]


def test_it_does_not_get_better_by_being_better_now_and_then() -> None:
    look = raised("fail")
    assert look(*(["ok"] * (CLEAR_LOOKS - 1) + ["fail"]) * 5) == []
    assert told(look(*["ok", "warn"] * CLEAR_LOOKS)) == [("fail", "warn", "warning")]


def test_what_is_not_measured_is_no_news() -> None:
    look = Looks()
    assert look(*["n/a"] * 50, *["ok"] * 50) == [], "the first measurement is none either"
    look = raised("fail")
    for _ in range(9):
        assert look(*["n/a"] * (CLEAR_LOOKS - 1), "fail") == []
    assert look.standings.failed() == ["q_bound"]


@pytest.mark.parametrize("state", ["warn", "fail"])
def test_what_a_run_at_work_measures_no_more_is_let_go(state: CheckState) -> None:
    """▣ No episode had ended; then some have, and what ends them is not known yet."""
    look = raised(state)
    assert look(*["n/a"] * (CLEAR_LOOKS - 1)) == []
    (change,) = look("n/a")
    assert told([change]) == [(state, "n/a", "info")]
    assert "is not measured any more" in change.text
    assert look(*["n/a"] * 50) == []
    assert look.standings.failed() == []
    assert told(look(*[state] * RAISE_LOOKS)) == [
        ("ok", state, {"warn": "warning", "fail": "error"}[state])
    ]


def test_in_a_pause_nothing_is_measured_and_nothing_let_go() -> None:
    look = raised("fail")
    assert look(*["n/a"] * 100, at_work=False) == []
    assert look.standings.failed() == ["q_bound"]


def test_looks_from_before_a_gap_do_not_count_with_those_after_it() -> None:
    look = Looks()
    assert look("ok", *["warn"] * (RAISE_LOOKS - 1), *["n/a"] * CLEAR_LOOKS) == []
    assert look("warn") == []
    assert told(look(*["warn"] * (RAISE_LOOKS - 1))) == [("ok", "warn", "warning")]


@pytest.mark.parametrize("state", ["warn", "fail"])
def test_an_event_has_all_that_was_measured(state: CheckState) -> None:
    look = Looks()
    look("ok")
    (change,) = look(*[state] * RAISE_LOOKS)
    assert change.data == {
        "check": "q_bound",
        "state": state,
        "was": "ok",
        "value": "5",
        "limit": "1",
        "advice": "",
        "catalogue_id": "7.1",
    }
    verb = {"warn": "warns", "fail": "failed"}[state]
    assert change.text == f"check Q bound {verb}: 5 (limit 1)"


def test_what_was_raised_is_remembered_with_its_worst() -> None:
    look = raised("warn", "fail")
    look(*["ok"] * (CLEAR_LOOKS + 3))
    (kept,) = look.standings.close([check("ok")], 99_000, 99.0)
    first, worst = RAISE_LOOKS, 2 * RAISE_LOOKS
    last = worst + CLEAR_LOOKS - 1
    assert (kept["check"], kept["state"], kept["value"]) == ("q_bound", "fail", str(worst))
    assert (kept["first_steps"], kept["first_s"]) == (1000 * first, first / 2)
    assert (kept["last_steps"], kept["last_s"]) == (1000 * last, last / 2)


def test_what_only_the_last_snapshot_raises_is_remembered_too() -> None:
    """▣ A run may end before anything could hold."""
    look = Looks()
    look("ok", "fail")
    assert look.standings.raised == {}
    (kept,) = look.standings.close([check("fail", "nan")], 2000, 1.0)
    assert (kept["state"], kept["value"], kept["first_steps"]) == ("fail", "nan", 2000)


def test_after_a_return_all_begins_anew_and_what_was_raised_stays() -> None:
    look = raised("fail")
    look.standings.begin_again()
    assert look.standings.failed() == []
    assert look(*["fail"] * (RAISE_LOOKS - 1)) == []
    assert told(look("fail")) == [("ok", "fail", "error")]
    assert set(look.standings.raised) == {"q_bound"}
