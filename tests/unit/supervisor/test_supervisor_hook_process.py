"""Commands of `[hooks]` as real processes, well and badly behaved; none leaves anything behind."""

from __future__ import annotations

import asyncio
import contextlib
import json
import os
import re
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

import psutil
import pytest

from tests.unit.supervisor.running import gone
from tuitrain.supervisor.hooks import hook_guard
from tuitrain.supervisor.hooks.hook_guard import KEPT_BYTES, LOG_BYTES, Task
from tuitrain.supervisor.hooks.hook_process import HookProcess, trouble

WAIT_S = 60.0


def a_task(folder: Path, command: str | list[str], **changes: Any) -> Task:
    task = Task(
        argv=["/bin/sh", "-c", command] if isinstance(command, str) else command,
        environment={"PATH": os.environ["PATH"], "TUITRAIN_RUN": "r-0001"},
        folder=str(folder),
        text='{"run": "r-0001"}\n',
        title="hooks.on_eval at 5 steps",
        timeout_s=30.0,
        nice=3,
        log_path=str(folder / "hooks.log"),
    )
    task.update(changes)
    return task


@asynccontextmanager
async def started(task: Task) -> AsyncIterator[tuple[HookProcess, asyncio.Future[str | None]]]:
    told: asyncio.Future[str | None] = asyncio.get_running_loop().create_future()
    process = HookProcess(task, told.set_result)
    try:
        yield process, told
    finally:
        process.kill("the test is over")
        await asyncio.wait_for(process.ended.wait(), WAIT_S)


async def run(task: Task) -> str | None:
    """What went wrong, once all of it is gone."""
    async with started(task) as (process, told):
        said = await asyncio.wait_for(told, WAIT_S)
    assert gone(process.pid)
    for other in psutil.process_iter():
        with contextlib.suppress(psutil.Error, ProcessLookupError):
            if os.getpgid(other.pid) == process.pid:
                assert gone(other.pid), other
    return said


def log_of(folder: Path) -> str:
    return (folder / "hooks.log").read_text()


async def test_a_command_gets_facts_folder_stdin_and_low_priority(tmp_path: Path) -> None:
    command = "pwd; echo $TUITRAIN_RUN; cat; nice; ps -o pgid= -p $$ >pgid; echo to stderr >&2"
    assert await run(a_task(tmp_path, command)) is None
    log = log_of(tmp_path)
    nice = os.nice(0) + 3
    said = f'{tmp_path}\nr-0001\n{{"run": "r-0001"}}\n{nice}\nto stderr\n'
    assert said in log
    assert "hooks.on_eval at 5 steps" in log
    assert int((tmp_path / "pgid").read_text()) != os.getpgid(0)


async def test_a_program_with_arguments_needs_no_shell(tmp_path: Path) -> None:
    assert await run(a_task(tmp_path, ["echo", "$HOME; a b"])) is None
    assert "$HOME; a b\n" in log_of(tmp_path)


@pytest.mark.parametrize(
    ("command", "said"),
    [
        ("exit 3", "exit code 3"),
        ("no-such-program-at-all", "exit code 127 (command not found)"),
        (["no-such-program-at-all"], "no-such-program-at-all: No such file or directory"),
        (["/etc/passwd"], "/etc/passwd: Permission denied"),
        ("kill -9 $$", "killed by SIGKILL"),
        ("kill -9 0", "its guard was killed"),
        ("kill -9 $PPID; sleep 60", "its guard was killed"),
    ],
)
async def test_what_went_wrong_is_told(tmp_path: Path, command: str | list[str], said: str) -> None:
    assert str(await run(a_task(tmp_path, command))).startswith(said)


@pytest.mark.parametrize("command", ["sleep 600", "trap '' TERM; sleep 600 & wait; sleep 600"])
async def test_a_command_that_hangs_is_ended(tmp_path: Path, command: str) -> None:
    said = await run(a_task(tmp_path, command, timeout_s=0.3))
    assert said == "took longer than 0.3 s (hooks.timeout_s) and was ended"
    assert "took too long, code" in log_of(tmp_path)


