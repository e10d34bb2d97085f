"""Whole runs keep the weights of their best evaluation, in every schedule and by name."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest

from tests.e2e.harness import Place

pytestmark = pytest.mark.xdist_group("e2e")

EPISODES = 4


@pytest.mark.parametrize(
    "schedule",
    ["sequential", *(pytest.param(s, marks=pytest.mark.long) for s in ("async", "lockstep"))],
)
def test_the_best_weights_play_as_well_as_they_were_said_to(place: Place, schedule: str) -> None:
    """An evaluation by its number plays the same episodes again, so the score must come again."""
    config = place.config(
        run={"schedule": schedule, "total_steps": 3_000, "name": schedule},
        eval={"every_steps": 1_000, "episodes": EPISODES},
        learner={"lr": 0.01},
    )
    done = place.tuitrain("launch", config, "--headless")
    (run,) = place.runs()
    evaluations = [r for r in run.metrics() if r["kind"] == "eval"]
    first = max(evaluations, key=lambda r: r["return_mean"])  # of equals the first
    number = evaluations.index(first) + 1
    path = run.path / "checkpoints" / "best.pt"
    best = run.summary()["best"]
    assert best == {
        "path": str(path),
        "score": first["return_mean"],
        "steps": first["steps"],
        "policy": None,
    }
    assert f"best weights {path}: mean return " in done.stdout
    assert "(best.pt)" in place.tuitrain("ls").stdout
    assert json.loads(place.tuitrain("ls", "--json").stdout)[0]["best_checkpoint"] == str(path)
    assert f"best weights {path}" in place.tuitrain("status").stdout
    told = [e["data"]["best"] for e in run.events() if "best" in e["data"]]
    assert [t["score"] for t in told] == sorted(t["score"] for t in told)

    played = place.tuitrain(
        *("eval", run.name, "--checkpoint", "best", "--json"),
        *("--episodes", str(EPISODES), "--number", str(number)),
    )
    (result,) = json.loads(played.stdout)
    assert result["return_mean"] == first["return_mean"]
    assert result["checkpoint"] == "best.pt"
    assert result["updates"] == first["updates"]


@pytest.mark.long
def test_it_outlives_a_resume_and_is_nothing_to_go_on_from(place: Place) -> None:
    """Several learners share the policies; the evaluator has them all."""
    config = place.config(
        run={"total_steps": 3_000},
        env={"id": "tuitrain.envs.treasurehunt:make", "kwargs": {"agents": 2, "turns": 12}},
        learner={"processes": 2},
        eval={"every_steps": 1_000, "episodes": EPISODES},
    )
    place.tuitrain("launch", config, "--headless")
    (run,) = place.runs()

    def scores() -> list[float]:
        told: list[dict[str, Any]] = [
            e["data"]["best"] for e in run.events() if "best" in e["data"]
        ]
        return [t["score"] for t in told]

    before = scores()
    refused = place.tuitrain("resume", "--from", "best", "--headless", code=2).stderr
    assert "holds weights alone" in refused
    place.tuitrain("resume", "--headless", "--set", "run.total_steps=6000")
    after = scores()
    assert after[len(before)] == before[-1], "what it was until then is told"
    assert after == sorted(after)
    assert run.summary()["best"]["score"] == after[-1]
    best = Path(run.summary()["best"]["path"])

    place.tuitrain(
        *("launch", config, "--headless", "--init-from", f"{run.name}/best"),
        *("--schedule", "sequential"),
        *("--set", "run.total_steps=500"),
    )
    second = place.runs()[-1]
    assert any(f"begins with the weights in {best}" in e["text"] for e in second.events())
