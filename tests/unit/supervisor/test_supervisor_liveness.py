"""Deadlines, with a clock that is a number."""

from __future__ import annotations

import pytest

from tuitrain.supervisor.liveness import Deadline, GapDetector, Liveness, Standstill


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


def test_all_waiting_for_each_other_is_a_standstill() -> None:
    standstill = Standstill(10.0)
    assert not standstill.judge(0.0, ["waiting", "waiting"])
    assert not standstill.judge(10.0, ["waiting", "finished"])
    assert standstill.judge(10.1, ["waiting", "waiting"])


@pytest.mark.parametrize("states", [["waiting", "running"], ["finished"], ["paused"], []])
def test_no_standstill_while_somebody_works_or_nobody_waits(states: list[str]) -> None:
    standstill = Standstill(10.0)
    standstill.judge(0.0, ["waiting"])
    assert not standstill.judge(5.0, states)
    assert not standstill.judge(11.0, ["waiting"])
