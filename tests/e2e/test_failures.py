"""Every role failing in every way: reported with its cause, ended with exit code 3, cleaned up."""

from __future__ import annotations

import os
import signal
from typing import Any

import pytest

from tests.e2e.harness import FOREVER, THINGS, Place, Run
from tests.sites import eventually
from tuitrain.checkpoint.payload import load

EXITS = {"raise": 1, "exit": 7, "segfault": -signal.SIGSEGV, "kill": -signal.SIGKILL}


def failing(role: str, worker: str, how: str) -> dict[str, dict[str, Any]]:
    if role == "learner":
        kwargs = {"batch_size": 16, "how": how, "after": 30}
        return {"learner": {"network": f"{THINGS}:LearnersOnly", "network_kwargs": kwargs}}
    kwargs = {"worker": worker, "how": how, "after_steps": 200 if role == "actor" else 4}
    return {"env": {"id": f"{THINGS}:FailsIn", "kwargs": kwargs}}


def long(*values: str) -> Any:
    return pytest.param(*values, marks=pytest.mark.long)


@pytest.mark.parametrize(
    ("schedule", "role", "worker", "how"),
    [
        # fakes fail in all ways in the unit tests, actors of `async` in test_unruly
        ("lockstep", "actor", "a0", "segfault"),
        long("lockstep", "learner", "learner", "kill"),
        long("async", "evaluator", "eval", "exit"),
        ("sequential", "trainer", "trainer", "raise"),
        long("async", "actor", "a0", "raise"),
        long("async", "actor", "a0", "exit"),
        long("async", "actor", "a0", "kill"),
        long("async", "learner", "learner", "raise"),
        long("lockstep", "evaluator", "eval", "raise"),
        long("sequential", "trainer", "trainer", "segfault"),
        long("async", "learner", "learner", "exit"),
        long("async", "learner", "learner", "segfault"),
        long("async", "evaluator", "eval", "segfault"),
        long("async", "evaluator", "eval", "kill"),
        long("sequential", "trainer", "trainer", "exit"),
        long("sequential", "trainer", "trainer", "kill"),
    ],
)
def test_a_failure_is_told_with_its_cause(
    place: Place, schedule: str, role: str, worker: str, how: str
) -> None:
    config = place.config(run={"total_steps": FOREVER}, **failing(role, worker, how))
    done = place.tuitrain("launch", config, "--headless", "--schedule", schedule, code=3)

    (run,) = place.runs()
    summary = run.summary()
    assert (summary["state"], summary["exit_code"]) == ("failed", 3)
    assert summary["failure"]["worker"] == worker
    (event,) = [e for e in run.events() if e["level"] == "error" and e["source"] == worker]
    data = event["data"]
    assert (data["role"], data["exit_code"]) == (role, EXITS[how])
    log = (run.path / "logs" / f"{worker}.log").read_text()
    assert f"about to {how}" in log
    assert set(data["log"]) & set(log.splitlines())
    if how == "raise":
        assert data["error_type"] == "RuntimeError"
        assert "things.py" in data["traceback"]
        assert "failed, as asked" in done.stdout
    elif how != "exit":
        assert signal.Signals(-EXITS[how]).name in event["text"]
    if how == "segfault":
        assert any("things.py" in line for line in data["log"])  # faulthandler's stack
    if role in ("actor", "evaluator"):
        saved = load(run.path / summary["last_checkpoint"])
        assert saved["steps"] > 0
    assert not place.left()


@pytest.mark.long
@pytest.mark.parametrize("worker", ["learner", "eval"])
def test_a_worker_killed_from_outside(place: Place, worker: str) -> None:
    run: Run = place.launch_detached()
    run.learned(5)
    os.kill(run.workers()[worker]["pid"], signal.SIGKILL)
    eventually(lambda: not place.left(), "the run's end")
    summary = run.summary()
    assert (summary["state"], summary["failure"]["worker"]) == ("failed", worker)
    assert "SIGKILL" in summary["cause"]
    assert (summary["last_checkpoint"] is None) == (worker == "learner")
    assert "failed" in place.tuitrain("ls").stdout
