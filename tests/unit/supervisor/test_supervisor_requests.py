"""Commands of clients, carried out by workers that answer, answer wrongly, or do not answer."""

from __future__ import annotations

import asyncio
import os
import signal
from pathlib import Path
from typing import Any

import pytest

from tests.unit.supervisor.running import running, until, worker
from tuitrain.checkpoint.pruning import kept_mark
from tuitrain.protocol import Hello, Reply, Request, Snapshot, decode_to_client, encode
from tuitrain.supervisor.checkpoint_clock import CheckpointClock
from tuitrain.supervisor.clients.commands import Outcome

WORK = {"do": "work"}
TEAM: dict[str, Any] = {"learner": WORK, "a0": WORK, "a1": WORK}


async def test_pause_is_answered_when_all_hold_and_unpause_when_all_go_on(tmp_path: Path) -> None:
    async with running(tmp_path, TEAM) as run:
        await run.up()
        reply = await run.ask("pause")
        assert reply.ok
        assert set(reply.result["answers"]) == {"learner", "a0", "a1"}
        assert run.supervisor.snapshot().state == "paused"
        # An acknowledged pause holds: whatever still comes reports no more work.
        seen = {n: w.life.progress for n, w in run.supervisor.crew.workers.items()}
        beats = {n: w.life.beat_at for n, w in run.supervisor.crew.workers.items()}
        while any(w.life.beat_at == beats[n] for n, w in run.supervisor.crew.workers.items()):
            await asyncio.sleep(0.02)
        beats = {n: w.life.beat_at for n, w in run.supervisor.crew.workers.items()}
        seen = {n: w.life.progress for n, w in run.supervisor.crew.workers.items()}
        while any(w.life.beat_at == beats[n] for n, w in run.supervisor.crew.workers.items()):
            await asyncio.sleep(0.02)
        assert {n: w.life.progress for n, w in run.supervisor.crew.workers.items()} == seen
        assert {w.view.state for w in run.supervisor.crew.workers.values()} == {"paused"}
        made = await run.ask("checkpoint")
        assert made.ok
        assert kept_mark(Path(made.result["path"])).exists(), "who has asked for it may keep it"
        assert (await run.event("ckpt-1")).text == f"checkpoint {made.result['path']}"
        assert (await run.ask("unpause")).ok
        assert run.supervisor.snapshot().state == "running"
        await run.ask("stop")
        assert await run.end() == 0


async def test_the_deadline_of_a_command_names_who_has_not_answered(tmp_path: Path) -> None:
    workers = {"learner": WORK, "a0": WORK, "a1": {"do": "deaf to pause"}}
    async with running(tmp_path, workers, stop_deadline_s=1.0) as run:
        await run.up()
        reply = await run.ask("pause", timeout_s=1.0)
        assert not reply.ok
        assert reply.result["missing"] == ["a1"]
        assert "2 of 3 workers hold; no answer from a1 within 1 s" in reply.message
        assert run.supervisor.snapshot().state == "running"
        await run.ask("stop")
        assert await run.end() == 0  # an actor that must be killed does not spoil the run
        (late,) = [e for e in run.events if "a1 did not stop within 1 s" in e["text"]]
        assert "s (supervisor.stop_deadline_s): fake_workers.py:" in late["text"]
        assert late["text"].endswith(" in _for_ever: killed")


async def test_a_pause_that_was_answered_before_all_held_is_one_when_they_do(
    tmp_path: Path,
) -> None:
    async with running(tmp_path, TEAM) as run:
        await run.up()
        os.kill(run.pid("a1"), signal.SIGSTOP)  # in real life: a long step, a large checkpoint
        try:
            reply = await run.ask("pause", timeout_s=0.5)
            assert not reply.ok
            assert reply.message.endswith("a1 within 0.5 s; the run is paused once all hold")
            assert run.supervisor.snapshot().state == "running"
        finally:
            os.kill(run.pid("a1"), signal.SIGCONT)
        await run.event("paused: all 3 workers hold now")
        assert run.supervisor.snapshot().state == "paused"
        assert (await run.ask("unpause")).ok
        assert run.supervisor.snapshot().state == "running"
        assert (await run.ask("kill")).ok
        assert await run.end() == 0


