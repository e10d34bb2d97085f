"""What follows a death: a successor, or the end; with workers made for it."""

from __future__ import annotations

import asyncio
import os
import signal
from pathlib import Path
from typing import Any

import pytest

from tests.fake_plan import FakePlan, fake_config
from tests.unit.supervisor.running import CREW, WORK, gone, kill, running, together, until, worker
from tuitrain.checkpoint.files import checkpoints
from tuitrain.config.unattended import StopConfig
from tuitrain.metrics.sinks import read_jsonl
from tuitrain.supervisor.snapshot import SavedCounts


@pytest.mark.parametrize("name", ["a0", "learner", "eval"])
async def test_in_async_the_dead_one_alone_has_a_successor(tmp_path: Path, name: str) -> None:
    async with running(tmp_path, CREW, max_restarts=3) as run:
        await run.up()
        pids = {n: run.pid(n) for n in CREW}
        kill(run, name)
        event = await run.event(f"{name} is back after")
        assert "(restart 1)" in event.text
        assert (event.source, event.data["mark"]) == (name, "restart")
        told = next(e for e in run.events if "killed by SIGKILL" in e["text"])
        assert told["level"] == "warning"
        assert told["data"]["log"][0] == f"{name} will work"
        assert {n for n in CREW if run.pid(n) != pids[n]} == {name}
        assert gone(pids[name])
        view = {p.name: p for p in run.supervisor.snapshot().processes}[name]
        assert (view.restarts, view.error) == (1, None)
        assert str(view.died_of).startswith("killed by SIGKILL")
        await run.ask("stop")
        assert await run.end() == 0
        assert run.summary["restarts"] == {name: 1}
        (death,) = run.summary["deaths"]
        assert (death["worker"], death["ready"]) == (name, True)
        assert "SIGKILL" in death["how"]
        assert run.summary["failure"] is None
        assert run.summary["reproducible"] is None
        log = (run.folder.logs / f"{name}.log").read_text()
        first, mark, second = log.partition(f"==== {name} starts again (restart 1)")
        assert mark
        assert f"{name} will work" in first
        assert f"{name} will work" in second


@pytest.mark.parametrize("tables", [None, together(CREW)])
async def test_what_a_dead_worker_has_left_ends_before_it_is_back(
    tmp_path: Path, tables: dict[str, Any] | None
) -> None:
    """▣ Also in a session of its own; what others have left, or its successor has, stays."""
    leaves = {"do": "leave a process", "own session": True}
    async with running(tmp_path, {**CREW, "a0": leaves}, tables=tables, max_restarts=3) as run:
        await run.up()
        file = run.folder.path / "left.pid"
        left = int(file.read_text())
        kill(run, "a0")
        await run.event("a0 is back" if tables is None else "all workers are back")
        assert gone(left)
        assert int(file.read_text()) != left
        os.kill(int(file.read_text()), 0)
        told = await run.event("had left")
        assert told.text.startswith("a0's environment had left 1 process (")
        assert f" {left}); it was ended" in told.text
        assert (told.source, told.level) == ("a0", "warning")
        await run.ask("stop")
        assert await run.end() == 0
        assert [e["text"] for e in run.events if "left" in e["text"]][1:] == [
            "killed 1 processes that workers had left behind"
        ]


async def test_what_the_probe_has_left_ends_before_the_others_start(tmp_path: Path) -> None:
    probe = {"do": "leave a process", "own session": True}
    async with running(tmp_path, {**CREW, "probe": probe}) as run:
        await run.up()
        left = int((run.folder.path / "left.pid").read_text())
        told = await run.event("had left")
        assert f" {left}); it was ended" in told.text
        assert told.source == "probe"
        assert gone(left)
        await run.ask("stop")
        assert await run.end() == 0


async def test_lost_updates_are_counted_and_lie_before_a_rewind(tmp_path: Path) -> None:
    measured = [{"kind": "learner", "policy": "default", "steps": 9_999, "updates": 9}]
    learner = {**WORK, "measured": measured, "updates": {"default": 4}}
    workers = {**CREW, "learner": learner | {"lost_updates": {"default": 5}}}
    async with running(tmp_path, workers, max_restarts=3) as run:
        await run.up()
        await until(run, lambda: ("learner", "default") in run.supervisor.view.newest)
        kill(run, "learner")
        event = await run.event("learner is back")
        assert "updates lost: 5 of default" in event.text
        await run.ask("stop")
        assert await run.end() == 0
        assert run.summary["lost_updates"] == {"default": 5}
        records = read_jsonl(run.folder.metrics_jsonl)
        (rewind,) = [record for record in records if record["kind"] == "rewind"]
        assert (rewind["steps"], rewind["updates"]) == (9_999, {"default": 4})
        assert "learner failed, killed by SIGKILL" in rewind["why"]


