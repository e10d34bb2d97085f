"""Real runs whose workers are killed: they go on, and end as they would have."""

from __future__ import annotations

import os
import signal
from pathlib import Path
from typing import Any

import pytest

from tests.e2e.harness import THINGS, Place, Run
from tests.sites import DEADLINE_S, eventually
from tuitrain.metrics.rewind import surviving

RESTARTS = {"max_restarts": 5}
SLOW = {"id": f"{THINGS}:Slow", "kwargs": {"waits": True}}


def kill(run: Run, name: str) -> None:
    os.kill(run.workers()[name]["pid"], signal.SIGKILL)


def told(run: Run, text: str) -> str:
    """The newest event with this text, once there is one."""

    def find() -> str:
        return next((e["text"] for e in reversed(run.events()) if text in e["text"]), "")

    return eventually(find, f"an event with {text!r}")


def ended(place: Place) -> Run:
    """The only run, once nothing of it is left."""
    eventually(lambda: not place.left(), "the run's end", 2 * DEADLINE_S)
    (run,) = place.runs()
    return run


@pytest.mark.long  # each of them alone: `tests/faults/test_faults_short.py`, with its ledgers
def test_an_async_run_survives_the_death_of_everybody(place: Place) -> None:
    run = place.launch_detached(
        run={"checkpoint_every_s": 0.5, "seed": 3},
        env=SLOW,
        learner={"publish_every_updates": 5},
        supervisor=RESTARTS,
    )
    told(run, "checkpoint ")
    for number, name in enumerate(("a0", "learner", "eval", "learner"), 1):
        kill(run, name)
        eventually(
            lambda n=number: sum("is back" in e["text"] for e in run.events()) == n,
            f"{name}'s successor",
        )
        run.learned(run.snapshot()["policies"][0]["updates"] + 10)
    place.tuitrain("stop", "latest")
    summary = run.summary()
    assert summary["state"] == "stopped"
    assert summary["restarts"] == {"a0": 1, "learner": 2, "eval": 1}
    assert len(summary["deaths"]) == 4
    (policy,) = summary["policies"].values()
    assert policy["ratio_achieved"] == pytest.approx(0.25, rel=0.01)
    assert 0 <= summary["lost_updates"]["default"] < policy["updates"]
    learned = [r for r in run.metrics() if r["kind"] == "learner"]
    versions = [r["version"] for r in learned]
    assert versions == sorted(versions)
    assert all(r.get("lag_updates_p50", 0) >= 0 for r in learned)
    assert "updates lost: " in told(run, "learner is back")


def long(*victims: str) -> Any:
    return pytest.param(victims, marks=pytest.mark.long)


@pytest.mark.parametrize("victims", [("a0", "learner"), long("a0"), long("learner")], ids="-".join)
def test_an_async_run_comes_to_its_end_after_a_death(
    place: Place, victims: tuple[str, ...]
) -> None:
    """What the dead had reserved or owed does not leave the run short."""
    total = 4_000 * len(victims)  # much is left when the last of them dies, on a busy machine too
    place.tuitrain(
        "launch",
        place.config(
            run={"total_steps": total, "checkpoint_every_s": 0.5},
            env=SLOW,
            actors={"count": 2},
            learner={"publish_every_updates": 5},
            supervisor=RESTARTS,
        ),
        "-d",
    )
    (run,) = place.runs()
    for number, victim in enumerate(victims, 1):
        run.learned(40 * number)
        if victim == "learner":
            told(run, "checkpoint ")
        kill(run, victim)
        told(run, f"{victim} is back")
    ended(place)
    summary = run.summary()
    assert summary["state"] == "finished"
    assert total <= summary["steps"] < total + 2 * 4 * 8  # a chunk of every actor
    assert summary["restarts"] == dict.fromkeys(victims, 1)
    assert [death["worker"] for death in summary["deaths"]] == list(victims)
    (policy,) = summary["policies"].values()
    assert policy["ratio_achieved"] == pytest.approx(0.25, rel=0.01)
    learned = [r for r in run.metrics() if r["kind"] == "learner"]
    versions = [r["version"] for r in learned]
    assert versions == sorted(versions)
    assert all(r.get("lag_updates_p50", 0) >= 0 for r in learned)
    if "learner" in victims:
        lost = summary["lost_updates"]["default"]
        made = 0.25 * (summary["steps"] - 200)  # learning_starts
        assert lost >= 0
        assert lost + policy["updates"] == pytest.approx(made, rel=0.05)
        assert "updates lost: " in told(run, "learner is back")
    evaluated = [r for r in run.metrics() if r["kind"] == "eval"]
    assert evaluated[-1]["version"] == policy["version"]
    assert evaluated[-1]["steps"] == summary["steps"]


