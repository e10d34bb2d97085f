"""How checks stood at the end of a run that nobody can ask any more."""

from __future__ import annotations

from typing import Any

import pytest

from tuitrain.diagnosis.ended import at_the_end, returned_for, stretches
from tuitrain.protocol import CheckState, CheckView


def changed(at: float, id_: str, state: str, **more: Any) -> dict[str, Any]:
    data = {"check": id_, "state": state, "was": "ok", "value": "7", "limit": "1", **more}
    return {"time_s": at, "level": "warning", "text": "…", "data": data}


def row(id_: str, state: CheckState, value: str = "0") -> CheckView:
    return CheckView(id=id_, name=id_.upper(), value=value, limit="1", state=state)


def test_a_check_is_raised_since_it_was_last_not() -> None:
    events = [
        changed(1.0, "q", "warn"),
        changed(2.0, "q", "ok"),
        changed(3.0, "q", "warn"),
        changed(4.0, "q", "fail", advice="do this"),
        changed(5.0, "rate", "warn"),
        changed(6.0, "rate", "ok"),
    ]
    found = stretches(events)
    assert (found["q"].raised, found["q"].since_s, found["q"].check.state) == (True, 3.0, "fail")
    assert found["q"].check.advice == "do this"
    assert not found["rate"].raised


def test_what_a_run_at_work_measured_no_more_is_not_raised() -> None:
    events = [changed(1.0, "q", "fail"), changed(2.0, "q", "n/a")]
    found = stretches(events)
    assert (found["q"].raised, found["q"].since_s) == (False, 2.0)
    again = stretches([*events, changed(3.0, "q", "warn")])["q"]
    assert (again.raised, again.since_s) == (True, 3.0)


@pytest.mark.parametrize(
    "data", [{"mark": "resume"}, {"mark": "back"}, {"check": "q", "on_fail": "rollback"}]
)
def test_another_session_and_going_back_begin_anew(data: dict[str, str]) -> None:
    anew = {"time_s": 2.0, "text": "…", "data": data}
    assert stretches([changed(1.0, "q", "fail"), anew]) == {}


def test_what_all_went_back_for_in_the_last_session() -> None:
    went = [{"data": {"check": id_, "on_fail": "rollback"}} for id_ in ("q", "rate", "q")]
    paused = {"data": {"check": "lag", "on_fail": "pause"}}
    damaged = [{"data": {"on_fail": "rollback"}}, {"data": {"on_fail": "rollback", "check": 1}}]
    assert returned_for([*went, paused, *damaged, {"data": {"mark": "back"}}]) == ["q", "rate", "q"]
    assert returned_for([*went, {"data": {"mark": "resume"}}, {"text": "ready"}, went[1]]) == [
        "rate"
    ]


def test_other_and_damaged_events_are_passed_over() -> None:
    events: list[dict[str, Any]] = [
        {"text": "ready"},
        {"data": "?"},
        changed(1.0, "q", "red"),
        {"time_s": "?", **{k: v for k, v in changed(1.0, "q", "fail").items() if k != "time_s"}},
    ]
    assert stretches(events) == {}


def states(**of: Any) -> dict[str, str]:
    given = {"again": (), "summed_up": (), "changed": {}} | of
    return {check.id: check.state for check in at_the_end(**given)}


def test_what_the_run_has_said_counts_more_than_what_is_made_again() -> None:
    again = [row("q", "fail"), row("rate", "n/a")]
    assert states(again=again, summed_up=[row("q", "ok"), row("old", "warn")]) == {
        "q": "ok",
        "rate": "n/a",
        "old": "warn",
    }


def test_what_was_raised_when_the_workers_ended_stays_so() -> None:
    told = stretches([changed(1.0, "rate", "warn")])
    again = [row("rate", "n/a")]
    (check,) = at_the_end(again, [row("rate", "n/a")], told)
    assert (check.state, check.name) == ("warn", "RATE")
    assert states(again=again, summed_up=[row("rate", "ok")], changed=told) == {"rate": "ok"}


def test_what_was_let_go_is_as_the_run_and_its_records_say() -> None:
    """▣ "No episode has ended" was told of a run of which thirty had."""
    told = stretches([changed(1.0, "q", "warn"), changed(2.0, "q", "n/a", value="30 episodes")])
    unknown = row("q", "n/a", "30 episodes")
    assert states(again=[unknown], summed_up=[unknown], changed=told) == {"q": "n/a"}
    assert states(again=[unknown], changed=told) == {"q": "n/a"}
    assert states(again=[row("q", "ok")], changed=told) == {"q": "ok"}, "which is told of no more"


def test_of_a_run_that_was_killed_events_and_records_are_left() -> None:
    told = stretches([changed(1.0, "q", "ok")])
    again = [row("q", "fail"), row("rate", "fail")]
    assert states(again=again, changed=told) == {"q": "ok", "rate": "fail"}


def test_the_verdict_on_learning_is_the_one_that_its_records_give() -> None:
    told = stretches([changed(1.0, "learning", "warn")])
    assert states(again=[row("learning", "ok")], changed=told) == {"learning": "ok"}
    summed_up = [row("learning", "warn")]
    assert states(again=[row("learning", "ok")], summed_up=summed_up) == {"learning": "ok"}
    unknown = [row("learning", "n/a")]
    assert states(again=unknown, changed=told) == {"learning": "warn"}
    assert states(again=unknown, summed_up=summed_up) == {"learning": "warn"}


def test_who_has_failed_is_said_in_one_line() -> None:
    again, summed_up = row("processes", "fail", "a0 failed"), row("processes", "fail", "Traceback")
    (check,) = at_the_end([again], [summed_up], {})
    assert check.value == "a0 failed"


def test_a_failure_is_told_again_with_as_many_processes_as_there_were() -> None:
    again, own = row("processes", "fail", "a0 failed, 6 deaths"), row("processes", "fail")
    (found,) = at_the_end([again], [own.model_copy(update={"limit": "3 up"})], {})
    assert (found.value, found.limit) == ("a0 failed, 6 deaths", "3 up")