@pytest.mark.parametrize("then", ["unpause", "SIGKILL"])
async def test_whom_a_pause_waits_for_may_be_let_go_or_die(tmp_path: Path, then: str) -> None:
    async with running(tmp_path, TEAM, max_restarts=1) as run:
        await run.up()
        os.kill(run.pid("a1"), signal.SIGSTOP)
        assert not (await run.ask("pause", timeout_s=0.5)).ok
        if then == "SIGKILL":
            os.kill(run.pid("a1"), signal.SIGKILL)
            await run.event("workers hold now")
            await run.event("a1 is back")
            await until(run, lambda: worker(run, "a1").view.state == "paused")
            assert run.supervisor.snapshot().state == "paused"
            assert (await run.ask("unpause")).ok
        else:
            assert not (await run.ask("unpause", timeout_s=0.5)).ok
            os.kill(run.pid("a1"), signal.SIGCONT)
        steps = worker(run, "a1").view.progress
        await until(run, lambda: worker(run, "a1").view.progress > steps + 100)
        assert run.supervisor.snapshot().state == "running"
        assert (await run.ask("kill")).ok
        assert await run.end() == 0


async def test_resync_compares_what_workers_hold(tmp_path: Path) -> None:
    async with running(tmp_path, TEAM) as run:
        await run.up()
        reply = await run.ask("resync")
        assert reply.ok
        assert "compared 3 workers: equal versions are equal bytes" in reply.message
        assert (await run.event("resync: ")).data["mark"] == "resync"
        check = {c.id: c for c in run.supervisor.snapshot().checks}["weights_hash"]
        assert check.state == "ok"
        await run.ask("kill")
        assert await run.end() == 0


async def test_resync_finds_other_bytes_under_one_version(tmp_path: Path) -> None:
    workers = {**TEAM, "a1": {"do": "work", "sha256": "bb"}}
    async with running(tmp_path, workers) as run:
        await run.up()
        reply = await run.ask("resync")
        assert not reply.ok
        assert "DIFFERENT BYTES" in reply.message
        check = {c.id: c for c in run.supervisor.snapshot().checks}["weights_hash"]
        assert check.state == "fail"
        await run.ask("kill")
        assert await run.end() == 0


async def test_stop_saves_and_is_answered_when_the_run_has_ended(tmp_path: Path) -> None:
    async with running(tmp_path, TEAM) as run:
        await run.up()
        reply = await run.ask("stop")
        assert reply.ok
        assert reply.result["checkpoint"].endswith("ckpt-1")
        assert run.folder.summary_json.exists()
        assert await run.end() == 0
        assert run.summary["state"] == "stopped"


async def test_stop_without_checkpoint_and_kill_do_not_save(tmp_path: Path) -> None:
    async with running(tmp_path / "1", TEAM) as run:
        await run.up()
        await run.ask("stop", checkpoint=False)
        assert await run.end() == 0
        assert run.summary["last_checkpoint"] is None
    async with running(tmp_path / "2", {**TEAM, "a0": {"do": "deaf to stop"}}) as run:
        await run.up()
        reply = await run.ask("kill")
        assert reply.ok
        assert await run.end() == 0
        assert run.summary["reason"] == "killed by its user"
        assert run.summary["last_checkpoint"] is None


@pytest.mark.parametrize("fault", ["deaf", "disk full"])
async def test_a_stop_that_could_not_save_is_a_failure(tmp_path: Path, fault: str) -> None:
    learner = {"do": "deaf to stop"} if fault == "deaf" else {"do": "work", "disk full": True}
    async with running(tmp_path, {"learner": learner, "a0": WORK}, stop_deadline_s=1.0) as run:
        await run.up()
        reply = await run.ask("stop")
        assert not reply.ok
        assert await run.end() == 3
        wanted = "killed before it had saved" if fault == "deaf" else "No space left"
        assert wanted in run.summary["reason"]
        assert wanted in reply.message


async def test_a_stop_that_could_not_save_does_not_pass_an_earlier_checkpoint_for_its_own(
    tmp_path: Path,
) -> None:
    workers = {"learner": {"do": "deaf to stop"}, "a0": WORK}
    async with running(tmp_path, workers, stop_deadline_s=1.0) as run:
        await run.up()
        path = (await run.ask("checkpoint")).result["path"]
        reply = await run.ask("stop")
        assert reply.message.startswith("failed: ")
        assert reply.message.endswith(f", last checkpoint {path}")
        assert await run.end() == 3


