"""Ctrl-C and SIGTERM while a command starts: one line, the right exit code, and nothing goes on."""

from __future__ import annotations

import os
import signal
import sys
from pathlib import Path
from types import ModuleType

import pytest
import typer

from tuitrain import __main__
from tuitrain.cli import start
from tuitrain.cli.errors import explained
from tuitrain.config.runs import RunFolder

STARTS = """
import json, os, signal, sys
from pathlib import Path
def stop(number, frame):
    Path(sys.argv[1]).touch()
    os.kill(os.getppid(), signal.SIGTERM)  # who waits for this end is told again
    sys.exit()
signal.signal(signal.SIGTERM, stop)
signal.pthread_sigmask(signal.SIG_UNBLOCK, [signal.SIGTERM])
os.write(int(sys.argv[2]), json.dumps({"event": "progress", "text": "probing"}).encode() + b"\\n")
signal.pause()
"""
"""A supervisor that is still starting."""


def test_an_interrupt_while_python_still_imports_is_one_line(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    class Importing(ModuleType):
        def __getattr__(self, name: str) -> None:
            raise KeyboardInterrupt

    monkeypatch.setitem(sys.modules, "tuitrain.cli.main", Importing("main"))
    with pytest.raises(SystemExit) as ended:
        __main__.main()
    assert ended.value.code == 130
    assert capsys.readouterr().err == "tuitrain: interrupted\n"


def test_an_interrupt_of_a_command_is_one_line(capsys: pytest.CaptureFixture[str]) -> None:
    @explained
    def command() -> None:
        raise KeyboardInterrupt

    with pytest.raises(typer.Exit) as ended:
        command()
    assert ended.value.exit_code == 130
    assert capsys.readouterr().err == "tuitrain: interrupted\n"


@pytest.mark.parametrize(("number", "code"), [(signal.SIGTERM, 143), (signal.SIGINT, 130)])
def test_who_is_told_to_stop_while_a_run_starts_stops_it(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, number: signal.Signals, code: int
) -> None:
    def command_line(path: Path, headless: str, ready: str, fd: str) -> list[str]:
        return [sys.executable, "-c", STARTS, str(tmp_path / "stopped"), fd]

    monkeypatch.setattr(start, "command_line", command_line)
    (tmp_path / "logs").mkdir()
    before = signal.getsignal(signal.SIGTERM)
    with pytest.raises(typer.Exit) as ended:
        start.start_detached(RunFolder(tmp_path), lambda text: os.kill(os.getpid(), number))
    assert ended.value.exit_code == code
    assert (tmp_path / "stopped").exists()
    assert signal.getsignal(signal.SIGTERM) is before
