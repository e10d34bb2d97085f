"""Deaths and lost updates of a run, counted over the events of all its sessions."""

from __future__ import annotations

from tuitrain.supervisor.totals import totals


def test_deaths_and_lost_updates_of_all_sessions_are_counted() -> None:
    events = [
        {"source": "a1", "data": {"died_s": 1.5}},
        {"source": "learner", "data": {"died_s": 2.0}},
        {"source": "learner", "data": {"lost_updates": {"wolves": 10, "sheep": 3}}},
        {"source": "supervisor", "text": "resumed"},
        {"source": "a1", "data": {"died_s": 9.0}},
        {"source": "learner", "data": {"lost_updates": {"wolves": 5}}},
    ]
    assert totals(events) == {
        "deaths": {"a1": 2, "learner": 1},
        "lost_updates": {"wolves": 15, "sheep": 3},
    }


def test_a_death_that_is_told_of_twice_is_one_and_a_late_failure_none() -> None:
    events = [
        {"source": "a1", "data": {"died_s": 1.5}},
        {"source": "a1", "data": {"died_s": 1.5, "role": "actor"}},
        {"source": "a1", "data": {"died_s": None}},
        {"source": "a1", "data": "damaged"},
    ]
    assert totals(events) == {"deaths": {"a1": 1}, "lost_updates": {}}