async def test_totals_do_not_fall_and_a_doorbell_rings_the_successor(tmp_path: Path) -> None:
    async with running(tmp_path, CREW, max_restarts=3) as run:
        await run.up()
        view = worker(run, "a0").view
        await until(run, lambda: view.counters.get("steps", 0) > 20)
        seen: list[tuple[float, int]] = []
        bell = run.supervisor.crew._spawner._doorbells["a0"]
        kill(run, "a0")
        while "steps" not in worker(run, "a0").view.counters or worker(run, "a0").view.pid is None:
            await asyncio.sleep(0)

        def grown() -> bool:
            seen.append((view.counters["steps"], view.progress))
            rate = view.rate("steps", run.supervisor.clock())
            assert rate is None or rate >= 0
            return view.restarts == 1 and view.counters["steps"] > seen[0][0] + 20

        await until(run, grown)
        assert seen == sorted(seen)
        assert worker(run, "a0").view is view
        assert run.supervisor.crew._spawner._doorbells["a0"] is bell
        await run.ask("stop")
        assert await run.end() == 0


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


@pytest.mark.parametrize("schedule", ["async", "lockstep"])
@pytest.mark.parametrize("dead", ["a0", "eval", "learner"])
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


async def test_who_dies_at_work_before_all_are_ready_has_a_successor(tmp_path: Path) -> None:
    """It is judged by what it has done, and not by who was quicker to start."""
    workers = {**CREW, "a0": {"do": "work, then raise"}, "eval": {"do": "ready late"}}
    async with running(tmp_path, workers, max_restarts=1) as run:
        await run.event("a0 (actor) failed")
        assert run.supervisor.view.state == "starting"
        (run.folder.path / "late").touch()
        await run.event("a0 is back")
        assert await run.end() == 3
        assert "death 2 of this worker" in run.summary["reason"]


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


@pytest.mark.parametrize(
    ("do", "how"), [("raise", "ValueError"), ("exit 0", "without having been told to stop")]
)
async def test_exceptions_and_good_exits_are_deaths_too(tmp_path: Path, do: str, how: str) -> None:
    async with running(tmp_path, {**CREW, "a0": {"do": do}}, max_restarts=1) as run:
        await run.up()
        event = await run.event("a0 (actor) failed")
        assert event.level == "warning"
        assert how in event.text
        await run.event("a0 is back")
        assert await run.end() == 3
        assert how in run.summary["reason"]


async def test_a_hung_worker_has_a_successor(tmp_path: Path) -> None:
    async with running(tmp_path, CREW, max_restarts=1) as run:
        await run.up()
        worker(run, "a0").life.progress_deadline_s = 0.5
        pid = run.pid("a0")
        os.kill(pid, signal.SIGSTOP)
        await run.event("a0 is back")
        assert gone(pid)
        await run.ask("stop")
        assert await run.end() == 0


async def test_a_successor_that_cannot_be_built_ends_the_run(tmp_path: Path) -> None:
    workers = {**CREW, "a0": {"do": "raise at second start"}}
    async with running(tmp_path, workers, max_restarts=5) as run:
        await run.up()
        kill(run, "a0")
        assert await run.end() == 3
        assert "cannot build any more" in run.summary["reason"]
        assert "before it was ready" in run.summary["reason"]
        assert run.summary["last_checkpoint"].endswith("ckpt-1")


async def test_a_successor_that_is_killed_before_it_is_ready_has_one_too(tmp_path: Path) -> None:
    workers = {**CREW, "a0": {"do": "die at second start"}}
    async with running(tmp_path, workers, max_restarts=5) as run:
        await run.up()
        kill(run, "a0")
        event = await run.event("a0 is back")
        assert "(restart 2)" in event.text
        await run.ask("stop")
        assert await run.end() == 0
        assert [d["ready"] for d in run.summary["deaths"]] == [True, False]


async def test_a_successor_that_is_late_is_one_death_more(tmp_path: Path) -> None:
    workers = {**CREW, "a0": {"do": "never ready again"}}
    async with running(tmp_path, workers, max_restarts=1) as run:
        await run.up()
        kill(run, "a0")
        await until(run, lambda: worker(run, "a0").view.restarts == 1)
        worker(run, "a0").life.startup_deadline_s = 0.3
        assert await run.end() == 3
        assert "not ready within" in run.summary["reason"]


