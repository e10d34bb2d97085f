"""A signal that comes before the supervisor can obey it is obeyed as soon as it can."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
import threading
from pathlib import Path

import pytest

from tests.fake_plan import fake_config, fake_folder
from tests.unit.supervisor.running import PROGRAM
from tuitrain.supervisor import __main__ as program
from tuitrain.supervisor import entry
from tuitrain.supervisor.stop_signals import STOP_SIGNALS, deliver, held_back

STATES = {"SIGINT": ("interrupted", 130), "SIGTERM": ("stopped", 0), "SIGHUP": ("stopped", 0)}


def mask() -> set[int | signal.Signals]:
    return signal.pthread_sigmask(signal.SIG_BLOCK, ())


@pytest.mark.parametrize("name", STATES)
def test_a_signal_as_old_as_the_process_ends_the_run_with_a_summary(
    tmp_path: Path, name: str
) -> None:
    """It is pending before Python itself has started: any later moment is covered by this one."""
    folder = fake_folder(tmp_path, fake_config({"learner": {"do": "work"}}))

    def signalled() -> None:
        signal.pthread_sigmask(signal.SIG_BLOCK, STOP_SIGNALS)
        os.kill(os.getpid(), signal.Signals[name])

    nobody = os.open(os.devnull, os.O_WRONLY)  # who would be told that it is up
    done = subprocess.run(
        [sys.executable, "-c", PROGRAM, str(folder.path), str(nobody)],
        pass_fds=(nobody,),
        preexec_fn=signalled,
        stdin=subprocess.DEVNULL,
        capture_output=True,
        text=True,
        timeout=60,
        check=False,
    )
    os.close(nobody)
    state, code = STATES[name]
    assert (done.returncode, done.stderr) == (code, "")
    assert json.loads(folder.summary_json.read_text())["state"] == state


def test_started_by_hand_it_holds_them_back_first(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    seen: list[set[int | signal.Signals]] = []

    def supervise(*args: object, **kwargs: object) -> int:
        seen.append(mask())
        return 0

    monkeypatch.setattr(entry, "supervise", supervise)
    try:
        assert program.main([str(tmp_path)]) == 0
    finally:
        deliver()
    assert seen[0] >= STOP_SIGNALS


def test_what_is_started_meanwhile_is_born_with_them_held_back() -> None:
    code = "import signal; print(sorted(signal.pthread_sigmask(signal.SIG_BLOCK, ())))"
    with held_back():
        born = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True)
    assert born.stdout == f"{sorted(STOP_SIGNALS)}\n"
    assert not mask() & STOP_SIGNALS


def test_they_come_at_the_end_or_when_somebody_lets_them() -> None:
    came = threading.Event()
    before = signal.signal(signal.SIGTERM, lambda number, frame: came.set())
    try:
        with held_back():
            signal.pthread_kill(threading.get_ident(), signal.SIGTERM)
            assert not came.is_set()
        assert came.is_set()
        came.clear()
        with held_back():
            signal.pthread_kill(threading.get_ident(), signal.SIGTERM)
            deliver()
            assert came.is_set()
    finally:
        signal.signal(signal.SIGTERM, before)
    assert not mask() & STOP_SIGNALS
