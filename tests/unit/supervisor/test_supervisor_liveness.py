"""Deadlines, with a clock that is a number."""

from __future__ import annotations

import pytest

from tuitrain.metrics.phases import Stay
from tuitrain.supervisor.crew.liveness import (
    Deadline,
    GapDetector,
    Liveness,
    Standstill,
    still_says,
)


def ready(progress_deadline_s: float = 10.0) -> Liveness:
    life = Liveness(0.0, startup_deadline_s=5.0, progress_deadline_s=progress_deadline_s)
    life.on_ready(1.0)
    return life


def test_a_worker_that_never_reports_ready_is_late() -> None:
    life = Liveness(0.0, startup_deadline_s=5.0, progress_deadline_s=100.0)
    assert life.judge(5.0) == "ok"
    life.on_heartbeat(4.0, "waiting", 1)  # an excuse that does not count yet
    assert life.judge(5.1) == "late start"


def test_heartbeats_without_progress_are_a_hang() -> None:
    life = ready()
    for second in range(2, 11):
        life.on_heartbeat(float(second), "running", 0)
        assert life.judge(float(second)) == "ok"
    life.on_heartbeat(11.1, "running", 0)
    assert life.judge(11.1) == "hung"


def test_progress_renews_the_deadline() -> None:
    life = ready()
    life.on_heartbeat(10.0, "running", 1)
    assert life.judge(19.9) == "ok"
    assert life.judge(20.1) == "hung"


@pytest.mark.parametrize("state", ["waiting", "paused", "finished"])
def test_who_says_that_it_waits_is_healthy_for_as_long_as_it_says_so(state: str) -> None:
    life = ready()
    for second in range(2, 1000):
        life.on_heartbeat(float(second), state, 0)
        assert life.judge(float(second)) == "ok"
    assert life.judge(999.0 + 10.1) == "hung"


def test_one_slow_unit_of_work_allows_others_as_slow() -> None:
    life = ready()
    life.on_heartbeat(2.0, "running", 1)
    life.on_heartbeat(11.0, "running", 2)  # 9 s for one unit
    assert life.judge(11.0) == "ok"
    assert life.deadline_s == pytest.approx(27.0)
    assert life.judge(11.0 + 26.0) == "ok"


def test_a_long_wait_is_not_taken_for_slow_work() -> None:
    life = ready()
    life.on_heartbeat(2.0, "waiting", 1)
    life.on_heartbeat(300.0, "waiting", 1)
    life.on_heartbeat(310.0, "running", 2)
    assert life.deadline_s == 10.0


def test_after_a_gap_of_the_judge_all_deadlines_start_again() -> None:
    gaps = GapDetector(0.0, tolerance_s=2.0)
    life, deadline = ready(), Deadline(0.0, 10.0)
    assert gaps.tick(1.0) is None
    assert gaps.tick(601.0) == 600.0
    assert life.judge(601.0) == "hung"  # what a judge without a gap detector would say
    assert deadline.passed(601.0)
    life.renew(601.0)
    deadline.renew(601.0)
    assert life.judge(610.0) == "ok"
    assert not deadline.passed(610.0)
    assert life.judge(611.5) == "hung"
    assert deadline.passed(611.5)


def test_heartbeats_read_after_a_gap_of_the_judge_are_no_history() -> None:
    life = ready()
    life.on_heartbeat(1.0, "running", 1)
    assert life.judge(1.0) == "ok"
    life.on_heartbeat(601.0, "running", 500)  # the first thing that is done after a suspension
    life.renew(601.1)
    assert life.judge(601.1) == "ok"
    assert life.deadline_s == 10.0
    assert life.judge(611.2) == "hung"


def test_all_waiting_for_each_other_is_a_standstill() -> None:
    standstill = Standstill(10.0)
    assert not standstill.judge(0.0, ["waiting", "waiting"])
    assert not standstill.judge(10.0, ["waiting", "finished"])
    assert standstill.judge(10.1, ["waiting", "waiting"])


