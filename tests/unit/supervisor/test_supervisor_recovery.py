"""What follows a death: a successor, and what it finds; with workers made for it."""

from __future__ import annotations

import asyncio
import os
import signal
from pathlib import Path
from typing import Any

import pytest

from tests.unit.supervisor.running import CREW, WORK, gone, kill, running, together, until, worker
from tuitrain.checkpoint.files import checkpoints
from tuitrain.config.unattended import StopConfig
from tuitrain.metrics.sinks import read_jsonl
from tuitrain.supervisor.snapshot import SavedCounts


@pytest.mark.parametrize("name", ["a0", "learner", pytest.param("eval", marks=pytest.mark.long)])
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
