"""A run that is stopped and goes on later, as by a laptop's lid or a paused container."""

from __future__ import annotations

import os
import signal
import time
from collections.abc import Callable
from typing import Any

import psutil
import pytest

from tests.e2e.harness import Place, Run
from tests.sites import eventually

DEADLINES = {
    "progress_deadline_s": 2.0,
    "lock_deadline_s": 1.0,
    "heartbeat_s": 0.1,
}
LONGER_S = 5.0
"""Than every deadline above, with their margins."""

Choose = Callable[[int, dict[str, int]], list[int]]

WHO: dict[str, Choose] = {
    "the supervisor": lambda supervisor, workers: [supervisor],
    "all of them": lambda supervisor, workers: [supervisor, *workers.values()],
    "some of them": lambda supervisor, workers: [supervisor, workers["a0"], workers["learner"]],
}


def pids(run: Run) -> dict[str, int]:
    return {name: worker["pid"] for name, worker in run.workers().items()}


def stopped(pid: int) -> bool:
    return psutil.Process(pid).status() == psutil.STATUS_STOPPED


def long(*values: str) -> Any:
    return pytest.param(*values, marks=pytest.mark.long)


@pytest.mark.parametrize(
    ("who", "schedule"),
    [
        # the second has in it the first's gap, of the supervisor's clock
        long("the supervisor", "async"),
        ("some of them", "async"),
        long("all of them", "lockstep"),
        long("the supervisor", "lockstep"),
        long("all of them", "async"),
        long("some of them", "lockstep"),
    ],
)
def test_nobody_is_killed_for_a_gap(place: Place, who: str, schedule: str) -> None:
    run = place.launch_detached(
        run={"schedule": schedule}, supervisor={**DEADLINES, "max_restarts": 0}
    )
    run.learned()
    before = pids(run)
    chosen = WHO[who](run.pid, before)
    for pid in chosen:
        os.kill(pid, signal.SIGSTOP)
    eventually(lambda: all(stopped(pid) for pid in chosen), "that they stand still")
    time.sleep(LONGER_S)  # the fault itself: time goes by
    for pid in reversed(chosen):
        os.kill(pid, signal.SIGCONT)
    updates = run.snapshot()["policies"][0]["updates"]
    run.learned(updates + 50)
    assert pids(run) == before
    place.tuitrain("stop", run.name)
    assert run.summary()["state"] == "stopped"
    assert any("did not run for" in event["text"] for event in run.events())
    assert not [event for event in run.events() if event["level"] == "error"]