@pytest.mark.parametrize(
    "states",
    [
        ["waiting", "running"],
        ["waiting", "starting"],
        ["waiting", "failed"],
        ["finished"],
        ["paused"],
        [],
    ],
)
def test_no_standstill_while_somebody_works_or_nobody_waits(states: list[str]) -> None:
    standstill = Standstill(10.0)
    standstill.judge(0.0, ["waiting"])
    assert not standstill.judge(5.0, states)
    assert not standstill.judge(11.0, ["waiting"])


def test_a_phase_has_a_deadline_of_its_own_for_each_stay_in_it() -> None:
    life = Liveness(0.0, 5.0, 10.0, {"env step": 2.0, "evaluate": 30.0})
    life.on_ready(0.0)
    life.on_stay(0.0, Stay("act", 1))
    assert life.judge(9.9) == "ok"
    life.on_stay(9.9, Stay("env step", 2))
    assert life.judge(11.8) == "ok"
    assert life.judge(12.0) == "hung"
    assert life.why(12.0) == 'hung in "env step" for 2 s'
    life.on_stay(12.0, Stay("env step", 4))  # it has been elsewhere in between
    assert life.judge(13.9) == "ok"
    life.on_stay(14.0, Stay("evaluate", 5))  # longer than others may take
    assert life.judge(43.9) == "ok"
    life.on_heartbeat(40.0, "running", 1)  # it gets on within the stay
    assert life.judge(69.9) == "ok"
    assert life.judge(70.1) == "hung"


def test_who_changes_phases_without_ever_getting_on_has_hung() -> None:
    life = ready()
    for tenth in range(10, 112):
        life.on_stay(tenth / 10, Stay("act", tenth))
    assert life.judge(11.1) == "hung"
    assert life.why(11.1) == 'hung: no progress for 10 s, though it moves, to "act" last'


def test_a_worker_that_shows_no_phase_is_judged_by_progress() -> None:
    life = Liveness(0.0, 5.0, 10.0, {"env step": 2.0})
    assert life.why(5.1) == "not ready within 5 s of its start"
    life.on_ready(0.0)
    life.on_stay(1.0, None)
    life.on_heartbeat(1.0, "running", 0)
    assert life.judge(9.9) == "ok"
    assert life.why(10.1) == "hung: no progress for 10 s, last heard 9.1 s ago"


def test_silence_of_one_who_is_at_work_is_told_once() -> None:
    life = ready(100.0)
    life.on_heartbeat(2.0, "running", 1)
    life.on_stay(11.0, Stay("act", 1))
    assert not life.falls_silent()
    life.on_stay(12.5, Stay("act", 2))
    assert life.falls_silent()
    assert not life.falls_silent()
    life.on_heartbeat(13.0, "running", 2)
    life.on_stay(24.0, Stay("act", 3))
    assert life.falls_silent()  # a new silence


def test_silence_in_one_place_is_for_the_deadlines() -> None:
    life = ready(100.0)
    life.on_stay(2.0, Stay("env step", 1))
    life.on_stay(60.0, Stay("env step", 1))
    assert not life.falls_silent()


def test_a_gap_of_the_judge_is_no_silence() -> None:
    life = ready(100.0)
    life.renew(500.0)
    life.on_stay(501.0, Stay("act", 1))
    assert not life.falls_silent()


def test_a_worker_that_fell_silent_while_it_waited_does_not_wait() -> None:
    assert still_says("waiting", 0.9, heartbeat_s=0.1) == "waiting"
    assert still_says("waiting", 1.1, heartbeat_s=0.1) == "silent"
    assert still_says("waiting", 7.9, heartbeat_s=2.0) == "waiting"
    assert still_says("waiting", 8.1, heartbeat_s=2.0) == "silent"
    assert still_says("starting", None, heartbeat_s=0.1) == "starting"
    standstill = Standstill(10.0)
    standstill.judge(0.0, ["waiting", "silent"])
    assert not standstill.judge(20.0, ["waiting", "silent"])