async def test_a_command_that_ends_on_sigterm_may_clean_up(tmp_path: Path) -> None:
    command = "trap 'echo cleaned; exit 0' TERM; echo up; while :; do sleep 0.05; done"
    assert "took longer" in str(await run(a_task(tmp_path, command, timeout_s=0.5)))
    assert "cleaned\n" in log_of(tmp_path)


async def test_a_hundred_megabytes_are_read_and_the_first_of_them_kept(tmp_path: Path) -> None:
    said = await run(a_task(tmp_path, "head -c 100000000 /dev/zero | tr '\\0' x; echo done >end"))
    assert said is None
    assert (tmp_path / "end").exists()  # it was never made to wait
    log = (tmp_path / "hooks.log").read_text()
    assert log.count("x") == pytest.approx(KEPT_BYTES, abs=20)
    assert f"5 steps: {100_000_000 - KEPT_BYTES:,} more bytes were printed" in log


async def test_whose_end_a_line_of_the_log_tells(tmp_path: Path) -> None:
    """Commands of different kinds overlap in it."""
    waits = "until test -e go; do sleep 0.01; done; exit 3"
    async with started(a_task(tmp_path, waits, title="hooks.on_checkpoint at 4 steps")) as (
        _,
        told,
    ):
        assert await run(a_task(tmp_path, "exit 0")) is None
        (tmp_path / "go").touch()
        await asyncio.wait_for(told, WAIT_S)
    assert re.search(r"---- \S+ \S+ hooks\.on_eval at 5 steps: code 0 after", log_of(tmp_path))
    assert re.search(r"---- \S+ \S+ hooks\.on_checkpoint at 4 steps: code 3", log_of(tmp_path))


async def test_a_long_log_is_put_aside(tmp_path: Path) -> None:
    (tmp_path / "hooks.log").write_text("y" * (LOG_BYTES + 1))
    assert await run(a_task(tmp_path, "echo new")) is None
    assert (tmp_path / "hooks.log.1").stat().st_size == LOG_BYTES + 1
    assert "y" not in log_of(tmp_path).replace("eval", "")


async def test_children_that_hold_the_pipe_open_do_not_keep_it_alive(tmp_path: Path) -> None:
    command = "sleep 600 & echo $! >child; echo said"
    assert await run(a_task(tmp_path, command)) is None
    assert gone(int((tmp_path / "child").read_text()))
    assert "said\n" in log_of(tmp_path)


async def test_a_child_of_another_session_that_holds_the_pipe_does_not_matter(
    tmp_path: Path,
) -> None:
    command = "setsid sh -c 'echo $$ >child.new; mv child.new child; exec sleep 600' &"
    command += " while ! [ -e child ]; do sleep 0.02; done"
    try:
        assert await run(a_task(tmp_path, command)) is None
    finally:
        with contextlib.suppress(ProcessLookupError):
            os.kill(int((tmp_path / "child").read_text()), 9)


async def test_a_child_that_is_about_to_leave_the_group_is_waited_for(tmp_path: Path) -> None:
    """`setsid ... &` is in the group until it has begun, which on a busy machine takes a while."""
    when_the_guard_has_seen_the_end = "while ! grep -q 'code 0' hooks.log; do sleep 0.01; done"
    leave = "exec setsid sh -c 'echo $$ >child.new; mv child.new child; exec sleep 600'"
    command = f"( {when_the_guard_has_seen_the_end}; {leave} ) &"
    assert await run(a_task(tmp_path, command)) is None
    async with asyncio.timeout(WAIT_S):
        while not (tmp_path / "child").exists():
            await asyncio.sleep(0.01)
    os.kill(int((tmp_path / "child").read_text()), 9)


