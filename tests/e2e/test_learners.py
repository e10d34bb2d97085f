"""A run whose policies learn in several processes, from launch to resume."""

from __future__ import annotations

import json
import os
import signal
from pathlib import Path
from typing import Any

import pytest

import tuitrain
from tests.e2e.harness import THINGS, Place, Run
from tests.sites import eventually
from tuitrain.checkpoint.payload import load

TWO: dict[str, Any] = {"env": {"id": f"{THINGS}:SlowPolicies"}}
LEARNERS = {"learner0", "learner1"}


def both(place: Place, schedule: str = "async") -> Run:
    learner = {
        "network_kwargs": {"hidden": [16]},
        "batch_size": 16,
        "replay_ratio": 0.25,
        "device": "cpu",
        "processes": "per-policy",
    }
    run = place.launch_detached("--schedule", schedule, learner=learner, **TWO)
    run.learned(20)
    return run


@pytest.mark.long
@pytest.mark.parametrize("schedule", ["async", "lockstep"])
def test_commands_reach_every_learner_and_a_run_resumes_with_another_number(
    place: Place, schedule: str
) -> None:
    run = both(place, schedule)
    shown = json.loads(place.tuitrain("status", "--json").stdout)
    assert {p["name"] for p in shown["processes"]} > LEARNERS
    assert all(p["updates"] > 0 for p in shown["policies"])
    assert "processes = 2" in (run.path / "config.toml").read_text()

    assert "4 of 4 workers hold" in place.tuitrain("pause").stdout
    held = run.snapshot()
    answers = run.ask("resync").result["answers"]
    assert [len(answers[name]) for name in sorted(LEARNERS)] == [1, 1]
    said = json.loads(place.tuitrain("checkpoint", "--json").stdout)
    saved = load(Path(said["result"]["path"]))
    # it went on to the next place where it can be saved, and not further
    after = run.snapshot()
    assert after["state"] == "paused"
    assert saved["steps"] == after["steps"] >= held["steps"]
    assert saved["updates"] == {p["name"]: p["updates"] for p in after["policies"]}
    assert saved["inserts"] == {p["name"]: p["transitions"] for p in after["policies"]}
    place.tuitrain("unpause")
    assert "stopped, checkpoint" in place.tuitrain("stop").stdout
    before = load(run.path / run.summary()["last_checkpoint"])
    assert before["steps"] >= saved["steps"]

    assert json.loads(place.tuitrain("eval", "--episodes", "2", "--json").stdout)
    action, _ = tuitrain.load_policy(run.path, "scout").act([0.0, 1.0, 0.0])
    assert action in range(3)

    config = run.path / "config.toml"
    config.write_text(config.read_text().replace("processes = 2", "processes = 1"))
    place.tuitrain("resume", "-d")
    more = run.learned(max(before["updates"].values()) + 5)
    assert "learner" in {p["name"] for p in more["processes"]}
    assert more["steps"] > before["steps"]
    place.tuitrain("stop")
    last = load(run.path / run.summary()["last_checkpoint"])
    assert last["steps"] >= more["steps"]
    assert not place.left()


@pytest.mark.long
def test_the_end_of_one_learner_is_the_end_of_the_run(place: Place) -> None:
    run = both(place)
    os.kill(run.workers()["learner1"]["pid"], signal.SIGKILL)
    eventually(lambda: not place.left(), "the run's end")
    summary = run.summary()
    assert (summary["state"], summary["failure"]["worker"]) == ("failed", "learner1")
    assert summary["last_checkpoint"] is None, "half a checkpoint is none"
    assert any("the run's policies are" in event["text"] for event in run.events())


@pytest.mark.long
def test_a_run_that_comes_to_its_end_is_saved_and_compared_whole(place: Place) -> None:
    prints = {}
    for schedule in ("sequential", "lockstep"):
        config = place.config(
            run={"total_steps": 1_000, "fingerprint": True},
            learner={"batch_size": 16, "processes": 2, "replay_ratio": 0.25, "device": "cpu"},
            **TWO,
        )
        place.tuitrain("launch", config, "--headless", "--schedule", schedule)
        summary = place.runs()[-1].summary()
        assert summary["state"] == "finished"
        prints[schedule] = summary["fingerprint"]
        saved = load(place.runs()[-1].path / summary["last_checkpoint"])
        assert set(saved["policies"]) == {"scout", "digger"}
    assert prints["sequential"] == prints["lockstep"]
    assert len(prints["lockstep"]) == 2


@pytest.mark.long
def test_more_learners_than_policies_do_not_start(place: Place) -> None:
    config = place.config(learner={"processes": 3, "device": "cpu"}, **TWO)
    done = place.tuitrain("launch", config, "--headless", code=None)
    assert done.returncode != 0
    assert "learner.processes = 3: must be at most 2, the number of policies" in (
        done.stdout + done.stderr
    )
    assert not place.left()
