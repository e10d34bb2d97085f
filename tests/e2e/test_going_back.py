"""Runs that go on from an earlier checkpoint, and commands that want the same run at once."""

from __future__ import annotations

import hashlib
import json
import os
import signal
from pathlib import Path

import pytest

from tests.e2e.harness import ENVS, FOREVER, THINGS, Place, Run
from tests.e2e.test_commands import published_hash
from tests.sites import eventually, gone
from tuitrain.checkpoint.files import checkpoints
from tuitrain.experiments.curves import read_curves
from tuitrain.metrics.rewind import surviving
from tuitrain.metrics.sinks import JsonLines

pytestmark = pytest.mark.xdist_group("e2e")


def saved(place: Place, run: Run) -> Path:
    """A new checkpoint."""
    told = json.loads(place.tuitrain("checkpoint", run.name, "--json").stdout)
    return Path(told["result"]["path"])


def evaluated(run: Run) -> list[int]:
    """Steps of all evaluations in the order in which they came."""
    return [r["steps"] for r in run.metrics() if r["kind"] == "eval"]


def told(run: Run, part: str) -> None:
    eventually(lambda: any(part in e["text"] for e in run.events()), f"an event with {part!r}")


@pytest.mark.long
def test_a_run_whose_loss_is_no_number_goes_back_and_learns_on(place: Place) -> None:
    """In `async`, with its replay: what broke it came after the checkpoint."""
    run = place.launch_detached(
        env={"id": f"{THINGS}:Bursts"},
        learner={"loss": "mse"},
        eval={"every_steps": 200},
    )
    run.learned(20)
    good = saved(place, run)
    run.learned(run.snapshot()["policies"][0]["updates"] + 3_000)  # ten seconds, and it is good
    (place.root / "burst").touch()
    told(run, "e+30 at ")  # the best so far
    (place.root / "burst").unlink()
    place.tuitrain("set", "latest", "checks.on_fail=rollback")
    told(run, f"so all go back to {good.name}")
    told(run, "all workers are back")
    updates = run.learned(int(good.stem.removeprefix("ckpt-")) + 50)["policies"][0]["updates"]
    place.tuitrain("stop", "latest")
    summary = run.summary()
    assert (summary["state"], summary["restarts"]) == ("stopped", {})
    assert summary["best"]["score"] < 100, "that of the burst is void"
    assert (good.parent / "set-aside-1" / "best.pt").is_file()
    assert summary["policies"]["default"]["updates"] >= updates
    assert "non_finite" in [raised["check"] for raised in summary["raised_checks"]]
    kept = [r for r in surviving(JsonLines(run.path / "metrics.jsonl")) if r["kind"] == "learner"]
    assert all(record["loss"] is not None for record in kept), "what is no number is null"


def killed(run: Run) -> None:
    pid = run.pid
    os.kill(pid, signal.SIGKILL)
    eventually(lambda: gone(pid), "the supervisor's end")


def test_a_killed_run_goes_back_has_one_curve_and_lends_its_weights(place: Place) -> None:
    """To an earlier checkpoint; and once it has ended, another run begins with what it learned."""
    run = place.launch_detached("--schedule", "sequential", eval={"every_steps": 200})
    run.learned(20)
    first = saved(place, run)
    run.learned(100)
    second = saved(place, run)
    steps = run.snapshot()["steps"]
    eventually(lambda: max(evaluated(run), default=0) > steps, "an evaluation later than both")
    killed(run)
    updates = int(first.stem.removeprefix("ckpt-"))

    wrong = place.tuitrain("resume", "--from", "7", "-d", code=2).stderr
    assert f"there are: {updates} ({first.name})" in wrong
    assert checkpoints(first.parent)[-1] == second

    place.tuitrain("resume", "--from", str(updates), "-d")
    eventually(lambda: evaluated(run)[-1] < max(evaluated(run)), "an evaluation of the new stretch")
    place.tuitrain("stop")
    aside = first.parent / "set-aside-1"
    assert [path.name for path in checkpoints(aside)] == [second.name]
    assert any(f"newer ones are kept in {aside}" in e["text"] for e in run.events())

    (rewind,) = [r for r in run.metrics() if r["kind"] == "rewind"]
    assert rewind["updates"] == {"default": updates}
    assert evaluated(run) != sorted(evaluated(run)), "the file has it all"
    kept = surviving(JsonLines(run.path / "metrics.jsonl"))
    steps = [r["steps"] for r in kept if r["kind"] == "eval"]
    assert steps == sorted(steps)
    (curve,) = read_curves(run.path / "metrics.jsonl").values()
    assert list(curve.steps) == sorted(curve.steps)
    begins_with_its_weights(place, run)