async def test_no_room_for_its_log_is_told_and_does_not_stop_it(tmp_path: Path) -> None:
    said = await run(a_task(tmp_path, "echo a; echo b >end", log_path="/dev/full"))
    assert said == "cannot write its log: No space left on device"
    assert (tmp_path / "end").exists()
    missing = str(tmp_path / "no" / "folder" / "hooks.log")
    said = await run(a_task(tmp_path, "exit 4", log_path=missing))
    assert said == "exit code 4; cannot write its log: No such file or directory"


async def test_a_link_in_its_logs_place_leads_nowhere_else(tmp_path: Path) -> None:
    elsewhere = tmp_path / "elsewhere"
    elsewhere.write_text("mine\n")
    (tmp_path / "hooks.log").symlink_to(elsewhere)
    said = await run(a_task(tmp_path, "echo a >end"))
    assert said is not None
    assert said.startswith("cannot write its log: ")
    assert elsewhere.read_text() == "mine\n"
    assert (tmp_path / "end").exists()


async def test_a_command_that_does_not_read_what_it_is_told(tmp_path: Path) -> None:
    assert await run(a_task(tmp_path, "true", text="x" * 1_000_000)) is None


async def test_the_end_of_the_lifeline_is_the_end_of_all(tmp_path: Path) -> None:
    """As when the supervisor is killed: nobody is left to kill guard and command."""
    command = "trap '' TERM; sleep 600 & echo $! >child.new; mv child.new child; wait"
    async with started(a_task(tmp_path, command)) as (process, told):
        while not (tmp_path / "child").exists():
            await asyncio.sleep(0.01)
        os.set_blocking(process._lifeline, False)
        assert process._guard.stdin is not None
        process._guard.stdin.close()
        assert gone(process.pid)
        assert gone(int((tmp_path / "child").read_text()))
        assert await asyncio.wait_for(told, WAIT_S) == "its guard was killed"


async def test_a_guard_that_is_killed_takes_its_command_with_it(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Also where no supervisor is left that would kill the group."""
    monkeypatch.setattr(HookProcess, "_kill_group", lambda self: None)
    command = "echo $$ >pid; kill -9 $PPID; sleep 600"
    async with started(a_task(tmp_path, command)) as (_, told):
        assert await asyncio.wait_for(told, WAIT_S) == "its guard was killed"
    assert gone(int((tmp_path / "pid").read_text()))


async def test_what_a_command_has_started_ends_although_its_guard_was_killed(
    tmp_path: Path,
) -> None:
    command = "sleep 600 & echo $! >child; kill -9 $PPID; sleep 600"
    assert await run(a_task(tmp_path, command)) == "its guard was killed"
    assert gone(int((tmp_path / "child").read_text()))


async def test_a_guard_that_does_not_answer_is_ended(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("tuitrain.supervisor.hooks.hook_process.LATEST_S", 0.0)
    async with started(a_task(tmp_path, "kill -STOP $PPID; sleep 600", timeout_s=1.0)) as (_, told):
        assert await asyncio.wait_for(told, WAIT_S) == "its guard did not answer"


async def test_an_answer_counts_that_was_there_before_it_was_found_late(tmp_path: Path) -> None:
    """After the supervisor was stopped its clock says late first, and only then what has come."""
    async with started(a_task(tmp_path, "true")) as (process, told):
        asyncio.get_running_loop().remove_reader(process._fd)
        assert gone(process.pid)
        process._too_late()
        while not process.ended.is_set():
            process._read()
        assert await asyncio.wait_for(told, WAIT_S) is None


def test_an_answer_that_is_none() -> None:
    good = {"code": 0, "timed_out": False, "error": "", "log_error": ""}
    assert trouble(json.dumps(good).encode(), 1.0) is None
    for told in (b"", b"{", b"[]", b"{}", b"\xff"):
        assert trouble(told, 1.0) == "its guard was killed"


def test_the_guard_needs_the_standard_library_alone() -> None:
    """It is started without site-packages."""
    assert "tuitrain" not in Path(hook_guard.__file__).read_text().split("from __future__")[1]
