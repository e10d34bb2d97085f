"""A run ends when it has had enough, and tells others of what happens, whatever those do."""

from __future__ import annotations

import asyncio
import json
import os
import signal
from pathlib import Path
from typing import Any

import pytest

from tests.fake_plan import FakePlan, fake_config, fake_folder
from tests.unit.supervisor.running import Started, gone, running
from tuitrain.config.unattended import HooksConfig, StopConfig
from tuitrain.supervisor.supervisor import Supervisor

WORK = {"do": "work"}


def stop(**rules: Any) -> dict[str, Any]:
    return {"stop": StopConfig(**rules)}


def hooks(**commands: Any) -> dict[str, Any]:
    return {"hooks": HooksConfig(**commands)}


# ---- rules -------------------------------------------------------------------------------------


async def test_an_evaluation_that_is_good_enough_ends_the_run_as_planned(tmp_path: Path) -> None:
    workers = {"learner": {"do": "work", "returns": [1.0, 4.0, 7.0]}}
    async with running(tmp_path, workers, tables=stop(eval_return=4.0)) as run:
        await run.up()
        assert await run.end() == 0
    summary = run.summary
    reason = "stop.eval_return: mean return 4 in the last evaluation, ends at 4"
    assert (summary["state"], summary["reason"]) == ("finished", reason)
    assert summary["ends_because"] == reason
    assert summary["stop_rules"][0]["met"]
    assert summary["last_checkpoint"].endswith("ckpt-last")  # what the learner itself ended with
    texts = [event["text"] for event in run.events]
    assert texts.count(f"training ends: {reason}") == 1
    assert texts[-1] == f"finished: {reason}"


async def test_a_status_shows_how_far_the_rules_are(tmp_path: Path) -> None:
    workers = {"learner": {"do": "work", "returns": [1.0, 0.5]}}
    rules = stop(eval_return=4.0, no_improvement_evals=9, wall_time_s=1e6)
    async with running(tmp_path, workers, tables=rules) as run:
        await run.up()
        while run.supervisor.view.evaluated.made.get("default", []) == []:
            await asyncio.sleep(0.01)
        status = (await run.ask("status")).result["snapshot"]
        rows = {row["key"]: row for row in status["stop_rules"]}
        assert list(rows) == ["stop.eval_return", "stop.wall_time_s", "stop.no_improvement_evals"]
        assert rows["stop.eval_return"]["value"] in (1.0, 0.5)
        assert status["ends_because"] is None
        await run.ask("stop")
        assert await run.end() == 0
    assert run.summary["ends_because"] is None


async def test_whoever_cannot_conclude_is_made_to_save_and_stop(tmp_path: Path) -> None:
    workers = {"learner": {"do": "work", "returns": [5.0], "no conclusion": True}}
    async with running(tmp_path, workers, tables=stop(eval_return=4.0)) as run:
        await run.up()
        assert await run.end() == 0
    assert run.summary["state"] == "finished"
    assert run.summary["reason"].startswith("stop.eval_return")
    assert run.summary["last_checkpoint"].endswith("ckpt-1")


async def test_a_rule_that_is_met_after_the_last_step_has_ended_nothing(tmp_path: Path) -> None:
    told = {"do": "work", "returns": [5.0], "steps": 10_000, "at its end": True}
    async with running(tmp_path, {"learner": told}, tables=stop(eval_return=4.0)) as run:
        await run.up()
        assert await run.end() == 0
    assert run.summary["reason"] == "training has reached its last step"
    assert run.summary["ends_because"] is None
    assert run.summary["stop_rules"][0]["met"]
    assert [e["text"] for e in run.events if "training ends" in e["text"]] == []


async def test_training_time_is_what_a_clock_says_less_start_up_and_pauses(tmp_path: Path) -> None:
    async with running(tmp_path, {"learner": WORK}, tables=stop(wall_time_s=1000.0)) as run:
        await run.up()
        unattended = run.supervisor.unattended
        run.supervisor.watch.tick = lambda now: None
        start = unattended._last_tick or 0.0
        unattended.tick(start)  # perhaps there has been none yet
        before = unattended._trained_s

        def trained(at: float) -> float:
            unattended.tick(start + at)
            return unattended._trained_s - before

        assert trained(400.0) == pytest.approx(400.0)
        assert (await run.ask("pause")).ok
        assert trained(5400.0) == pytest.approx(400.0)
        assert (await run.ask("unpause")).ok
        assert trained(5900.0) == pytest.approx(900.0)
        assert unattended.because is None
        trained(6100.0)
        assert await run.end() == 0
    assert run.summary["reason"].startswith("stop.wall_time_s: 1,")


async def test_a_resumed_session_says_what_ended_the_one_before_and_goes_on(tmp_path: Path) -> None:
    """Its history has the evaluation that ended it; that must not end it again."""
    workers = {"learner": {"do": "work", "returns": [5.0]}}
    config = fake_config(workers).model_copy(update=stop(eval_return=4.0))
    folder = fake_folder(tmp_path, config)
    (folder.path / "go").touch()
    assert await asyncio.wait_for(Supervisor(folder, config, plan=FakePlan()).run(), 60) == 0
    worse = {"learner": {"do": "work", "returns": [1.0]}}
    rules = stop(eval_return=4.0, no_improvement_evals=1)  # one is worse than the session before
    quiet = fake_config(worse).model_copy(update=rules)
    again = Supervisor(folder, quiet, plan=FakePlan())
    task = asyncio.ensure_future(again.run())
    while len(again.view.evaluated.made.get("default", [])) < 2:
        await asyncio.sleep(0.01)
    assert again.unattended.because is None
    assert not again.end.done()
    assert again.snapshot().learning.n_evals == 2
    said = [e.text for e in again.journal.events if "ended by stop.eval_return" in e.text]
    assert len(said) == 1
    assert "goes on until one is met again" in said[0]
    again._on_stop_signal("SIGTERM")
    assert await asyncio.wait_for(task, 60) == 0


