"""Workers that fail in every way: each is told of with its cause, and nothing is left behind."""

from __future__ import annotations

import asyncio
import os
import re
import signal
import time
from pathlib import Path
from typing import Any

import pytest

from tests.fake_plan import FakePlan
from tests.unit.supervisor.running import Run, gone, running, together
from tuitrain.replay import segment
from tuitrain.supervisor.clients.console import summary_lines
from tuitrain.supervisor.crew import log_size
from tuitrain.supervisor.crew.liveness import Liveness
from tuitrain.supervisor.crew.memory import Kills
from tuitrain.supervisor.ending import End

WORK = {"do": "work"}


ENDS = {
    "raise": "exit code 1: ValueError",
    "exit 0": "exit code 0 without having been told to stop",
    "SIGKILL": "killed by SIGKILL",
    "SIGSEGV": "killed by SIGSEGV",
}
QUICK = {("raise", "learner"), ("raise", "a0"), ("exit 0", "eval"), ("SIGKILL", "eval"),
         ("SIGSEGV", "a0")}  # fmt: skip
"""Every end, and everybody's; of the others most are long."""


@pytest.mark.parametrize(
    ("do", "who"),
    [
        pytest.param(do, who, marks=() if (do, who) in QUICK else pytest.mark.long)
        for do in ENDS
        for who in ("learner", "a0", "eval")
    ],
)
async def test_a_failing_worker_is_named_with_its_cause(tmp_path: Path, do: str, who: str) -> None:
    workers: dict[str, Any] = {"learner": WORK, "a0": WORK, "eval": WORK, who: {"do": do}}
    async with running(tmp_path, workers) as run:
        await run.up()
        assert await run.end() == 3
        assert run.summary["state"] == "failed"
        failure = run.summary["failure"]
        assert failure["worker"] == who
        event = next(e for e in run.events if e["level"] == "error")
        assert event["source"] == who
        assert ENDS[do] in event["text"]
        assert event["data"]["log"][0] == f"{who} will {do}"
        if do == "raise":
            assert "in fault" in failure["traceback"]
        if do == "SIGSEGV":
            assert any("in fault" in line for line in failure["log"])
        if who != "learner":
            # The others were asked to stop, and the learner saved.
            assert run.summary["last_checkpoint"].endswith("ckpt-1")
            assert sum(e["level"] == "error" for e in run.events) == 2  # cause and end


async def test_a_refusal_is_told_once_and_its_traceback_is_in_the_log_only(tmp_path: Path) -> None:
    async with running(tmp_path, {"learner": WORK, "a0": {"do": "refuse"}}) as run:
        await run.up()
        assert await run.end() == 3
        told = [e for e in run.events if "ValueError: the reason" in e["text"]]
        assert [e["source"] for e in told] == ["a0"]
        assert told[0]["data"]["traceback"] == ""
        assert told[0]["data"]["error_type"] == "ValueError"
        assert "ValueError: the reason" in told[0]["data"]["log"]
        ends = [e["text"] for e in run.events if e["text"].startswith(("stopping: ", "failed: "))]
        brief = "a0 (actor) failed, exit code 1: ValueError"
        assert ends == [f"stopping: {brief}", f"failed: {brief}"]
        assert run.summary["reason"] == run.summary["cause"] == f"{brief}: the reason"


@pytest.mark.parametrize("do", ["raise without streams", "raise unencodable"])
async def test_a_failure_is_told_whatever_state_the_process_is_in(tmp_path: Path, do: str) -> None:
    async with running(tmp_path, {"learner": WORK, "a0": {"do": do}}) as run:
        await run.up()
        assert await run.end() == 3
        assert "exit code 1: ValueError: the reason" in run.summary["reason"]
        assert run.summary["failure"]["traceback"]


async def test_a_thread_that_an_environment_leaves_holds_nothing_up(tmp_path: Path) -> None:
    async with running(tmp_path, {"learner": WORK, "a0": {"do": "leave a thread"}}) as run:
        await run.up()
        await run.event("a thread is left")
        assert (await run.ask("stop")).ok
        assert await run.end() == 0
        assert not any("did not stop" in e["text"] for e in run.events)


