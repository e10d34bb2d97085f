"""Who looks on disturbs nobody: screens that are not read, stopped or killed, clients gone deaf.

What that costs in steps per second is measured by `benchmarks/watchers.py`.
"""

from __future__ import annotations

import json
import os
import signal
import socket
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from pathlib import Path
from typing import Any

import pytest

from benchmarks.terminal import Terminal
from benchmarks.watchers import ANSWER_LIMIT_S, CLIENTS, look
from tests.e2e.harness import FOREVER, THINGS, TUITRAIN, Place, Run
from tests.sites import DEADLINE_S, eventually
from tuitrain.protocol import Request, encode

UNREAD_S = 30.0


def screen(place: Place, *command: str) -> Terminal:
    """A command in a terminal of its own."""
    environment = place.environment | {"TUITRAIN_RUNS_DIR": str(place.root / "runs"),
                                       "TERM": "xterm-256color"}  # fmt: skip
    del environment["COLUMNS"]  # it would go before the terminal's own width
    return Terminal([*TUITRAIN, *command], 120, 40, environment)


def answers(terminal: Terminal) -> None:
    """Wait until a key is answered."""
    terminal.press(b"g")
    terminal.wait_for("y axis: ", DEADLINE_S)


def socket_path(run: Run) -> Path:
    return Path(run.read("runtime.json")["socket_path"])


def trained_on(run: Run, before: dict[str, Any]) -> None:
    """Wait for updates and snapshots beyond these, and for an answer of every worker."""
    run.learned(before["policies"][0]["updates"] + 50)
    eventually(lambda: run.snapshot()["seq"] > before["seq"] + 4, "more snapshots")
    assert run.ask("resync").ok


def in_order(run: Run, before: dict[str, Any]) -> None:
    """Nobody has died, and nothing has failed."""
    now = {name: worker["pid"] for name, worker in run.workers().items()}
    assert now == {worker["name"]: worker["pid"] for worker in before["processes"]}
    assert run.snapshot()["supervisor_pid"] == before["supervisor_pid"]
    assert not [event for event in run.events() if event["level"] == "error"]


@contextmanager
def unread(place: Place) -> Iterator[tuple[Run, Terminal]]:
    """A run that was launched in a terminal which takes no more, and its screen there."""
    config = place.config(
        run={"total_steps": FOREVER, "schedule": "sequential"}, env={"id": f"{THINGS}:Slow"}
    )
    with screen(place, "launch", str(config)) as terminal:
        terminal.wait_for("RUNNING", DEADLINE_S)
        (run,) = place.runs()
        run.learned()
        terminal.fill()
        yield run, terminal
    place.tuitrain("stop")


@pytest.mark.long
def test_a_terminal_that_nobody_reads_holds_up_its_screen_alone(place: Place) -> None:
    with unread(place) as (run, terminal):
        before = run.snapshot()
        trained_on(run, before)
        assert not terminal.fill(), "nobody has read"
        answers(terminal)
        in_order(run, before)


@pytest.mark.long
def test_the_supervisor_is_never_stuck_while_a_terminal_is_not_read(place: Place) -> None:
    """The time is the subject here, so it is measured."""
    with unread(place) as (run, terminal):
        before = run.snapshot()
        seen = look(socket_path(run), UNREAD_S)
        assert seen.steps_per_s > 0
        assert seen.longest_s < ANSWER_LIMIT_S
        assert not terminal.fill(), "nobody has read"
        answers(terminal)
        in_order(run, before)


def deaf(path: Path) -> socket.socket:
    """A client that asks for more than fits on the way to it, and never reads."""
    client = socket.socket(socket.AF_UNIX)
    client.connect(str(path))
    client.sendall(encode(Request(id=1, command="subscribe")))
    client.sendall(encode(Request(id=2, command="status")) * 200)
    return client


def test_screens_stopped_and_killed_and_ten_deaf_clients_disturb_nobody(place: Place) -> None:
    run = place.launch_detached(eval={"enabled": False})
    run.learned()
    before = run.snapshot()
    with ExitStack() as stack:
        stopped, killed = (stack.enter_context(screen(place, "attach", run.name)) for _ in range(2))
        for terminal in (stopped, killed):
            terminal.wait_for("RUNNING", DEADLINE_S)
        for _ in range(CLIENTS):
            stack.callback(deaf(socket_path(run)).close)
        other = stack.enter_context(socket.socket(socket.AF_UNIX))
        other.settimeout(DEADLINE_S)
        other.connect(str(socket_path(run)))
        other.sendall(encode(Request(id=1, command="subscribe")))
        said = stack.enter_context(other.makefile("rb"))

        os.kill(stopped.process.pid, signal.SIGSTOP)
        stack.callback(os.kill, stopped.process.pid, signal.SIGCONT)
        os.kill(killed.process.pid, signal.SIGKILL)
        killed.process.wait()
        trained_on(run, before)

        steps = run.snapshot()["steps"]
        seen = (json.loads(line) for line in said)
        assert next(line for line in seen if line.get("steps", 0) >= steps), "who reads is told"
        os.kill(stopped.process.pid, signal.SIGCONT)
        answers(stopped)
        in_order(run, before)
    place.tuitrain("stop")
