"""The supervisor as a process: signals, exit codes, readiness, and what it may not import."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

from tests.fake_plan import fake_config, fake_folder
from tests.unit.supervisor.running import Started, gone
from tuitrain.replay import segment
from tuitrain.supervisor.house import house as houses
from tuitrain.supervisor.house import leftovers, marks, runtime

WORK = {"do": "work"}
Start = Callable[..., "Started"]


@pytest.fixture
def start(tmp_path: Path) -> Iterator[Start]:
    started: list[Started] = []

    def begin(workers: dict[str, Any], **deadlines: float) -> Started:
        config = fake_config(workers, **deadlines)
        started.append(Started(fake_folder(tmp_path / str(len(started)), config)))
        return started[-1]

    yield begin
    for item in started:
        if item.process.poll() is None:
            item.process.kill()
        item.process.communicate()
    leftovers.sweep()


def nothing_left(run_id: str) -> bool:
    return (
        segment.list_names(f"tuitrain-{run_id}-") == []
        and not (runtime.root() / run_id).exists()
        and marks.kill_marked(run_id, dry_run=True) == []
    )


@pytest.mark.parametrize(
    ("number", "state", "code"),
    [
        (signal.SIGINT, "interrupted", 130),
        (signal.SIGTERM, "stopped", 0),
        pytest.param(signal.SIGHUP, "stopped", 0, marks=pytest.mark.long),
    ],
)
def test_a_signal_stops_with_a_checkpoint(
    start: Start, number: signal.Signals, state: str, code: int
) -> None:
    run = start({"learner": WORK, "a0": WORK})
    assert run.up
    run.process.send_signal(number)
    returned, lines, err = run.end()
    assert (returned, err) == (code, "")
    assert lines[-1]["kind"] == "summary"
    assert run.summary["state"] == state
    assert run.summary["last_checkpoint"].endswith("ckpt-1")
    assert nothing_left(run.summary["run_id"])


def test_a_second_interrupt_does_not_wait(start: Start) -> None:
    run = start({"learner": {"do": "deaf to stop"}, "a0": WORK}, stop_deadline_s=1000.0)
    assert run.up
    run.process.send_signal(signal.SIGINT)
    assert run.process.stdout is not None
    for line in run.process.stdout:
        if json.loads(line).get("text", "").startswith("stopping"):
            break
    run.process.send_signal(signal.SIGINT)
    returned, _, err = run.end()
    assert (returned, err) == (130, "")
    assert run.summary["last_checkpoint"] is None
    assert nothing_left(run.summary["run_id"])


def test_a_failure_has_exit_code_3_and_is_told_to_the_starter(start: Start) -> None:
    run = start({"learner": WORK, "a0": {"do": "raise at start"}})
    assert not run.up
    assert run.told[-1]["event"] == "failed"
    assert "RuntimeError: cannot build" in run.told[-1]["text"]
    returned, lines, err = run.end()
    assert (returned, err) == (3, "")
    assert any("in behave" in (x.get("data", {}).get("traceback") or "") for x in lines)


@pytest.mark.parametrize("own_session", [False, True])
def test_a_killed_supervisors_guard_leaves_nothing(start: Start, own_session: bool) -> None:
    """Neither workers, one of them stopped, nor what their environments have started and left."""
    child = {"do": "leave a process", "own session": own_session}
    run = start({"learner": WORK, "a0": child})
    assert run.up
    run_id = run.told[-1]["run_id"]
    left = int((run.folder.path / "left.pid").read_text())
    workers = [pid for pid in marks.kill_marked(run_id, dry_run=True) if pid != left]
    assert len(workers) == 2
    guard = run.guard()
    os.kill(workers[0], signal.SIGSTOP)
    run.process.kill()
    run.process.communicate()
    assert all(gone(pid) for pid in [*workers, left, guard])
    assert nothing_left(run_id)


def test_without_its_guard_the_next_command_removes_what_is_left(start: Start) -> None:
    workers = {"learner": WORK, "a0": {"do": "leave a process", "own session": True}}
    run = start(workers)
    assert run.up
    run_id = run.told[-1]["run_id"]
    left = int((run.folder.path / "left.pid").read_text())
    (status,) = [t for t in houses.tenants() if t.run_id == run_id]
    assert status.pid == run.process.pid
    workers_pids = [pid for pid in marks.kill_marked(run_id, dry_run=True) if pid != left]
    assert len(workers_pids) == 2
    run.kill_with_guard()
    assert all(gone(pid) for pid in workers_pids)  # by PDEATHSIG and lifeline, without any sweep
    swept = leftovers.sweep()
    assert swept.run_ids == [run_id]
    assert left in swept.pids
    assert gone(left)
    assert nothing_left(run_id)


def test_a_guard_that_is_killed_is_replaced(start: Start) -> None:
    run = start({"learner": WORK, "a0": {"do": "leave a process", "own session": True}})
    assert run.up
    first = run.guard()
    os.kill(first, signal.SIGKILL)
    assert run.process.stdout is not None
    for line in run.process.stdout:
        if "guard was killed" in json.loads(line).get("text", ""):
            break
    left = int((run.folder.path / "left.pid").read_text())
    second = run.guard()
    assert second != first
    run.process.kill()
    run.process.communicate()
    assert gone(left)
    assert gone(second)
    assert nothing_left(run.told[-1]["run_id"])


def test_the_guard_does_not_outlive_a_run_that_ends_by_itself(start: Start) -> None:
    run = start({"learner": WORK})
    assert run.up
    guard = run.guard()
    run.process.send_signal(signal.SIGTERM)
    assert run.end()[0] == 0
    assert gone(guard)


def test_a_run_cannot_be_started_twice(start: Start) -> None:
    run = start({"learner": WORK})
    assert run.up
    second = Started(run.folder)
    assert second.told[-1]["event"] == "failed"
    returned, _, err = second.end()
    assert returned == 2
    assert "already running" in err
    run.process.send_signal(signal.SIGTERM)
    assert run.end()[0] == 0


def test_a_folder_that_is_no_run_is_refused(tmp_path: Path) -> None:
    done = subprocess.run(
        [sys.executable, "-m", "tuitrain.supervisor", str(tmp_path)],
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == 2
    assert "config.toml" in done.stderr


def test_a_supervisor_imports_neither_torch_nor_textual() -> None:
    program = (
        "import sys; import tuitrain.supervisor.entry, tuitrain.workers.child, "
        "tuitrain.workers.stores, tuitrain.schedules; "
        "print([m for m in ('torch', 'textual', 'gymnasium') if m in sys.modules])"
    )
    done = subprocess.run(
        [sys.executable, "-c", program], capture_output=True, text=True, check=True
    )
    assert done.stdout.strip() == "[]"
