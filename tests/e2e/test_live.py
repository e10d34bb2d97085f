"""`tuitrain set` on runs that go on: killed and resumed, or gone back together."""

from __future__ import annotations

import json
import os
import signal
from typing import Any

import pytest

from tests.e2e.harness import Place, Run
from tests.sites import eventually, gone

pytestmark = pytest.mark.xdist_group("e2e")

VALUES = ("learner.lr=1e-4", "exploration.epsilon_end=0.25", "learner.replay_ratio=0.1")


def newest(run: Run, kind: str, field: str) -> Any:
    """Of the newest record."""
    return [r for r in run.metrics() if r["kind"] == kind][-1][field]


def goes_by_it(run: Run, ratio: float = 0.1) -> bool:
    """Whether learner, actors and limiter do, as measured."""
    (policy,) = run.snapshot()["policies"]
    learns = newest(run, "learner", "lr") == 1e-4 and policy["ratio_target"] == ratio
    return bool(learns and newest(run, "train", "epsilon") == 0.25)


def changed(run: Run) -> dict[str, Any]:
    """By key, as `status` has it."""
    settings = run.snapshot()["settings"]
    return {s["key"]: s["value"] for s in settings if s["value"] != s["given"]}


@pytest.mark.long
def test_a_change_survives_a_kill_and_the_resume(place: Place) -> None:
    run = place.launch_detached(
        exploration={"epsilon_decay_steps": 100}, supervisor={"max_restarts": 3}
    )
    run.learned(50)
    refused = place.tuitrain("set", run.name, "learner.lr=2", "learner.gamma=0.5", code=1).stderr
    assert "learner.lr = 2: must be a number above 0 and at most 1." in refused
    assert "learner.gamma = 0.5: cannot be changed while the run goes on." in refused
    assert changed(run) == {}
    place.tuitrain("pause", run.name)
    told = json.loads(place.tuitrain("set", run.name, *VALUES, "--json").stdout)
    assert set(told["result"]["answers"]) == {"learner", "a0"}
    place.tuitrain("unpause", run.name)
    eventually(lambda: goes_by_it(run), "records of the changed values")
    for name in ("learner", "a0"):
        assert run.ask("restart", worker=name).ok
    eventually(lambda: goes_by_it(run), "the same of successors")
    expected = {
        "learner.lr": 1e-4,
        "exploration.epsilon_end": 0.25,
        "learner.replay_ratio": 0.1,
    }
    assert changed(run) == expected
    place.tuitrain("checkpoint", run.name)
    pid = run.pid
    os.kill(pid, signal.SIGKILL)
    eventually(lambda: gone(pid), "the supervisor's end")

    place.tuitrain("resume", run.name, "-d", "--set", "learner.replay_ratio=0.2")
    left = {k: v for k, v in expected.items() if k != "learner.replay_ratio"}
    assert changed(run) == left, "what is given anew goes before what was changed"
    records = len(run.metrics())
    eventually(
        lambda: {"learner", "train"} <= {r["kind"] for r in run.metrics()[records:]},
        "records of the new session",
    )
    assert goes_by_it(run, ratio=0.2)
    said = place.tuitrain("status", run.name).stdout
    assert "changed while it ran: learner.lr = 0.0001 (config.toml: 0.0005)" in said
    place.tuitrain("stop", run.name)
    (marked,) = [e for e in run.events() if e["data"].get("mark") == "set"]
    assert marked["data"]["changes"]["learner.lr"] == {"old": 0.0005, "new": 0.0001}


@pytest.mark.long
def test_in_lockstep_a_change_holds_after_all_have_gone_back(place: Place) -> None:
    run = place.launch_detached(
        run={"schedule": "lockstep"},
        exploration={"epsilon_decay_steps": 100},
        actors={"count": 2},
        supervisor={"max_restarts": 3},
    )
    run.learned(20)
    place.tuitrain("checkpoint", run.name)
    assert run.snapshot()["reproducible"] is True
    told = place.tuitrain("set", run.name, *VALUES).stdout
    assert "3 workers have it, it holds from the next round on" in told
    assert run.snapshot()["reproducible"] is False
    eventually(lambda: goes_by_it(run), "records of the changed values")

    os.kill(run.workers()["a0"]["pid"], signal.SIGKILL)
    eventually(
        lambda: any("all workers are back" in e["text"] for e in run.events()), "their return"
    )
    again = run.ask("restart", worker="a1", timeout_s=60)
    assert again.ok, again.message
    records = len(run.metrics())
    eventually(
        lambda: {"learner", "train"} <= {r["kind"] for r in run.metrics()[records:]},
        "records of the crew that is back",
    )
    assert goes_by_it(run)
    assert run.snapshot()["reproducible"] is False
    place.tuitrain("stop", run.name)
    place.tuitrain("resume", run.name, "-d")
    assert run.snapshot()["reproducible"] is False, "nor in any later session"
    assert any("goes on exactly where it was saved" in e["text"] for e in run.events())
    place.tuitrain("stop", run.name)