async def test_numbers_that_are_not_finite_are_told_at_the_end(tmp_path: Path) -> None:
    async with running(tmp_path, {"learner": {"do": "lose its numbers"}, "a0": WORK}) as run:
        await run.up()
        assert await run.end() == 0
        (raised,) = run.summary["raised_checks"]
        assert (raised["check"], raised["state"], raised["value"]) == ("non_finite", "fail", "2")
        assert any("CHECK FAILED non-finite 2: " in line for line in summary_lines(run.summary))


async def test_the_report_comes_within_a_second(tmp_path: Path) -> None:
    workers = {"learner": WORK, "a0": {"do": "work"}}
    async with running(tmp_path, workers) as run:
        await run.up()
        os.kill(run.pid("a0"), signal.SIGKILL)
        # The watcher must report it, not a deadline: those are minutes away.
        event = await asyncio.wait_for(run.event("a0 (actor) failed"), 5.0)
        assert event.data["exit_code"] == -signal.SIGKILL
        assert await run.end() == 3


async def test_a_stopped_worker_is_judged_by_its_progress_and_killed(tmp_path: Path) -> None:
    workers = {"learner": WORK, "a0": WORK}
    async with running(tmp_path, workers) as run:
        await run.up()
        life(run, "a0").progress_deadline_s = 1.0
        os.kill(run.pid("a0"), signal.SIGSTOP)
        assert await run.end() == 3
        assert "a0 (actor) failed, hung: no progress for" in run.summary["reason"]


async def test_a_worker_that_hangs_is_killed(tmp_path: Path) -> None:
    workers = {"learner": WORK, "a0": {"do": "hang"}}
    async with running(tmp_path, workers) as run:
        await run.up()
        life(run, "a0").progress_deadline_s = 1.0
        assert await run.end() == 3
        assert run.summary["failure"]["worker"] == "a0"
        assert "hung" in run.summary["failure"]["how"]


async def test_a_worker_that_grows_over_its_limit_is_killed_and_told(tmp_path: Path) -> None:
    # a limit that any Python process passes
    async with running(tmp_path, {"learner": WORK, "a0": WORK}, worker_memory_limit_mib=1) as run:
        assert await run.end() == 3
        assert re.search(
            r"grew to \d+ MiB, over supervisor.worker_memory_limit_mib = 1", run.summary["reason"]
        )


async def test_a_kill_by_the_kernel_is_told_as_one(tmp_path: Path) -> None:
    async with running(tmp_path, {"learner": WORK, "a0": WORK}) as run:
        await run.up()
        kernel = tmp_path / "vmstat"
        kernel.write_text("oom_kill 3\n")
        kills = Kills("", tmp_path, kernel)
        kills.look(time.monotonic())
        run.supervisor.crew.judged_by.kills = kills
        kernel.write_text("oom_kill 4\n")
        os.kill(run.pid("a0"), signal.SIGKILL)
        assert await run.end() == 3
        assert "killed by SIGKILL (most likely out of memory" in run.summary["reason"]