async def test_a_successor_that_gets_ready_while_the_run_goes_on_again_goes_on_too(
    tmp_path: Path,
) -> None:
    async with running(tmp_path, {**CREW, "a0": {"do": "begin late"}}, max_restarts=3) as run:
        await run.up()
        assert (await run.ask("pause")).ok
        pid = kill(run, "a0")
        await until(run, lambda: run.pid("a0") != pid)
        assert (await run.ask("unpause")).ok  # once the successor has obeyed it too
        await run.event("a0 is back after")
        progress = worker(run, "a0").view.progress
        await until(run, lambda: worker(run, "a0").view.progress > progress + 20)
        assert worker(run, "a0").view.state == "running"


async def test_while_the_run_is_paused_a_successor_is_too(tmp_path: Path) -> None:
    async with running(tmp_path, CREW, max_restarts=3) as run:
        await run.up()
        assert (await run.ask("pause")).ok
        kill(run, "a0")
        await run.event("a0 is back")
        await until(run, lambda: worker(run, "a0").view.state == "paused")
        assert run.supervisor.snapshot().state == "paused"
        reply = await run.ask("unpause")
        assert "3 of 3" in reply.message
        await until(run, lambda: worker(run, "a0").view.state == "running")
        await run.ask("stop")
        assert await run.end() == 0


async def test_a_command_under_way_sees_that_a_worker_ended(tmp_path: Path) -> None:
    async with running(tmp_path, {**CREW, "a0": {"do": "deaf to pause"}}, max_restarts=3) as run:
        await run.up()
        asked = asyncio.ensure_future(run.ask("pause"))
        await until(run, lambda: worker(run, "eval").view.state == "paused")
        kill(run, "a0")
        reply = await asked
        assert reply.ok, "all that live hold, and so will the successor"
        assert "a0 ended before answering" in reply.message
        await run.event("a0 is back")
        await run.ask("kill")  # the successor is as deaf
        await run.end()


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


@pytest.mark.parametrize(("name", "code"), [("a0", 0), ("eval", 0), ("learner", 3)])
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


@pytest.mark.parametrize("schedule", ["async", "lockstep"])
async def test_a_rule_that_has_ended_training_still_holds(tmp_path: Path, schedule: str) -> None:
    workers = {**CREW, "learner": {"do": "work", "returns": [5.0], "die at conclude": True}}
    workers["eval"] = {"do": "finish"}
    tables: dict[str, Any] = {"stop": StopConfig(eval_return=4.0)}
    tables |= together(workers) if schedule == "lockstep" else {}
    async with running(tmp_path, workers, tables=tables, max_restarts=3) as run:
        await run.up()
        assert await run.end() == 0
        assert run.summary["state"] == "finished"
        assert run.summary["reason"].startswith("stop.eval_return")
        assert run.summary["restarts"]["learner"] == 1
        assert run.summary["last_checkpoint"].endswith("ckpt-last")


async def test_who_waits_for_an_evaluation_is_told_that_it_will_not_come(tmp_path: Path) -> None:
    workers = {**CREW, "eval": {"do": "work", "no records": True}}
    async with running(tmp_path, workers, max_restarts=3) as run:
        await run.up()
        asked = asyncio.ensure_future(run.ask("evaluate"))
        await run.event("queued")
        kill(run, "eval")
        reply = await asked
        assert not reply.ok
        assert "eval ended before it was done" in reply.message
        await run.event("eval is back")
        await run.ask("stop")
        assert await run.end() == 0


@pytest.mark.parametrize("saved_meanwhile", [False, True])
async def test_what_a_learner_s_successor_passes_over_is_put_aside(
    tmp_path: Path, saved_meanwhile: bool
) -> None:
    start = "checkpoints/ckpt-0000000010.pt"
    workers = {**CREW, "learner": {**CREW["learner"], "start": start}}
    async with running(tmp_path, workers, max_restarts=3) as run:
        await run.up()
        folder = run.folder.checkpoints
        sound, newer = [folder / f"ckpt-{n:010d}.pt" for n in (10, 20)]
        sound.touch()
        newer.touch()
        if saved_meanwhile:  # as late as can be: it is sound, and the successor has not seen it
            run.supervisor.note_checkpoint(str(newer), SavedCounts())
            run.supervisor.view.last_checkpoint_at = run.supervisor.clock() + 1000.0
        kill(run, "learner")
        event = await run.event("learner is back after")
        assert f"it goes on from {sound}" in event.text
        assert checkpoints(folder) == [sound, newer][: 1 + saved_meanwhile]
        assert (folder / "set-aside-1" / newer.name).exists() is not saved_meanwhile
        await run.ask("stop")
        await run.end()