async def test_checkpoints_are_made_periodically_and_failures_told(tmp_path: Path) -> None:
    async with running(tmp_path, {"learner": {"do": "work", "disk full": True}}) as run:
        await run.up()
        run.supervisor.requests.periodic_checkpoint(CheckpointClock(60.0, None, 0.0, 0))
        event = await run.event("no checkpoint was written")
        assert "No space left" in event.text
        reply = await run.ask("checkpoint")
        assert not reply.ok
        await run.ask("kill")
        assert await run.end() == 0


async def test_a_failed_one_is_tried_again_soon(tmp_path: Path) -> None:
    clock = CheckpointClock(60.0, None, 0.0, 0)
    async with running(tmp_path, {"learner": {"do": "work", "disk full": True}}) as run:
        await run.up()
        run.supervisor.requests.periodic_checkpoint(clock)
        assert "tried again in 10 s" in (await run.event("no checkpoint was written")).text
        assert clock.due(run.supervisor.clock() + 10.0, 0)
        await run.ask("kill")
        assert await run.end() == 0


async def test_a_checkpoint_that_is_asked_for_waits_for_the_one_under_way(tmp_path: Path) -> None:
    """So both are answered with theirs."""
    async with running(tmp_path, {"learner": WORK}) as run:
        await run.up()
        saves = run.supervisor.requests._saves
        under_way: asyncio.Future[Outcome] = asyncio.get_running_loop().create_future()
        under_way.add_done_callback(saves.discard)
        saves.add(under_way)
        asked = asyncio.ensure_future(run.ask("checkpoint"))
        assert (await run.ask("resync")).ok
        assert not asked.done()
        assert not (run.folder.checkpoints / "ckpt-1").exists()
        under_way.set_result(Outcome("checkpoint", 1.0))
        assert (await asked).ok
        await run.ask("kill")
        assert await run.end() == 0


async def test_evaluate_without_an_evaluator_says_so(tmp_path: Path) -> None:
    async with running(tmp_path, TEAM) as run:
        await run.up()
        reply = await run.ask("evaluate")
        assert not reply.ok
        assert "no evaluator" in reply.message
        await run.ask("kill")
        assert await run.end() == 0


async def test_evaluate_is_not_waited_for_in_a_pause(tmp_path: Path) -> None:
    async with running(tmp_path, {**TEAM, "eval": WORK}) as run:
        await run.up()
        assert (await run.ask("pause")).ok
        reply = await run.ask("evaluate")
        assert not reply.ok
        assert "tuitrain unpause" in reply.message
        assert (await run.ask("unpause")).ok
        assert (await run.ask("evaluate")).ok
        await run.ask("kill")
        assert await run.end() == 0


async def test_evaluate_is_answered_with_the_evaluation_asked_for(tmp_path: Path) -> None:
    async with running(tmp_path, {**TEAM, "eval": WORK}) as run:
        await run.up()
        # The evaluator is busy, so the first result belongs to the evaluation under way.
        reply = await run.ask("evaluate")
        assert reply.ok
        assert [r["version"] for r in reply.result["records"]] == [7]
        assert "default v7: return 2" in reply.message
        await run.ask("kill")
        assert await run.end() == 0


async def test_a_finished_run_keeps_results_records_and_fingerprint(tmp_path: Path) -> None:
    workers = {"learner": {"do": "finish"}, "a0": WORK, "eval": {"do": "finish"}}
    async with running(tmp_path, workers) as run:
        await run.up()
        assert await run.end() == 0
        assert run.summary["state"] == "finished"
        assert run.summary["last_checkpoint"] == "/a/checkpoint"
        assert run.summary["fingerprint"] == {"default": "ff"}
        lines = run.folder.metrics_jsonl.read_text().splitlines()
        assert any('"kind":"train"' in line and '"wall_s"' in line for line in lines)


async def test_the_run_waits_for_the_evaluator_to_finish(tmp_path: Path) -> None:
    workers = {"learner": {"do": "finish"}, "a0": WORK, "eval": WORK}
    async with running(tmp_path, workers) as run:
        await run.up()
        while run.supervisor.crew.workers["learner"].finished is None:
            await asyncio.sleep(0.02)
        await run.ask("resync")
        assert not run.task.done()
        await run.ask("stop")
        assert await run.end() == 0


