"""A logout under a run: every name of its memory, lock file and socket is removed, and it goes on.

What logind does to a user who does not linger (`RemoveIPC=yes`, and the runtime directory goes).
"""

from __future__ import annotations

import os
import shutil
import signal
from pathlib import Path
from typing import Any

import psutil
import pytest

from tests.e2e.harness import Place, Run
from tests.sites import eventually


def long(schedule: str, *victims: str) -> Any:
    return pytest.param(schedule, victims, marks=pytest.mark.long)


def take_names(place: Place, run: Run) -> list[str]:
    """Unlink all that the run has a name for; returns the names its memory had."""
    names = run.segments()
    for name in names:
        os.unlink(f"/dev/shm/{name}")
    shutil.rmtree(place.runtime / "tuitrain")
    assert names
    assert not run.segments()
    return names


def listens_again(run: Run) -> Run:
    eventually(lambda: any("listens on" in e["text"] for e in run.events()), "a new socket")
    return run


def nothing_twice(run: Run, names: list[str]) -> None:
    """Nobody makes a second lock file or segment: two of a name would be two locks."""
    house = Path(run.read("runtime.json")["socket_path"]).parent
    assert {path.name for path in house.iterdir()} == {"sock", "alive", "run.json"}
    assert not [name for name in names if Path("/dev/shm", name).exists()]


def mapped(names: list[str]) -> list[int]:
    """Processes that still have memory of these names, which keeps it from being freed."""
    found = []
    for process in psutil.process_iter():
        try:
            text = Path(f"/proc/{process.pid}/maps").read_text(errors="replace")
        except OSError:
            continue
        if any(name in text for name in names):
            found.append(process.pid)
    return found


@pytest.mark.long  # in `async` the test of a successor says it too
@pytest.mark.parametrize("schedule", ["sequential", "async", "lockstep"])
def test_training_goes_on_and_the_end_is_in_order(place: Place, schedule: str) -> None:
    run = place.launch_detached(run={"schedule": schedule})
    run.learned()
    pids = {name: worker["pid"] for name, worker in run.workers().items()}
    names = take_names(place, run)
    assert mapped(names)
    # Commands that come meanwhile take nothing for left over.
    assert run.name in place.tuitrain("ls").stdout
    nothing_twice(listens_again(run), names)
    before = run.snapshot()["policies"][0]["updates"]
    run.learned(before + 50)
    assert {name: worker["pid"] for name, worker in run.workers().items()} == pids
    assert "running" in place.tuitrain("ls").stdout
    nothing_twice(run, names)
    place.tuitrain("checkpoint", run.name)
    place.tuitrain("stop", run.name)
    summary = run.summary()
    assert summary["state"] == "stopped"
    assert (run.path / "checkpoints" / Path(summary["last_checkpoint"]).name).exists()
    eventually(lambda: not list(place.processes()), "everybody's end")
    assert mapped(names) == []


@pytest.mark.parametrize(
    ("schedule", "victims"),
    [("async", ("learner",)), long("async", "a0"), long("lockstep", "a0", "learner")],
)
def test_a_worker_killed_afterwards_has_a_successor(
    place: Place, schedule: str, victims: tuple[str, ...]
) -> None:
    """In `async` it attaches by descriptor alone; in `lockstep` everything is made anew."""
    run = place.launch_detached(
        run={"schedule": schedule}, eval={"enabled": False}, supervisor={"max_restarts": 5}
    )
    run.learned()
    place.tuitrain("checkpoint", run.name)
    names = take_names(place, run)
    assert run.name in place.tuitrain("ls").stdout  # which takes nothing for left over
    assert mapped(names)
    nothing_twice(listens_again(run), names)
    for victim in victims:
        restarts = sum(w["restarts"] for w in listens_again(run).workers().values())
        before = run.workers()[victim]["pid"]
        os.kill(before, signal.SIGKILL)
        eventually(
            lambda b=before, v=victim: run.workers().get(v, {}).get("pid") not in (None, b),
            f"a new {victim}",
        )
        eventually(
            lambda n=restarts: sum(w["restarts"] for w in run.workers().values()) > n,
            "a count of it",
        )
        eventually(lambda: run.snapshot()["state"] == "running", "that all are up")
        run.learned(run.snapshot()["policies"][0]["updates"] + 20)
    if schedule == "async":
        assert not run.segments()
        nothing_twice(run, names)
    place.tuitrain("stop", run.name)
    summary = run.summary()
    assert summary["state"] == "stopped"
    assert summary["last_checkpoint"]
    eventually(lambda: not list(place.processes()), "everybody's end")
    assert mapped(names) == []


def test_it_is_reached_after_another_login(place: Place) -> None:
    """The variable names a directory that is there again, but not the one the run has gone to."""
    run = place.launch_detached("--schedule", "sequential")
    elsewhere = place.root / "gone"
    place.runtime.rename(elsewhere)  # while it is away, the run finds another place
    listens_again(run)
    assert not str(run.read("runtime.json")["socket_path"]).startswith(str(place.runtime))
    elsewhere.rename(place.runtime)
    assert run.name in place.tuitrain("ls").stdout
    place.tuitrain("status", run.name)
    place.tuitrain("stop", run.name)
    assert run.summary()["state"] == "stopped"
    shutil.rmtree(place.runtime / "tuitrain")