@pytest.mark.long  # the choice: `tests/unit/checkpoint`
def test_a_run_goes_back_of_itself_to_the_checkpoint_before_a_damaged_one(place: Place) -> None:
    run = place.launch_detached("--schedule", "sequential")
    run.learned(20)
    first = saved(place, run)
    run.learned(100)
    place.tuitrain("stop")
    *_, before, newest = checkpoints(first.parent)
    newest.write_bytes(b"damaged")
    told = place.tuitrain("resume", "-d").stderr
    assert f"a checkpoint was not used: checkpoint {newest} is damaged" in told
    assert newest not in checkpoints(first.parent)
    assert before in checkpoints(first.parent)
    assert (first.parent / "set-aside-1" / newest.name).read_bytes() == b"damaged"
    place.tuitrain("stop")
    assert any("a checkpoint was not used" in e["text"] for e in run.events())


@pytest.mark.long
def test_a_resume_that_is_refused_leaves_all_as_it_was(place: Place) -> None:
    """One that does not come up, and one of two at once."""
    run = place.launch_detached("--schedule", "sequential")
    run.learned(20)
    first = saved(place, run)
    run.learned(60)
    place.tuitrain("stop")
    summary = (run.path / "summary.json").read_bytes()
    config = (run.path / "config.toml").read_bytes()
    before = checkpoints(first.parent)
    other = f"env.id={ENVS}:Catch"
    done = place.tuitrain("resume", "--from", first.name, "--set", other, "--headless", code=None)
    assert done.returncode == 3
    assert "another environment than this run has now" in done.stdout
    assert (run.path / "summary.json").read_bytes() == summary
    assert (run.path / "config.toml").read_bytes() == config
    assert checkpoints(first.parent) == before
    assert len(before) > 1
    assert "stopped" in place.tuitrain("status", run.name).stdout

    totals = [FOREVER + 1, FOREVER + 2]
    racers = [
        place.start("resume", run.name, "-d", "--set", f"run.total_steps={total}")
        for total in totals
    ]
    said = [racer.communicate(timeout=60)[0] for racer in racers]
    codes = [racer.returncode for racer in racers]
    assert sorted(codes) == [0, 2], said
    loser = said[codes.index(2)]
    assert "is running" in loser or "is already running" in loser
    wanted = totals[codes.index(0)]
    assert run.snapshot()["total_steps"] == wanted
    assert f"total_steps = {wanted}" in (run.path / "config.toml").read_text()
    assert not (run.path / "config.before.toml").exists()
    place.tuitrain("stop")


def begins_with_its_weights(place: Place, first: Run) -> None:
    """Another run does, which is launched now; `first` has ended."""
    source = Path(first.summary()["last_checkpoint"])
    # nothing is learned in so long a warm-up, so the weights can be compared
    config = place.config(
        run={"total_steps": FOREVER, "checkpoint_every_steps": 500, "schedule": "sequential"},
        env={"id": f"{THINGS}:Slow"},
        replay={"learning_starts": 100_000, "capacity": 200_000},
    )
    place.tuitrain("launch", config, "-d", "--init-from", first.name)
    run = place.runs()[-1]
    held = run.ask("resync").result["answers"]["trainer"]["default"]
    assert held["sha256"] == published_hash(source)
    assert run.snapshot()["policies"][0]["updates"] == 0
    assert f'init_from = "{source}"' in (run.path / "config.toml").read_text()
    made_with = run.read("provenance.json")["init_from"]
    assert made_with["path"] == str(source)
    assert made_with["sha256"] == hashlib.sha256(source.read_bytes()).hexdigest()
    assert any(f"begins with the weights in {source}" in e["text"] for e in run.events())
    # by steps: the clock asks for one only after three minutes
    eventually(lambda: checkpoints(run.path / "checkpoints"), "a checkpoint by steps")
    place.tuitrain("stop")
    again = ("resume", run.name, "-d", "--set", f"run.init_from={source}")
    assert "run.init_from is for new runs" in place.tuitrain(*again, code=2).stderr

    there = place.runs()
    done = place.tuitrain(
        "launch",
        place.config(env={"id": f"{ENVS}:Catch"}),
        "--headless",
        "--init-from",
        source,
        code=2,
    )
    assert "was made with another environment than this run has" in done.stderr
    assert len(place.runs()) == len(there), "it is refused before there is a run"
    assert "no run" in place.tuitrain("launch", config, "--init-from", "nobody", code=2).stderr
