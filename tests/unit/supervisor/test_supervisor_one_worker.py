"""Restarts that a person asks for, and stacks of a worker that goes on."""

from __future__ import annotations

import asyncio
import os
import signal
from pathlib import Path
from typing import Any

import pytest

from tests.unit.supervisor.running import CREW, WORK, gone, running, together, until, worker
from tuitrain.supervisor.crew.hang import process_state


@pytest.mark.parametrize("name", ["a0", "learner"])
async def test_a_worker_comes_back_on_request_which_is_no_death(tmp_path: Path, name: str) -> None:
    """▣ With `max_restarts = 0` the first death would end the run."""
    learner = {**WORK, "lost_updates": {"default": 5}, "updates": {"default": 4}}
    async with running(tmp_path, {**CREW, "learner": learner}, max_restarts=0) as run:
        await run.up()
        pids = {n: run.pid(n) for n in CREW}
        reply = await run.ask("restart", worker=name)
        assert reply.ok, reply.message
        assert f"{name} is back after" in reply.message
        assert ("5 of default" in reply.message) == (name == "learner")
        assert {n for n in CREW if run.pid(n) != pids[n]} == {name}
        assert gone(pids[name])
        again = await run.ask("restart", worker=name)
        assert "(restart 2)" in again.message, "an incarnation of its own each time"
        view = {p.name: p for p in run.supervisor.snapshot().processes}[name]
        assert (view.restarts, view.died_of, view.error) == (0, None, None)
        (told, _) = [e for e in run.events if f"{name} is back after" in e["text"]]
        assert told["data"]["mark"] == "restart"
        assert [e["level"] for e in run.events if e["level"] != "info"] == []
        await run.ask("stop")
        assert await run.end() == 0
        assert run.summary["deaths"] == []
        assert run.summary["restarts"] == {}


async def test_in_rounds_all_go_back_on_request(tmp_path: Path) -> None:
    async with running(tmp_path, CREW, tables=together(CREW), max_restarts=0) as run:
        await run.up()
        pids = {n: run.pid(n) for n in CREW}
        reply = await run.ask("restart", worker="a0")
        assert reply.ok, reply.message
        assert "all workers are back, at the start" in reply.message
        assert all(run.pid(n) != pids[n] for n in CREW)
        await run.ask("stop")
        assert await run.end() == 0
        assert run.summary["deaths"] == []


async def test_a_paused_run_stays_paused(tmp_path: Path) -> None:
    async with running(tmp_path, CREW, max_restarts=0) as run:
        await run.up()
        await run.ask("pause")
        assert (await run.ask("restart", worker="a0")).ok
        await until(run, lambda: worker(run, "a0").view.state == "paused")
        await run.ask("kill")
        assert await run.end() == 0


async def test_of_two_who_ask_at_once_one_is_refused(tmp_path: Path) -> None:
    async with running(tmp_path, CREW, max_restarts=0) as run:
        await run.up()
        first, second = await asyncio.gather(
            run.ask("restart", worker="a0"), run.ask("restart", worker="a0")
        )
        assert (first.ok, second.ok) == (True, False)
        assert second.message in ("a0 is not at work", "a0 has just ended")
        await run.ask("kill")
        assert await run.end() == 0


@pytest.mark.parametrize("command", ["restart", "stacks"])
async def test_a_name_that_nobody_has_is_refused(tmp_path: Path, command: str) -> None:
    async with running(tmp_path, CREW, max_restarts=0) as run:
        await run.up()
        reply = await run.ask(command, worker="a7")
        assert not reply.ok
        assert reply.message == "there is no worker 'a7'; there are learner, a0, eval"
        assert not (await run.ask(command)).ok
        await run.ask("kill")
        assert await run.end() == 0


async def test_who_has_done_its_work_is_not_started_again(tmp_path: Path) -> None:
    workers = {**CREW, "learner": {"do": "finish"}}
    async with running(tmp_path, workers, max_restarts=0) as run:
        await run.up()
        await until(run, lambda: worker(run, "learner").finished is not None)
        reply = await run.ask("restart", worker="learner")
        assert (reply.ok, reply.message) == (False, "learner has done its work")
        await run.ask("kill")
        assert await run.end() == 0


async def test_edited_sources_keep_the_worker_instead_of_ending_the_run(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    async with running(tmp_path, CREW, max_restarts=0) as run:
        await run.up()
        sources: Any = run.supervisor.recovery._sources
        monkeypatch.setattr(sources, "changed", lambda: ["env.py was edited"])
        pid = run.pid("a0")
        reply = await run.ask("restart", worker="a0")
        assert not reply.ok
        assert reply.message == "a0 would import other code than it has: env.py was edited"
        assert run.pid("a0") == pid
        await run.ask("stop")
        assert await run.end() == 0


async def test_stacks_of_a_worker_that_goes_on(tmp_path: Path) -> None:
    async with running(tmp_path, CREW, max_restarts=0) as run:
        await run.up()
        pid, progress = run.pid("a0"), worker(run, "a0").life.progress
        reply = await run.ask("stacks", worker="a0")
        assert reply.ok, reply.message
        log = run.folder.logs / "a0.log"
        assert reply.message.startswith("a0: fake_workers.py:")
        assert reply.message.endswith(f"; the stacks of all its threads are in {log}")
        assert any("fake_workers.py" in line for line in reply.result["stack"])
        assert "a0 is asked for its stacks; stacks of all threads:" in log.read_text()
        await until(run, lambda: worker(run, "a0").life.progress > progress)
        assert run.pid("a0") == pid
        await run.ask("stop")
        assert await run.end() == 0


async def test_a_stopped_worker_has_no_stacks_to_give(tmp_path: Path) -> None:
    async with running(tmp_path, CREW, max_restarts=0) as run:
        await run.up()
        os.kill(run.pid("a0"), signal.SIGSTOP)
        await until(run, lambda: process_state(run.pid("a0")) == "stopped")
        try:
            reply = await run.ask("stacks", worker="a0")
        finally:
            os.kill(run.pid("a0"), signal.SIGCONT)
        assert (reply.ok, reply.message) == (False, "a0: it is stopped (by SIGSTOP or the like)")
        await run.ask("stop")
        assert await run.end() == 0
