"""The driver in a real terminal."""

from __future__ import annotations

import json
import os
import pty
import subprocess
import sys
from pathlib import Path

CHILD = """
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


def test_of_two_changes_of_size_the_later_one_is_told_last(tmp_path: Path) -> None:
    ours, theirs = pty.openpty()
    environment = {key: value for key, value in os.environ.items() if key != "COLUMNS"}
    told = tmp_path / "told.json"
    child = subprocess.Popen(
        [sys.executable, "-c", CHILD, str(told)],
        stdin=theirs, stdout=theirs, stderr=theirs, env=environment | {"TERM": "xterm-256color"},
    )  # fmt: skip
    os.close(theirs)
    try:
        while True:
            os.read(ours, 1 << 16)
    except OSError:  # the child has ended
        pass
    os.close(ours)
    assert child.wait(timeout=60) == 0
    assert json.loads(told.read_text()) == 40
