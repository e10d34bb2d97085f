"""Runs in the foreground: what they print and leave in their folder, how signals end them."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import tomllib

import pytest

from tests.e2e.harness import FOREVER, Place
from tests.sites import DEADLINE_S
from tuitrain.checkpoint.payload import load


@pytest.mark.parametrize(
    ("schedule", "how"),
    [
        ("sequential", "--json"),
        pytest.param("lockstep", "--headless", marks=pytest.mark.long),
        ("async", "--headless"),
    ],
)
def test_a_run_goes_to_its_end_and_leaves_its_record(place: Place, schedule: str, how: str) -> None:
    done = place.tuitrain("launch", place.config(), how, "--schedule", schedule)

    assert "\x1b" not in done.stdout + done.stderr
    assert "finished" in done.stdout
    if how == "--json":
        lines = [json.loads(line) for line in done.stdout.splitlines()]
        kinds = [line["kind"] for line in lines]
        assert {"event", "snapshot", "summary"} <= set(kinds)
        assert kinds[-1] == "summary"
        assert lines[-1]["exit_code"] == 0
    (run,) = place.runs()
    summary = run.summary()
    assert (summary["state"], summary["exit_code"], summary["failure"]) == ("finished", 0, None)
    assert summary["steps"] >= 2_000
    updates = summary["policies"]["default"]["updates"]
    transitions = summary["policies"]["default"]["transitions"]
    # the learner has made every update that the transitions have earned
    assert updates == (transitions - 200) // 4 + 1  # the first is due at learning_starts
    records = run.metrics()
    # `rows` are of actors whose first report came before their first episode had ended
    kinds = {r["kind"] for r in records} - {"rows"}
    assert kinds == {"train", "learner", "eval", "system"}
    assert [r for r in records if r["kind"] == "eval"][-1]["updates"] == updates
    learner = [r for r in records if r["kind"] == "learner"]
    assert learner[-1]["updates"] == updates
    assert learner[-1]["loss"] is not None
    config = tomllib.loads((run.path / "config.toml").read_text())
    assert config["run"]["schedule"] == schedule
    assert config["learner"]["target_update_every_updates"] == 500
    provenance = run.read("provenance.json")
    assert "launch" in json.dumps(provenance)
    assert load(run.path / summary["last_checkpoint"])["updates"] == {"default": updates}


@pytest.mark.parametrize(
    ("number", "code", "state", "schedule"),
    [
        (signal.SIGINT, 130, "interrupted", "sequential"),
        pytest.param(signal.SIGINT, 130, "interrupted", "async", marks=pytest.mark.long),
        pytest.param(signal.SIGTERM, 0, "stopped", "sequential", marks=pytest.mark.long),
    ],
)
def test_a_signal_stops_cleanly_with_a_checkpoint(
    place: Place, number: signal.Signals, code: int, state: str, schedule: str
) -> None:
    config = place.config(run={"total_steps": FOREVER, "schedule": schedule})
    process = place.start("launch", config, "--headless")
    run = place.run_up()
    run.learned(20)
    if number == signal.SIGINT:
        os.killpg(process.pid, number)  # as the terminal does
    else:
        process.send_signal(number)
    output, _ = process.communicate(timeout=DEADLINE_S)

    assert process.returncode == code, output
    summary = run.summary()
    assert (summary["state"], summary["exit_code"]) == (state, code)
    saved = load(run.path / summary["last_checkpoint"])
    assert saved["updates"]["default"] == summary["policies"]["default"]["updates"] >= 20
    assert saved["steps"] == summary["steps"]


def test_a_reader_that_goes_away_does_not_stop_training(place: Place) -> None:
    process = subprocess.run(
        ["sh", "-c", '"$0" "$@" | head -n 1', *_command(place)],
        cwd=place.root,
        env=place.environment,
        capture_output=True,
        text=True,
        timeout=120,
        check=True,
    )
    assert len(process.stdout.splitlines()) == 1
    (run,) = place.runs()
    assert run.summary()["state"] == "finished"


def _command(place: Place) -> list[str]:
    from tests.e2e.harness import TUITRAIN

    return [*TUITRAIN, "launch", str(place.config()), "--headless", "--schedule", "sequential"]
