"""Deaths that nobody comes back from: how the run ends, and what it saves."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from tests.fake_plan import FakePlan, fake_config
from tests.unit.supervisor.running import CREW, WORK, kill, running, until, worker


async def test_who_dies_too_often_ends_the_run_with_a_checkpoint(tmp_path: Path) -> None:
    workers = {**CREW, "a0": {"do": "SIGKILL"}}
    async with running(tmp_path, workers, max_restarts=2) as run:
        await run.up()
        assert await run.end() == 3
        assert run.summary["state"] == "failed"
        assert run.summary["failure"]["worker"] == "a0"
        assert (
            "death 3 of this worker within 300 s, and supervisor.max_restarts is 2"
            in run.summary["reason"]
        )
        assert run.summary["restarts"] == {"a0": 2}
        assert [d["worker"] for d in run.summary["deaths"]] == ["a0"] * 3
        assert run.summary["last_checkpoint"].endswith("ckpt-1")


class Saves(FakePlan):
    """Whose checkpoints hold the state of its actors."""

    def state_of(self, blueprint: Any) -> tuple[str, ...]:
        return ("a0", "a1")


@pytest.mark.parametrize(
    ("dead", "schedule"),
    [
        ("a0", "async"),
        ("eval", "async"),
        ("eval", "lockstep"),
        ("learner", "lockstep"),
        pytest.param("a0", "lockstep", marks=pytest.mark.long),
        pytest.param("learner", "async", marks=pytest.mark.long),
    ],
)
async def test_a_run_that_fails_saves_its_replay_where_that_is_whole_or_says_not(
    tmp_path: Path, dead: str, schedule: str
) -> None:
    workers = {**CREW, "a1": WORK, dead: {"do": "SIGKILL"}}
    tables = {"run": fake_config(workers).run.model_copy(update={"schedule": schedule})}
    async with running(tmp_path, workers, Saves(), tables) as run:
        await run.up()
        assert await run.end() == 3
        told = [e["text"] for e in run.events if "the replay cannot be saved" in e["text"]]
        whole = (dead, schedule) == ("eval", "async")
        assert len(list(run.folder.path.glob("state of a*"))) == 2 * whole
        assert len(told) == (not whole and dead != "learner")
        assert all((f"that of {dead} died with it" in text) == (dead == "a0") for text in told)


@pytest.mark.parametrize(("dead", "code"), [("learner", 3), ("a0", 0)])
async def test_who_dies_while_a_run_that_stops_is_saved(
    tmp_path: Path, dead: str, code: int
) -> None:
    """What a learner had is lost; networks and counters can be saved without an actor."""
    workers = {**CREW, "a1": WORK, dead: {"do": "die at a checkpoint"}}
    async with running(tmp_path, workers, Saves(), max_restarts=3) as run:
        await run.up()
        reply = await run.ask("stop")
        assert await run.end() == code
        assert reply.ok == (code == 0)
        assert run.summary["restarts"] == {}
        assert (run.summary["last_checkpoint"] is None) == (dead == "learner")
        assert any(f"{dead} (" in event["text"] for event in run.events)


async def test_who_raises_before_it_has_done_anything_does_not(tmp_path: Path) -> None:
    workers = {**CREW, "a0": {"do": "raise at first"}, "eval": {"do": "ready late"}}
    async with running(tmp_path, workers, max_restarts=5) as run:
        assert await run.end() == 3
        assert run.summary["failure"]["worker"] == "a0"
        assert len(run.summary["deaths"]) == 1


async def test_who_raises_the_same_at_once_is_not_started_a_third_time(tmp_path: Path) -> None:
    async with running(
        tmp_path, {**CREW, "a0": {"do": "raise at first, later"}}, max_restarts=5
    ) as run:
        await run.up()
        assert await run.end() == 3
        assert "before it had done anything" in run.summary["reason"]
        assert run.summary["restarts"] == {"a0": 1}
        (death, _) = run.summary["deaths"]
        assert death["where"].startswith("fake_workers.py:")
        assert death["where"].endswith(" in behave")
        assert f"({death['where']})" in run.summary["reason"]


async def test_a_successor_that_cannot_be_built_ends_the_run(tmp_path: Path) -> None:
    workers = {**CREW, "a0": {"do": "raise at second start"}}
    async with running(tmp_path, workers, max_restarts=5) as run:
        await run.up()
        kill(run, "a0")
        assert await run.end() == 3
        assert "cannot build any more" in run.summary["reason"]
        assert "before it was ready" in run.summary["reason"]
        assert run.summary["last_checkpoint"].endswith("ckpt-1")


async def test_who_dies_after_its_work_was_done_fails_nothing(tmp_path: Path) -> None:
    workers = {**CREW, "a0": {"do": "finish"}}
    async with running(tmp_path, workers, max_restarts=3) as run:
        await run.up()
        await until(run, lambda: worker(run, "a0").finished is not None)
        kill(run, "a0")
        event = await run.event("after its work was done")
        assert event.level == "warning"
        await run.ask("stop")
        assert await run.end() == 0
        assert run.summary["deaths"] == []
        assert run.summary["restarts"] == {}


@pytest.mark.parametrize(
    ("name", "code"), [("a0", 0), pytest.param("eval", 0, marks=pytest.mark.long), ("learner", 3)]
)
async def test_while_stopping_only_who_saves_can_spoil_the_end(
    tmp_path: Path, name: str, code: int
) -> None:
    workers = {**CREW, name: {"do": "die at stop"}}
    async with running(tmp_path, workers, max_restarts=3) as run:
        await run.up()
        await run.ask("stop")
        assert await run.end() == code
        told = next(e for e in run.events if f"{name} (" in e["text"])
        assert told["level"] == ("error" if code else "warning")
        assert run.summary["restarts"] == {}


async def test_a_stop_in_the_middle_of_a_restart_ends_everything(tmp_path: Path) -> None:
    async with running(tmp_path, CREW, max_restarts=3) as run:
        await run.up()
        pid = kill(run, "a0")
        await until(run, lambda: run.pid("a0") != pid)
        await run.ask("stop")
        assert await run.end() == 0


async def test_another_environment_in_a_successor_is_refused(tmp_path: Path) -> None:
    workers = {**CREW, "a0": {"do": "work", "later spec_hash": "another"}}
    async with running(tmp_path, workers, max_restarts=3) as run:
        await run.up()
        kill(run, "a0")
        assert await run.end() == 3
        assert "a0 built another environment" in run.summary["reason"]


async def test_a_process_that_cannot_be_started_again_ends_the_run(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    async with running(tmp_path, CREW, max_restarts=3) as run:
        await run.up()

        def full(*_: Any) -> None:
            raise OSError(24, "Too many open files")

        monkeypatch.setattr(run.supervisor.crew._spawner, "start", full)
        kill(run, "a0")
        assert await run.end() == 3
        assert "could not be started again: OSError" in run.summary["reason"]
        assert "Too many open files" in run.summary["reason"]


async def test_the_deadline_for_stopping_is_told_as_it_is_set(tmp_path: Path) -> None:
    """▣ An actor that hangs keeps saving waiting too, which has a part of the same deadline."""
    workers = {**CREW, "a1": {"do": "hang"}}
    async with running(tmp_path, workers, Saves(), stop_deadline_s=1.0) as run:
        await run.up()
        await until(run, lambda: run.supervisor.snapshot().steps > 0)
        await run.ask("stop")
        assert await run.end() == 0
        (late,) = [e["text"] for e in run.events if e["text"].startswith("a1 did not stop")]
        assert "did not stop within 1 s (supervisor.stop_deadline_s)" in late