async def test_who_prints_without_end_has_a_log_of_two_ends(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    cut = log_size.cut

    def cut_short(path: Path) -> int:
        return cut(path, max_bytes=5, kept_bytes=5) if path.name == "a0.log" else 0

    monkeypatch.setattr(log_size, "cut", cut_short)
    async with running(tmp_path, {"learner": WORK, "a0": WORK}) as run:
        await run.up()
        told = await run.event("only the beginning and the end are kept")
        assert (told.level, told.source) == ("warning", "a0")
        await run.ask("stop")
        assert await run.end() == 0
        assert "are left out here" in (run.folder.logs / "a0.log").read_text()
        assert sum("only the beginning" in e["text"] for e in run.events) == 1


async def test_one_waiting_worker_is_healthy(tmp_path: Path) -> None:
    workers = {"learner": WORK, "a0": {"do": "wait"}}
    async with running(tmp_path, workers) as run:
        await run.up()
        life(run, "a0").progress_deadline_s = 0.8
        worker = run.supervisor.crew.workers["a0"]
        assert worker.life.progress_at is not None
        while (worker.life.progress_age(worker.life.beat_at or 0.0) or 0.0) < 1.2:
            assert not run.task.done()
            await asyncio.sleep(0.02)
        assert worker.view.wait == "a miracle"
        await run.ask("stop")
        assert await run.end() == 0


async def test_all_waiting_for_each_other_is_reported_as_a_standstill(tmp_path: Path) -> None:
    workers = {"learner": {"do": "wait"}, "a0": {"do": "wait"}}
    async with running(tmp_path, workers) as run:
        await run.up()
        run.supervisor.watch._standstill.deadline_s = 1.0
        assert await run.end() == 3
        assert "standstill" in run.summary["reason"]
        assert any("a0 waits for a miracle" in e["text"] for e in run.events)


async def test_a_worker_that_cannot_be_built_fails_the_start(tmp_path: Path) -> None:
    workers = {"learner": WORK, "a0": {"do": "raise at start"}}
    async with running(tmp_path, workers) as run:
        assert await run.end() == 3
        assert run.told.problem is not None
        assert run.told.problem.startswith(
            "a0 (actor) failed, exit code 1: RuntimeError: cannot build"
        )
        assert run.summary["last_checkpoint"] is None


async def test_a_failing_probe_fails_the_start(tmp_path: Path) -> None:
    workers = {"learner": WORK, "probe": {"do": "raise at start"}}
    async with running(tmp_path, workers) as run:
        assert await run.end() == 3
        assert "probe (probe) failed" in (run.told.problem or "")
        assert "learner" not in run.supervisor.crew.workers


@pytest.mark.parametrize("schedule", ["async", "lockstep"])
async def test_a_probe_that_dies_after_it_has_reported_fails_the_start(
    tmp_path: Path, schedule: str
) -> None:
    workers = {"learner": WORK, "probe": {"do": "die after ready"}}
    tables = together(workers) if schedule == "lockstep" else None
    async with running(tmp_path, workers, tables=tables, max_restarts=5) as run:
        assert await run.end() == 3
        assert run.summary["reason"].startswith("probe (probe) failed, exit code 3")
        assert len(run.summary["deaths"]) == 1


async def test_a_worker_that_never_gets_ready_is_late(tmp_path: Path) -> None:
    workers = {"learner": WORK, "a0": {"do": "never ready"}}
    async with running(tmp_path, workers) as run:
        await run.event("starts")
        crew = run.supervisor.crew.workers
        while not ("learner" in crew and crew["learner"].life.ready):
            await asyncio.sleep(0.02)
        life(run, "a0").startup_deadline_s = 1.0
        assert await run.end() == 3
        assert "a0 (actor) failed, not ready within 1 s" in run.summary["reason"]


async def test_a_run_that_is_stopped_before_it_is_up_has_nothing_to_save(tmp_path: Path) -> None:
    workers = {"learner": {"do": "asleep at start"}}
    async with running(tmp_path, workers, stop_deadline_s=0.2) as run:
        await run.event("starts")
        run.supervisor._on_stop_signal("SIGTERM")
        assert await run.end() == 0


async def test_a_signal_that_comes_too_late_promises_no_checkpoint(tmp_path: Path) -> None:
    async with running(tmp_path, {"learner": WORK}) as run:
        await run.up()
        run.supervisor._on_interrupt()
        run.supervisor._on_interrupt()
        run.supervisor._on_stop_signal("SIGTERM")
        run.supervisor._on_stop_signal("SIGHUP")
        assert await run.end() == 130
    assert not [e["text"] for e in run.events if e["text"].startswith("SIG")]


async def test_another_environment_in_one_worker_is_refused(tmp_path: Path) -> None:
    workers = {"learner": WORK, "a0": {"do": "work", "spec_hash": "another"}}
    async with running(tmp_path, workers) as run:
        assert await run.end() == 3
        assert "a0 built another environment" in run.summary["reason"]


async def test_memory_that_cannot_be_reserved_fails_the_start(tmp_path: Path) -> None:
    class Full(FakePlan):
        def create_stores(self, blueprint: Any) -> Any:
            super().create_stores(blueprint)
            raise OSError(28, "needed 4 GiB, free 64 MiB: docker run --shm-size")

    async with running(tmp_path, {"learner": WORK}, Full()) as run:
        assert await run.end() == 3
        assert "--shm-size" in (run.told.problem or "")
        assert "--shm-size" in run.summary["reason"]


async def test_an_error_in_the_cleaning_itself_leaves_no_shared_memory(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def broken() -> None:
        raise RuntimeError("the cleaning is broken")

    async with running(tmp_path, {"learner": WORK}) as run:
        await run.up()
        monkeypatch.setattr(run.supervisor.crew, "close", broken)
        run.supervisor.request_end(End("stopped", "killed by its user", hard=True))
        with pytest.raises(RuntimeError, match="the cleaning is broken"):
            await run.end()
        run.assert_nothing_left()
        monkeypatch.undo()  # what a process's end would close
        run.supervisor.crew.close()
        await run.supervisor.server.close()


async def test_what_an_earlier_session_left_in_shared_memory_is_in_nobodys_way(
    tmp_path: Path,
) -> None:
    async with running(tmp_path, {"learner": WORK}) as run:
        left = segment.create(f"tuitrain-{run.supervisor.run_id}-fake", 64, bytes(32))
        await run.up()
        left.close()
        await run.ask("stop")
        assert await run.end() == 0


@pytest.mark.parametrize("own_session", [False, True])
async def test_what_an_environment_started_dies_with_the_run(
    tmp_path: Path, own_session: bool
) -> None:
    workers = {"learner": WORK, "a0": {"do": "leave a process", "own session": own_session}}
    async with running(tmp_path, workers) as run:
        await run.up()
        pid = int((run.folder.path / "left.pid").read_text())
        assert not gone_now(pid)
        await run.ask("stop")
        assert await run.end() == 0
        assert gone(pid)


async def test_unreadable_messages_are_told_and_survived(tmp_path: Path) -> None:
    async with running(tmp_path, {"learner": WORK, "a0": {"do": "say nonsense"}}) as run:
        await run.up()
        event = await run.event("unreadable message")
        assert event.source == "a0"
        await run.ask("stop")
        assert await run.end() == 0


async def test_an_error_in_the_supervisor_itself_ends_the_run_cleanly(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    async with running(tmp_path, {"learner": WORK, "a0": WORK}) as run:
        await run.up()

        def broken(_: float) -> None:
            raise ZeroDivisionError("a bug")

        monkeypatch.setattr(run.supervisor.crew, "judge", broken)
        assert await run.end() == 3
        assert "ZeroDivisionError: a bug" in run.summary["reason"]


async def test_an_error_in_a_callback_of_the_loop_ends_the_run_cleanly(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    async with running(tmp_path, {"learner": WORK, "a0": WORK}) as run:
        await run.up()
        view = run.supervisor.crew.workers["a0"].view
        monkeypatch.setattr(view, "on_heartbeat", lambda *_: 1 / 0)
        assert await run.end() == 3
        assert "ZeroDivisionError" in run.summary["reason"]


async def test_a_gap_of_the_supervisor_is_not_held_against_the_workers(tmp_path: Path) -> None:
    workers = {"learner": WORK, "a0": {"do": "wait"}}
    async with running(tmp_path, workers, progress_deadline_s=50.0) as run:
        await run.up()
        supervisor = run.supervisor
        clock, ahead = supervisor.clock, 0.0
        supervisor.clock = lambda: clock() + ahead
        supervisor.crew._clock = supervisor.clock
        ahead = 600.0  # as if it had been stopped for ten minutes
        await run.event("did not run for 600")
        assert supervisor.failure is None
        await run.ask("stop")
        assert await run.end() == 0


def life(run: Run, name: str) -> Liveness:
    """One worker's deadlines: shortened for it alone, so that a busy machine fails no other."""
    return run.supervisor.crew.workers[name].life


def gone_now(pid: int) -> bool:
    return not Path(f"/proc/{pid}").exists()
