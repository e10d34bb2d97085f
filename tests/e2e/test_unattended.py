"""Whole runs that nobody looks at: they end by their rules, tell of it, and can be resumed."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest

from tests.e2e.harness import FOREVER, Place, Run
from tests.guide import write_files
from tuitrain.config.load import load_config

pytestmark = pytest.mark.xdist_group("e2e")

NOTE = 'cat >>"$TUITRAIN_EVENT".jsonl'


def told(run: Run, kind: str) -> list[dict[str, Any]]:
    return [json.loads(line) for line in (run.path / f"{kind}.jsonl").read_text().splitlines()]


@pytest.mark.parametrize(
    "schedule",
    ["async", *(pytest.param(s, marks=pytest.mark.long) for s in ("sequential", "lockstep"))],
)
def test_a_run_that_is_good_enough_ends_as_planned(place: Place, schedule: str) -> None:
    """Any evaluation is good enough here; the end is that of a run whose steps are done."""
    config = place.config(
        run={"total_steps": FOREVER, "schedule": schedule},
        eval={"every_steps": 400},
        stop={"eval_return": -1e9},
        hooks={"on_eval": NOTE, "on_checkpoint": NOTE, "on_end": NOTE},
    )
    done = place.tuitrain("launch", config, "--headless")
    (run,) = place.runs()
    summary = run.summary()
    assert summary["state"] == "finished"
    assert summary["reason"].startswith("stop.eval_return: mean return ")
    assert summary["exit_code"] == 0
    assert f"finished: {summary['reason']}" in done.stdout
    steps, version = summary["steps"], summary["policies"]["default"]["version"]
    last = [record for record in run.metrics() if record["kind"] == "eval"][-1]
    assert (last["steps"], last["version"]) == (steps, version)  # of what training has led to
    checkpoint = Path(summary["last_checkpoint"])
    assert checkpoint.exists()
    assert told(run, "eval")[-1]["steps"] == steps
    assert told(run, "checkpoint")[-1]["checkpoint"] == str(checkpoint)
    (end,) = told(run, "end")
    assert (end["status"], end["reason"]) == ("finished", summary["reason"])
    assert (end["steps"], end["return"]) == (steps, last["return_mean"])
    assert [e for e in run.events() if e["level"] != "info"] == []


@pytest.mark.long
def test_it_is_resumed_with_another_rule_and_says_what_ended_it(place: Place) -> None:
    config = place.config(run={"total_steps": FOREVER}, stop={"wall_time_s": 0.2})
    place.tuitrain("launch", config, "--headless")
    (run,) = place.runs()
    first = run.summary()
    assert first["reason"].startswith("stop.wall_time_s: ")
    place.tuitrain("resume", "latest", "--headless", "--set", "stop.wall_time_s=0.4")
    second = run.summary()
    assert second["reason"].endswith("s of training, ends at 0.4 s")
    assert second["stop_rules"][0]["limit"] == 0.4
    assert second["base_steps"] == first["steps"]
    assert any("was ended by stop.wall_time_s" in e["text"] for e in run.events())


def test_the_guides_examples_are_configs_and_run(place: Place) -> None:
    files = write_files("unattended.md", place.root)
    for name in files:
        if name.endswith(".toml"):
            load_config(place.root / name)
    assert {"stop.toml", "best.toml", "notify.toml"} <= set(files)
    # one evaluation, the last: it is the best
    config = place.config(
        run={"total_steps": 1_000, "schedule": "sequential"}, eval={"every_steps": FOREVER}
    )
    config.write_text(config.read_text() + (place.root / "best.toml").read_text())
    place.tuitrain("launch", config, "--headless")
    (run,) = place.runs()
    assert [e for e in run.events() if e["level"] != "info"] == []
    best = run.summary()["best"]
    copied = run.path / f"best-{best['steps']}.pt"
    assert copied.read_bytes() == Path(best["path"]).read_bytes()
    assert f"{run.name} finished at " in (run.path / "how-it-ended.txt").read_text()
