"""A run that is killed with its supervisor and resumed ends as the one that was left alone."""

from __future__ import annotations

import os
import signal
from typing import Any

import pytest

from tests.e2e.harness import FOREVER, THINGS, Place, Run
from tests.sites import eventually
from tuitrain.checkpoint.payload import newest
from tuitrain.metrics.rewind import surviving

STEPS = 15_000


def learned(run: Run) -> tuple[Any, ...]:
    """Of the last checkpoint: what learns, and how far everything has come."""
    found = newest(run.path / "checkpoints", with_state=True)
    assert found is not None
    payload = found[1]
    digests = {name: held["dqn"]["digest"] for name, held in payload["policies"].items()}
    return digests, payload["steps"], payload["inserts"], payload["versions"]


def evaluations(run: Run) -> list[dict[str, Any]]:
    """Without clocks, and what is counted since a process began."""
    left_out = {"time_s", "wall_s", "duration_s", "reset_difference_p"}
    return [
        {k: v for k, v in record.items() if k not in left_out}
        for record in surviving(run.metrics())
        if record["kind"] == "eval"
    ]


# the bytes of `sequential` are tests/parity/test_resume.py's in the default run
@pytest.mark.parametrize(
    "schedule", [pytest.param("sequential", marks=pytest.mark.long), "lockstep"]
)
def test_killed_and_resumed_is_left_alone(place: Place, schedule: str) -> None:
    settings = {"schedule": schedule, "total_steps": STEPS, "checkpoint_every_s": 1000.0}
    settings["fingerprint"] = True  # of weights and of all columns of the replay
    actors = {"count": 2}
    rich = {"prioritized": True}
    tables: dict[str, Any] = {"actors": actors, "replay": rich, "env": {"id": "CartPole-v1"}}
    killed = place.launch_detached(run={**settings, "name": "killed"}, **tables)
    killed.learned(200)
    assert killed.ask("pause").ok
    saved = killed.ask("checkpoint")
    assert saved.ok, saved.message
    assert any("goes on for a moment" in event["text"] for event in killed.events())
    assert killed.snapshot()["state"] == "paused"
    assert killed.ask("unpause").ok
    steps = killed.snapshot()["steps"]
    eventually(lambda: killed.snapshot()["steps"] > steps, "steps that are made again")
    os.kill(killed.pid, signal.SIGKILL)
    eventually(lambda: not list(place.processes()), "everybody's end", 20.0)

    place.tuitrain("resume", killed.name, "--headless")

    told = [event["text"] for event in killed.events()]
    assert any(text.startswith("goes on exactly where it was saved") for text in told)
    # in one process: the schedules are equal to the last bit
    config = place.config(run={**settings, "name": "alone", "schedule": "sequential"}, **tables)
    place.tuitrain("launch", config, "--headless")
    (alone,) = (run for run in place.runs() if run.name.startswith("alone"))
    assert learned(killed) == learned(alone)
    print_of_both = [run.summary()["fingerprint"] for run in (killed, alone)]
    assert print_of_both[0] == print_of_both[1]
    assert print_of_both[0]["default"].keys() == {"weights", "replay"}
    assert evaluations(killed) == evaluations(alone)


@pytest.mark.long  # in small: `tests/unit/workers/test_workers_begun_anew.py`
@pytest.mark.parametrize("schedule", ["sequential", "lockstep"])
def test_an_environment_that_does_not_take_its_state_back_begins_anew(
    place: Place, schedule: str
) -> None:
    """▣ It is said, and the run goes on."""
    run = place.launch_detached(
        run={"schedule": schedule, "total_steps": FOREVER},
        env={"id": f"{THINGS}:Unrestored"},
        actors={"count": 2},
    )
    run.learned()
    place.tuitrain("stop", run.name)
    assert run.summary()["reproducible"] is True
    (place.root / "broken").touch()
    place.tuitrain("resume", run.name, "--detach")
    steps = run.snapshot()["steps"]
    eventually(lambda: run.snapshot()["steps"] > steps, "that it goes on")
    place.tuitrain("stop", run.name)
    assert run.summary()["reproducible"] is False
    told = [event for event in run.events() if "could not be restored" in event["text"]]
    assert [event["level"] for event in told] == ["warning", "warning"]
    for number, event in enumerate(told):
        assert f"the environments of a{number} " in "".join(e["text"] for e in told)
        assert "env 0: RuntimeError: the simulator is another one" in event["text"]
