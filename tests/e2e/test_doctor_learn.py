"""`tuitrain doctor --learn` as a user meets it: of a config that learns, and of hopeless ones."""

from __future__ import annotations

import json
import signal
from pathlib import Path
from typing import Any

import pytest

from tests.e2e.harness import Place
from tests.sites import eventually

pytestmark = pytest.mark.long
"""At every change: `tests/unit/doctor/test_doctor_practice.py` and `test_workers_rehearse.py`."""

HOPELESS = Path(__file__).with_name("hopeless.py")


def learned(place: Place, code: int, *more: str, **tables: Any) -> dict[str, dict[str, Any]]:
    """The rows by id; nothing is left behind."""
    temporary = place.root / "tmp"
    temporary.mkdir()
    place.environment["TMPDIR"] = str(temporary)
    tables = {"run": {"schedule": "sequential"}, "learner": {"lr": 1e-3}} | tables
    arguments = ["--no-run", "--json", "--learn", *more]
    done = place.tuitrain("doctor", place.config(**tables), *arguments, code=code)
    assert not list(temporary.iterdir())
    assert not place.runs()
    return {row["id"]: row for row in json.loads(done.stdout)["checks"]}


def test_a_learning_rate_of_nothing(place: Place) -> None:
    rows = learned(place, 1, "--learn-s", "2", "--set", "learner.lr=1e-12")
    assert rows["one_batch"]["state"] == "fail"
    assert rows["one_batch"]["commands"] == ["--set learner.lr=0.001"]
    assert rows["run_sequential"]["state"] != "n/a"
    assert "it does not learn like this: one batch" in rows["verdict"]["found"]


def test_a_config_that_learns_in_both_schedules(place: Place) -> None:
    rows = learned(place, 0, "--learn-s", "30", run={"schedule": "async"})
    for name in ("one_batch", "gradients", "rewards", "run_sequential", "run_async", "verdict"):
        assert rows[name]["state"] == "ok", rows[name]
    assert "it learns" in rows["verdict"]["found"]
    assert rows["target_updates"]["found"].startswith("0 off")


def test_a_rehearsal_that_is_ended_leaves_nothing(place: Place) -> None:
    temporary = place.root / "tmp"
    temporary.mkdir()
    place.environment["TMPDIR"] = str(temporary)
    more = ["--no-run", "--learn", "--learn-s", "600"]
    doctor = place.start("doctor", place.config(), *more)
    eventually(lambda: list(temporary.glob("tuitrain-doctor-*/lock")), "a rehearsal")
    doctor.terminate()
    assert doctor.wait(60) == 128 + signal.SIGTERM
    assert not list(temporary.iterdir())
    # the place looks for processes, segments and sockets


def test_an_environment_without_reward(place: Place) -> None:
    rows = learned(place, 0, "--learn-s", "6", env={"id": f"{HOPELESS}:NoReward"})
    assert rows["rewards"]["state"] == "warn"
    assert rows["beats_random_sequential"]["state"] == "n/a"
    assert rows["one_batch"]["state"] == "n/a"
    assert rows["verdict"]["found"].startswith("nothing to learn from: no reward")


def test_a_layer_without_gradient(place: Place) -> None:
    network = {"network": f"{HOPELESS}:Detached", "network_kwargs": {}, "lr": 1e-3}
    rows = learned(place, 1, "--learn-s", "6", learner=network)
    assert rows["gradients"]["state"] == "fail"
    assert "body.weight" in rows["gradients"]["found"]
