"""The driver in a real terminal."""

from __future__ import annotations

import json
import os
import pty
import subprocess
import sys
import threading
from pathlib import Path

import pytest
from textual.drivers.linux_driver import LinuxDriver

from tuitrain.tui import terminal
from tuitrain.tui.picker import Entry, PickerApp

TWO_SIZES = """
import fcntl, json, os, signal, struct, sys, termios
from textual.app import App
from tuitrain.tui.terminal import _Driver

def resize(rows):
    fcntl.ioctl(sys.__stdout__, termios.TIOCSWINSZ, struct.pack("HHHH", rows, 120, 0, 0))
    os.kill(os.getpid(), signal.SIGWINCH)

class Driver(_Driver):
    read = set()

    def _get_terminal_size(self):
        size = super()._get_terminal_size()
        self.read.add(size[1])
        if size[1] == 50:
            resize(40)  # changed again before the size that was read is told
        return size

class Screen(App[None]):
    def on_mount(self):
        self.call_after_refresh(resize, 50)

    def on_resize(self, event):
        if 40 in Driver.read:  # what has been told by now is handled before the end
            self.call_later(self.call_later, self.exit)

app = Screen(driver_class=Driver)
app.run()
with open(sys.argv[1], "w") as file:
    json.dump(app.size.height, file)
"""


CONTINUED = """
import os, signal
from textual.app import App
from tuitrain.tui.terminal import _Driver

class Screen(App[None]):
    def on_mount(self):
        self.app_resume_signal.subscribe(self, lambda _: self.exit())
        self.call_after_refresh(self.continued)

    def continued(self):
        with self._driver._writer_thread._queue.mutex:  # as in the midst of a write
            os.kill(os.getpid(), signal.SIGCONT)

Screen(driver_class=_Driver).run()
"""


def run_in_terminal(code: str, *arguments: str) -> int:
    """Run Python code in a terminal of its own, killed after a minute; returns its exit code."""
    ours, theirs = pty.openpty()
    sizes = ("COLUMNS", "LINES")  # which Textual takes for the terminal's, and pytest-xdist sets
    environment = {key: value for key, value in os.environ.items() if key not in sizes}
    child = subprocess.Popen(
        [sys.executable, "-c", code, *arguments],
        stdin=theirs, stdout=theirs, stderr=theirs, env=environment | {"TERM": "xterm-256color"},
    )  # fmt: skip
    os.close(theirs)
    limit = threading.Timer(60, child.kill)
    limit.start()
    try:
        while True:
            os.read(ours, 1 << 16)
    except OSError:  # the child has ended
        pass
    limit.cancel()
    os.close(ours)
    return child.wait()


def test_of_two_changes_of_size_the_later_one_is_told_last(tmp_path: Path) -> None:
    told = tmp_path / "told.json"
    assert run_in_terminal(TWO_SIZES, str(told)) == 0
    assert json.loads(told.read_text()) == 40


def test_continued_in_the_midst_of_a_write() -> None:
    assert run_in_terminal(CONTINUED) == 0


@pytest.mark.parametrize(
    ("told", "wanted", "theme"),
    [("0;15", None, "textual-light"), ("0;default;7", None, "textual-light"),
     ("15;0", None, "textual-dark"), ("", None, "textual-dark"),
     ("0;15", "textual-dark", "textual-dark")],
)  # fmt: skip
def test_a_light_terminal_gets_the_light_theme(
    told: str, wanted: str | None, theme: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    async def nothing(_: object) -> None: ...

    monkeypatch.setattr(terminal, "_run", nothing)
    monkeypatch.setenv("COLORFGBG", told)
    if wanted is not None:
        monkeypatch.setenv("TEXTUAL_THEME", wanted)
    app = PickerApp([Entry("a", "running", "", True)])
    app.driver_class = LinuxDriver
    terminal._in_terminal(app)
    assert app.theme == theme