@pytest.mark.parametrize("victims", [long("learner0"), long("learner1", "learner0")], ids="-".join)
def test_of_several_learners_the_dead_one_alone_is_replaced(
    place: Place, victims: tuple[str, ...]
) -> None:
    """The conductor, and one that is not; checkpoints are of parts meanwhile."""
    run = place.launch_detached(
        run={"checkpoint_every_s": 0.5},
        env={"id": f"{THINGS}:SlowPolicies"},
        learner={"processes": 2, "publish_every_updates": 5},
        eval={"enabled": False},
        supervisor=RESTARTS,
    )
    told(run, "checkpoint ")
    for number, name in enumerate(victims, 1):
        other = "learner0" if name == "learner1" else "learner1"
        pid = run.workers()[other]["pid"]
        kill(run, name)
        text = told(run, f"{name} is back")
        assert "ckpt-" in text
        assert run.workers()[other]["pid"] == pid
        run.learned(max(p["updates"] for p in run.snapshot()["policies"]) + 10)
        assert sum("is back" in e["text"] for e in run.events()) == number
    place.tuitrain("stop", "latest")
    summary = run.summary()
    assert (summary["state"], summary["restarts"]) == ("stopped", dict.fromkeys(victims, 1))
    learns = {"learner0": "scout", "learner1": "digger"}
    assert set(summary["lost_updates"]) == {learns[name] for name in victims}
    assert Path(summary["last_checkpoint"]).suffix == ".json"
    for policy in summary["policies"].values():
        assert policy["ratio_achieved"] == pytest.approx(0.25, rel=0.01)


def fingerprint(place: Place, schedule: str, *victims: str) -> Any:
    """Of a run that is left alone, or of one in which two are killed.

    Args:
        victims: who is killed before there is a checkpoint ("": nobody), and who after one.
    """
    config = place.config(
        run={"total_steps": 2_400, "fingerprint": True, "schedule": schedule, "seed": 5},
        env=SLOW if victims else {"id": SLOW["id"], "kwargs": {"step_s": 0.0}},
        actors={"count": 2},
        supervisor=RESTARTS,
    )
    place.tuitrain("launch", config, "-d")
    last = place.runs()[-1]
    if victims:
        for victim, where in zip(victims, ("the start", "the checkpoint at step"), strict=True):
            if not victim:
                continue
            last.learned(40)
            if where != "the start":
                assert last.ask("checkpoint").ok
            kill(last, victim)
            told(last, f"all workers are back, at {where}")
    eventually(lambda: (last.path / "summary.json").exists(), "the end", 2 * DEADLINE_S)
    summary = last.summary()
    assert summary["state"] == "finished", summary["reason"]
    assert summary["reproducible"] is True
    evaluated = [
        (r["steps"], r["updates"], r["version"], r["return_mean"])
        for r in surviving(last.metrics())
        if r["kind"] == "eval"
    ]
    return summary["fingerprint"], summary["policies"]["default"]["updates"], evaluated


# in `lockstep` test_faults_short has one that goes back, test_exact_resume one and the same end
@pytest.mark.parametrize(
    ("schedule", "at_start", "at_checkpoint"),
    [
        pytest.param("lockstep", "a1", "learner", marks=pytest.mark.long),
        pytest.param("lockstep", "learner", "eval", marks=pytest.mark.long),
        pytest.param("lockstep", "eval", "a1", marks=pytest.mark.long),
        ("sequential", "", "trainer"),
        pytest.param("sequential", "trainer", "trainer", marks=pytest.mark.long),
    ],
)
def test_a_run_in_rounds_goes_back_and_ends_as_if_nothing_had_been(
    place: Place, schedule: str, at_start: str, at_checkpoint: str
) -> None:
    """To its start, and to a checkpoint, whose making changes nothing either."""
    alone = fingerprint(place, schedule)
    assert fingerprint(place, schedule, at_start, at_checkpoint) == alone
    eventually(lambda: not place.left(), "the runs' end")


@pytest.mark.long
def test_an_environment_edited_on_the_way_is_not_mixed_in(place: Place) -> None:
    world = place.root / "world.py"
    lines = [
        "import sys",
        f"sys.path.append({str(Path(__file__).parents[2])!r})",
        "from tests.e2e.things import Slow",
        "",
    ]
    world.write_text("\n".join([*lines, "class World(Slow):", "    pass", ""]))
    run = place.launch_detached(env={"id": f"{world}:World"}, supervisor=RESTARTS)
    run.learned(5)
    world.write_text("\n".join([*lines, "class World(Slow):", "    worth = 2", ""]))
    kill(run, "a0")
    ended(place)
    summary = run.summary()
    assert (summary["state"], summary["failure"]["worker"]) == ("failed", "a0")
    assert f"{world} (env.id) has changed" in summary["cause"]
    assert summary["last_checkpoint"] is not None
    assert summary["restarts"] == {}
    place.tuitrain("resume", "latest", "-d")
    assert f"{world} (env.id) has changed" in told(run, "since the run was launched")
    place.tuitrain("stop", "latest")
