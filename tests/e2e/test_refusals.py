"""What cannot work is refused with all its reasons, before or without leaving anything behind."""

from __future__ import annotations

from typing import Any

import pytest

from tests.e2e.harness import ENVS, THINGS, Place


def nothing_made(place: Place) -> bool:
    return [p.name for p in place.root.iterdir()] == ["config.toml"] and not place.left()


def test_a_wrong_config_is_refused_with_every_problem(place: Place) -> None:
    path = place.config(
        run={"total_stps": 5, "schedule": "parallel"},
        learner={"batch_size": -1, "tau": 0.1, "target_update_every_updates": 5},
        extra={"x": 1},
    )
    done = place.tuitrain("launch", path, "--headless", code=2)

    for word in ("total_stps", "total_steps", "parallel", "batch_size", "tau", "extra"):
        assert word in done.stderr
    assert "Traceback" not in done.stderr
    assert nothing_made(place)


def test_broken_toml_and_a_missing_file_are_refused(place: Place) -> None:
    path = place.config()
    path.write_text("[run\nname = 1")
    assert "line 1" in place.tuitrain("launch", path, "-d", code=2).stderr
    assert "nowhere.toml" in place.tuitrain("launch", "nowhere.toml", "-d", code=2).stderr
    assert nothing_made(place)


def long(*values: Any) -> Any:
    """A case for the long suite: what the probe says is the unit tests' of environments, too."""
    return pytest.param(*values, marks=pytest.mark.long)


@pytest.mark.parametrize(
    ("tables", "words"),
    [
        long({"env": {"id": "NoSuchThing-v3"}}, ["NoSuchThing-v3"]),
        long({"env": {"id": f"{ENVS}:Chian"}}, ["Chian", "Chain"]),
        long({"env": {"id": f"{THINGS}:Broken"}}, ["the ROM is missing", "things.py"]),
        long({"env": {"id": f"{THINGS}:Continuous"}}, ["Box", "Discrete"]),
        (
            {
                "env": {"id": f"{THINGS}:Big"},
                "replay": {"capacity": 10**9, "learning_starts": 1_000},
            },
            ["replay.capacity", "MiB left"],
        ),
    ],
)
@pytest.mark.parametrize("how", ["--headless", pytest.param("-d", marks=pytest.mark.long)])
def test_a_run_that_cannot_start_says_why(
    place: Place, tables: dict[str, Any], words: list[str], how: str
) -> None:
    refused(place, tables, words, how)


def test_nor_does_one_that_is_started_in_the_background(place: Place) -> None:
    refused(place, {"env": {"id": f"{THINGS}:Broken"}}, ["the ROM is missing", "things.py"], "-d")


def refused(place: Place, tables: dict[str, Any], words: list[str], how: str) -> None:
    done = place.tuitrain("launch", place.config(**tables), how, code=3)

    said = done.stdout + done.stderr
    for word in words:
        assert word in said
    (run,) = place.runs()
    summary = run.summary()
    assert (summary["state"], summary["steps"]) == ("failed", 0)
    for word in words[:1]:
        assert word in summary["cause"]
    assert not place.left()
    assert not list((run.path / "checkpoints").iterdir())