async def test_over_the_socket_a_client_sees_the_run_and_its_end(tmp_path: Path) -> None:
    async with running(tmp_path, TEAM) as run:
        await run.up()
        reader, writer = await asyncio.open_unix_connection(str(run.supervisor.house.socket_path))
        writer.write(encode(Request(id=1, command="subscribe")))
        writer.write(encode(Request(id=2, command="status")))
        writer.write(encode(Request(id=3, command="stop")))
        lines = [decode_to_client(line) async for line in reader]
        assert isinstance(lines[0], Hello)
        replies = {line.id: line for line in lines if isinstance(line, Reply)}
        assert replies[2].result["snapshot"]["processes"][0]["name"] == "learner"
        assert replies[3].ok
        states = [line.state for line in lines if isinstance(line, Snapshot)]
        assert states[-1] == "stopped"
        assert await run.end() == 0
        writer.close()


def sharing(second: list[str]) -> dict[str, Any]:
    """Two learners; the first holds the one policy, the second these."""
    return {
        "learner0": {**WORK, "part": ["default"]},
        "learner1": {**WORK, "part": second},
        "a0": WORK,
    }


async def test_parts_of_a_checkpoint_are_joined_when_all_have_answered(tmp_path: Path) -> None:
    async with running(tmp_path, sharing([])) as run:
        await run.up()
        reply = await run.ask("checkpoint")
        assert reply.ok
        assert reply.result["path"].endswith("ckpt-0000000005.json")
        assert Path(reply.result["path"]).is_file()
        reply = await run.ask("stop")
        assert reply.ok
        assert await run.end() == 0
        assert run.summary["last_checkpoint"].endswith(".json")


async def test_what_is_no_checkpoint_takes_no_room_from_the_next(tmp_path: Path) -> None:
    """Parts that were not joined go at once, what killed writers left before the next save."""
    async with running(tmp_path, sharing(["default"])) as run:
        await run.up()
        folder = run.folder.checkpoints
        (folder / f".0000-00000000-learner9.{2**30}.tmp").touch()
        (folder / "0000-00000000-learner9.part").touch()
        assert not (await run.ask("checkpoint")).ok
        assert not list(folder.iterdir())
        (folder / "0000-00000000-learner9.part").touch()
        assert (await run.ask("kill")).ok
        assert await run.end() == 0
        assert not list(folder.iterdir())


async def test_a_save_spares_what_is_written_at_the_end(tmp_path: Path) -> None:
    """Learners and actors have saved and wait, say for the last evaluation; then a save is due."""
    async with running(tmp_path, sharing([])) as run:
        await run.up()
        saved = run.folder.checkpoints / "0000-end-learner9.part"
        half = run.folder.checkpoints / ".0000-end-a9.state.123.tmp"
        for path in (saved, half):
            path.touch()
        assert (await run.ask("checkpoint")).ok
        assert saved.exists()
        assert half.exists()
        await run.ask("kill")
        assert await run.end() == 0
        assert not saved.exists()
        assert not half.exists()


async def test_a_sweep_waits_until_nobody_writes(tmp_path: Path) -> None:
    async with running(tmp_path, sharing([])) as run:
        await run.up()
        run.supervisor.requests.periodic_checkpoint(CheckpointClock(60.0, None, 0.0, 0))
        under_way = run.folder.checkpoints / "0000-00000001-learner9.part"
        under_way.touch()
        await run.supervisor.requests.save(60.0)
        assert under_way.exists()
        await run.ask("kill")
        assert await run.end() == 0


async def test_parts_that_are_no_checkpoint_are_a_failure(tmp_path: Path) -> None:
    async with running(tmp_path, sharing(["default"])) as run:
        await run.up()
        reply = await run.ask("checkpoint")
        assert not reply.ok
        assert "no checkpoint: parts of a checkpoint hold default, default" in reply.message
        reply = await run.ask("stop")
        assert not reply.ok
        assert await run.end() == 3
        assert "could not be saved: parts of a checkpoint hold" in run.summary["reason"]
        assert run.summary["last_checkpoint"] is None


async def test_what_a_failed_learner_kept_from_being_saved_is_told_once(tmp_path: Path) -> None:
    workers = sharing(["other"]) | {"learner0": {"do": "raise", "part": ["default"]}}
    async with running(tmp_path, workers) as run:
        await run.up()
        (run.folder.path / "go").touch()
        assert await run.end() == 3
        told = [e["text"] for e in run.events if "parts of a checkpoint hold" in e["text"]]
        assert len(told) == 1
        assert not list(run.folder.checkpoints.iterdir())
