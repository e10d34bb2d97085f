"""`tuitrain compare` with real runs: failures, going on, interruption, sudden death."""

from __future__ import annotations

import json
import os
import re
import signal
from pathlib import Path

import pytest

from tests.e2e.harness import FOREVER, THINGS, Place, Run, json_lines
from tests.sites import eventually

BROKEN = "def make(input_shape, n_actions):\n    raise RuntimeError('not yet written')\n"
WORKING = """
from torch import nn

def make(input_shape, n_actions):
    return nn.Sequential(nn.Flatten(), nn.Linear(6, n_actions))
"""


def runs_of(folder: Path) -> list[Run]:
    return [Run(path) for path in sorted((folder / "runs").glob("*")) if path.is_dir()]


def test_a_failed_run_ends_no_other_and_is_all_that_is_run_again(place: Place) -> None:
    network = place.root / "net.py"
    network.write_text(BROKEN)
    config = place.config(
        run={"schedule": "sequential", "total_steps": 600}, eval={"every_steps": 200}
    )
    command = (
        *("compare", config, "--grid", f"learner.network={network}:make,mlp", "--seeds", "2,"),
        *("--out", "c", "--set", "learner.network_kwargs={}", "--jobs", "2"),
    )
    first = place.tuitrain(*command, code=3)
    folder = place.root / "c"
    assert "not yet written" in first.stdout
    assert "network=mlp seed 2: finished" in first.stderr
    assert "1 run missing" in first.stdout
    states = {line["arm"].rpartition("=")[2]: line["state"] for line in lines(folder)}
    assert states == {f"{network}:make": "failed", "mlp": "finished"}
    assert len(runs_of(folder)) == 2

    network.write_text(WORKING)
    place.tuitrain(*command)
    assert len(runs_of(folder)) == 3
    assert [line["state"] for line in lines(folder)][-1] == "finished"
    assert re.search(r"<svg", (folder / "curves.svg").read_text())
    concluded = json.loads((folder / "analysis.json").read_text())
    assert concluded["missing"] == []
    assert {s["arm"]: s["n"] for s in concluded["summaries"]} == {
        f"network={network}:make": 1,
        "network=mlp": 1,
    }
    for line in lines(folder)[1:]:
        steps = line["curves"]["default"]["steps"]
        assert len(steps) == 3
        assert steps[-1] >= 600

    # with another config it touches nothing
    before = (folder / "results.jsonl").read_text()
    refused = place.tuitrain(*command, "--set", "learner.lr=0.1", code=2)
    assert "learner.lr was" in refused.stderr
    assert (folder / "results.jsonl").read_text() == before
    assert len(runs_of(folder)) == 3


def lines(folder: Path) -> list[dict]:
    return json_lines(folder / "results.jsonl")


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGKILL])
def test_whatever_ends_it_ends_its_runs(place: Place, number: signal.Signals) -> None:
    config = place.config(
        run={"schedule": "sequential", "total_steps": FOREVER}, env={"id": f"{THINGS}:Slow"}
    )
    process = place.start("compare", config, "--seeds", "1,", "--out", "c")

    def running() -> bool:
        found = runs_of(place.root / "c")
        metrics = found[0].path / "metrics.jsonl" if found else None
        return metrics is not None and metrics.is_file() and metrics.stat().st_size > 0

    eventually(running, "a run that trains")
    os.killpg(process.pid, number)  # as Ctrl-C reaches a terminal's job
    output, _ = process.communicate(timeout=60)
    (run,) = runs_of(place.root / "c")
    if number == signal.SIGINT:
        assert process.returncode == 130
        assert "the same command goes on" in output
        assert run.summary()["state"] == "interrupted"
    else:
        summary = eventually(lambda: (run.path / "summary.json").is_file(), "its end")
        assert summary
        assert run.summary()["state"] == "stopped"
    assert not (place.root / "c" / "results.jsonl").exists()