# ---- commands ----------------------------------------------------------------------------------


async def test_each_event_starts_its_command_and_the_end_waits_for_them(tmp_path: Path) -> None:
    note = 'cat >"$TUITRAIN_EVENT".json; env | grep ^TUITRAIN_ | sort >"$TUITRAIN_EVENT".env'
    commands = hooks(on_eval=note, on_checkpoint=f"sleep 0.2; {note}", on_end=note)
    workers = {"learner": {"do": "work", "returns": [5.0]}}
    tables = commands | stop(eval_return=4.0)
    async with running(tmp_path, workers, tables=tables) as run:
        await run.up()
        assert await run.end() == 0
    told = {
        kind: json.loads((run.folder.path / f"{kind}.json").read_text())
        for kind in ("eval", "checkpoint", "end")
    }
    assert told["eval"]["status"] == "running"
    assert told["eval"]["return"] == told["end"]["return"] == 5.0
    assert told["checkpoint"]["checkpoint"].endswith("ckpt-last")
    assert told["end"]["status"] == "finished"
    assert told["end"]["reason"] == run.summary["reason"]
    env = (run.folder.path / "end.env").read_text()
    assert "TUITRAIN_STATUS=finished\n" in env
    assert "TUITRAIN_RUN_ID" not in env
    assert (run.folder.path / "end.json").stat().st_mtime >= run.folder.summary_json.stat().st_mtime
    assert "hooks.on_end" in (run.folder.logs / "hooks.log").read_text()
    assert not [e for e in run.events if e["level"] != "info"]


@pytest.mark.parametrize("how", ["raise", "raise at start"])
async def test_the_last_command_is_run_when_the_run_has_failed(tmp_path: Path, how: str) -> None:
    command = 'echo "$TUITRAIN_STATUS: $TUITRAIN_REASON" >told'
    workers = {"learner": WORK, "a0": {"do": how}}
    async with running(tmp_path, workers, tables=hooks(on_end=command)) as run:
        if how == "raise":
            await run.up()
        assert await run.end() == 3
    assert (run.folder.path / "told").read_text().startswith("failed: a0 (actor) failed")


@pytest.mark.parametrize("command", [["/no/such/program"], "sleep 600"])
async def test_a_bad_command_is_a_warning_and_nothing_else(tmp_path: Path, command: Any) -> None:
    tables = hooks(on_eval=command, on_checkpoint=command, on_end=command, timeout_s=0.2)
    workers = {"learner": {"do": "work", "returns": [5.0]}}
    async with running(tmp_path, workers, tables=tables | stop(eval_return=4.0)) as run:
        await run.up()
        assert await run.end() == 0
    assert run.summary["state"] == "finished"
    warned = [e["text"] for e in run.events if e["level"] == "warning"]
    for kind in ("eval", "checkpoint", "end"):
        assert sum(text.startswith(f"hooks.on_{kind}: ") for text in warned) == 1
    assert [e for e in run.events if e["level"] == "error"] == []


async def test_a_second_interrupt_does_not_wait_for_the_last_command(tmp_path: Path) -> None:
    command = "echo $$ >pid.new; mv pid.new pid; sleep 600"
    async with running(tmp_path, {"learner": WORK}, tables=hooks(on_end=command)) as run:
        await run.up()
        run.supervisor._on_interrupt()
        while not (run.folder.path / "pid").exists():
            await asyncio.sleep(0.01)
        os.kill(os.getpid(), signal.SIGINT)
        assert await run.end() == 130
    assert gone(int((run.folder.path / "pid").read_text()))
    assert any("not waited for" in e["text"] for e in run.events)
    assert run.summary["state"] == "interrupted"


async def test_who_interrupts_twice_at_once_gets_no_last_command(tmp_path: Path) -> None:
    workers = {"learner": {"do": "deaf to stop"}}
    async with running(tmp_path, workers, tables=hooks(on_end="touch told")) as run:
        await run.up()
        run.supervisor._on_interrupt()
        run.supervisor._on_interrupt()
        assert await run.end() == 130
    assert not (run.folder.path / "told").exists()


def test_commands_end_with_a_supervisor_that_is_killed(tmp_path: Path) -> None:
    command = "sleep 600 & echo $$ $! $PPID >pids.new; mv pids.new pids; wait"
    config = fake_config({"learner": {"do": "work", "returns": [5.0]}})
    folder = fake_folder(tmp_path, config.model_copy(update=hooks(on_eval=command)))
    (folder.path / "go").touch()
    started = Started(folder)
    assert started.up
    pids = folder.path / "pids"
    while not pids.exists():
        assert started.process.poll() is None
    started.process.kill()
    started.end()
    assert all(gone(int(pid)) for pid in pids.read_text().split())
