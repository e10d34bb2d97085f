"""A detached run under command: what each command promises, seen from outside."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from tests.e2e.harness import ENVS, Place, Run
from tests.sites import eventually
from tuitrain.checkpoint.payload import load
from tuitrain.config.load import load_config
from tuitrain.envs.spec import EnvSpec
from tuitrain.learning.flatten import FlatModule
from tuitrain.learning.weights_layout import sha256
from tuitrain.workers.build import network_for


def progress(run: Run) -> dict[str, Any]:
    """Everything that may only grow while a run trains."""
    snapshot = run.snapshot()
    workers = {p["name"]: (p["progress"], p["counters"]) for p in snapshot["processes"]}
    return {"steps": snapshot["steps"], "policies": snapshot["policies"], "workers": workers}


def published_hash(path: Path) -> str:
    """SHA-256 of a checkpoint's online network as it would be published."""
    payload = load(path)
    config = load_config(path.parents[1] / "config.toml", ())
    network = network_for(config, EnvSpec.from_dict(payload["spec"]), "default")
    network.load_state_dict(payload["policies"]["default"]["dqn"]["online"])
    module = FlatModule(network)
    flat = np.empty(module.layout.nbytes, np.uint8)
    module.to_bytes(flat)
    return sha256(flat)


# in `lockstep` test_learners gives most of them
@pytest.mark.parametrize(
    "schedule",
    ["async", *(pytest.param(s, marks=pytest.mark.long) for s in ("lockstep", "sequential"))],
)
def test_every_command_does_what_it_says(place: Place, schedule: str) -> None:
    fast = {"id": f"{ENVS}:Chain"}  # where there is most to hold back
    run = place.launch_detached("--schedule", schedule, env=fast)
    run.learned(20)
    shown = json.loads(place.tuitrain("status", "--json").stdout)
    assert (shown["live"], shown["state"], shown["name"]) == (True, "running", run.name)
    n_workers = 1 if schedule == "sequential" else 3
    assert len(shown["processes"]) == n_workers

    # pause: from the answer on nothing moves, and everybody says so
    assert f"{n_workers} of {n_workers} workers hold" in place.tuitrain("pause").stdout
    held = progress(run)
    first = run.snapshot()
    assert first["state"] == "paused"
    beats = {p["name"]: first["time_s"] - p["beat_age_s"] for p in first["processes"]}

    def everybody_has_beaten_again() -> bool:
        now = run.snapshot()
        return all(
            now["time_s"] - p["beat_age_s"] > beats[p["name"]] + 0.01 for p in now["processes"]
        )

    eventually(everybody_has_beaten_again, "heartbeats of paused workers")
    later = run.snapshot()
    assert later["seq"] > first["seq"]
    assert {p["state"] for p in later["processes"]} == {"paused"}
    assert progress(run)["steps"] == held["steps"]
    assert progress(run)["workers"] == held["workers"]

    # resync: every worker says what it holds
    reply = run.ask("resync")
    assert reply.ok, reply.message
    answers = reply.result["answers"]
    assert set(answers) == set(held["workers"])
    by_version: dict[int, set[str]] = {}
    for answer in answers.values():
        if "default" in answer:  # an evaluator that has not been asked yet holds none
            by_version.setdefault(answer["default"]["version"], set()).add(
                answer["default"]["sha256"]
            )
    assert by_version
    assert all(len(hashes) == 1 for hashes in by_version.values())

    # see: actor 0 answers, paused or not; and every shard tells of itself
    told = place.tuitrain("see", code=1).stderr
    assert "are no picture" in told
    for shard in run.snapshot()["policies"][0]["shards"]:
        assert 0 < shard["sampleable"] <= shard["head"] * 100
        assert None not in (shard["reserved"], shard["lock_waits"], shard["age_p95"])

    # checkpoint: the file named is there, and is the paused run, which may have gone on to the next
    # place where it can be saved, and not further
    said = json.loads(place.tuitrain("checkpoint", "--json").stdout)
    saved = load(Path(said["result"]["path"]))
    after = progress(run)
    assert run.snapshot()["state"] == "paused"
    assert saved["steps"] == after["steps"] >= held["steps"]
    assert saved["updates"]["default"] == after["policies"][0]["updates"]
    held = after

    place.tuitrain("unpause")
    steps = held["steps"]
    eventually(lambda: run.snapshot()["steps"] > steps, "steps after unpause")
    assert run.snapshot()["state"] == "running"

    assert "stopped, checkpoint" in place.tuitrain("stop").stdout
    # when `stop` returns, not some time later; but the tracker ends only after the supervisor
    assert not [what for what in place.left() if "resource_tracker" not in what]
    assert "stopped" in place.tuitrain("ls").stdout
    assert place.tuitrain("pause", code=2).stderr.count("is not running") == 1


def test_eval_plays_a_living_run_and_an_ended_one(place: Place) -> None:
    run = place.launch_detached("--schedule", "sequential")
    run.learned(20)
    path = json.loads(place.tuitrain("checkpoint", "--json").stdout)["result"]["path"]
    command = ("eval", "--episodes", "5", "--checkpoint", path, "--json")
    alive = place.tuitrain(*command).stdout
    reply = run.ask("evaluate")
    assert reply.ok, reply.message
    assert reply.result["records"][0]["episodes"] == 4
    place.tuitrain("stop")
    assert place.tuitrain(*command).stdout == alive
    assert json.loads(alive)[0]["episodes"] == 5
    assert place.tuitrain("resume", "nothing-like-it", code=2).stderr


@pytest.mark.long  # to the last bit, with a kill: test_exact_resume; by number: test_going_back
def test_resume_goes_on_with_what_an_ended_run_had_learned(place: Place) -> None:
    run = place.launch_detached("--schedule", "sequential")
    run.learned(20)
    place.tuitrain("stop")

    # from the newest checkpoint
    before = run.summary()
    path = run.path / before["last_checkpoint"]
    saved = load(path)
    # with so long a warm-up nothing is learned after the resume, so the weights can be compared
    config = run.path / "config.toml"
    text = config.read_text()
    longer = text.replace("learning_starts = 200", "learning_starts = 100000")
    config.write_text(longer.replace("capacity = 2000", "capacity = 200000"))

    place.tuitrain("resume", "-d")
    held = run.ask("resync").result["answers"]["trainer"]["default"]
    assert held["version"] > saved["versions"]["default"]
    assert held["sha256"] == published_hash(path)
    snapshot = run.snapshot()
    assert snapshot["steps"] >= saved["steps"]
    assert snapshot["policies"][0]["updates"] == saved["updates"]["default"]
    eventually(lambda: run.snapshot()["steps"] > saved["steps"], "steps after resume")
    place.tuitrain("stop")

    # and with the old warm-up it learns on from there
    config.write_text(text)
    place.tuitrain("resume", "-d")
    more = run.learned(saved["updates"]["default"] + 5)
    assert more["policies"][0]["version"] > held["version"]
    assert more["steps"] > saved["steps"]
    place.tuitrain("stop")
    after = run.summary()
    assert after["base_steps"] > before["steps"]
