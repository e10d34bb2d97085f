"""A worker that is given up: what is found out about it before it is killed, with faked ticks."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

from tuitrain.supervisor.crew.hang import ANSWER_S, Hang, catches, process_state
from tuitrain.workers import stacks

ASLEEP = """
import os, sys, time
from tuitrain.workers import stacks
if sys.argv[2] == "answers":
    stacks.answer(os.open(sys.argv[1], os.O_WRONLY | os.O_CREAT | os.O_APPEND))
if sys.argv[2] == "ignores":
    import signal
    signal.signal(stacks.SIGNAL, lambda *_: None)
def deep(levels):
    if levels:
        deep(levels - 1)
    print("ready", flush=True)
    while True:
        time.sleep(600)
deep(int(sys.argv[3]))
"""


class Sleeper:
    """A process that sleeps for ever."""

    def __init__(self, log: Path, how: str, levels: int = 0) -> None:
        log.touch()
        self.log = log
        self.process = subprocess.Popen(
            [sys.executable, "-c", ASLEEP, str(log), how, str(levels)],
            stdout=subprocess.PIPE,
            text=True,
        )
        assert self.process.stdout is not None
        assert self.process.stdout.readline() == "ready\n"
        self.pid = self.process.pid

    def hang(self) -> Hang:
        return Hang(self.pid, self.log, 'hung in "act" for 5 s', 0.0)


@pytest.fixture
def sleepers() -> Iterator[list[Sleeper]]:
    started: list[Sleeper] = []
    yield started
    for sleeper in started:
        sleeper.process.kill()
        sleeper.process.communicate()


def ended(hang: Hang) -> str:
    """What it says once it is over, before its deadline."""
    while not hang.over(ANSWER_S / 2):
        os.sched_yield()
    return hang.how()


@pytest.mark.parametrize("levels", [0, 150])  # more than faulthandler writes
def test_it_says_where_the_process_stands(
    tmp_path: Path, sleepers: list[Sleeper], levels: int
) -> None:
    sleepers.append(Sleeper(tmp_path / "log", "answers", levels))
    (tmp_path / "log").write_text(
        'Thread 0x01 (most recent call first):\n  File "old", line 1 in f'
    )
    hang = sleepers[0].hang()
    told = ended(hang)
    assert told.startswith('hung in "act" for 5 s: <string>:')
    assert told.endswith(" in deep")
    assert hang.stack_lines()[1].endswith("in deep")
    assert 'tuitrain: hung in "act" for 5 s; stacks' in (tmp_path / "log").read_text()


def test_who_does_not_answer_is_given_up(tmp_path: Path, sleepers: list[Sleeper]) -> None:
    sleepers.append(Sleeper(tmp_path / "log", "ignores"))
    hang = sleepers[0].hang()
    assert not hang.over(ANSWER_S / 2)
    assert hang.over(ANSWER_S)
    assert "no stacks could be had, it has not written them within 2 s" in hang.how()
    assert hang.stack_lines() == []


def test_who_would_die_of_the_signal_is_not_sent_it(
    tmp_path: Path, sleepers: list[Sleeper]
) -> None:
    sleepers.append(Sleeper(tmp_path / "log", "never heard of it"))
    assert not catches(sleepers[0].pid, stacks.SIGNAL)
    hang = sleepers[0].hang()
    assert hang.over(0.0)
    assert "it has no handler of SIGRTMAX" in hang.how()
    assert sleepers[0].process.poll() is None


def test_a_stopped_process_is_said_to_be_stopped_at_once(
    tmp_path: Path, sleepers: list[Sleeper]
) -> None:
    sleepers.append(Sleeper(tmp_path / "log", "answers"))
    pid = sleepers[0].pid
    os.kill(pid, signal.SIGSTOP)
    while process_state(pid) != "stopped":
        os.sched_yield()
    hang = sleepers[0].hang()
    assert hang.over(0.0)
    assert hang.how() == 'hung in "act" for 5 s: it is stopped (by SIGSTOP or the like)'


def test_a_log_that_cannot_be_read_costs_the_place_only(
    tmp_path: Path, sleepers: list[Sleeper]
) -> None:
    sleepers.append(Sleeper(tmp_path / "log", "answers"))
    (tmp_path / "log").unlink()
    hang = sleepers[0].hang()
    assert hang.over(ANSWER_S)
    assert "no stacks could be had" in hang.how()


def test_a_process_that_is_gone_is_no_error(tmp_path: Path) -> None:
    hang = Hang(2**22 + 1, tmp_path / "log", "hung", 0.0)
    assert hang.over(0.0)
