"""The terminal UI in a real terminal: training outlives it, and the terminal is left in order."""

from __future__ import annotations

import os
import shutil
import signal
import subprocess
from collections.abc import Iterator

import pytest

from tests.e2e.harness import FOREVER, TUITRAIN, Place, Run
from tests.sites import Stuck, eventually, gone

pytestmark = pytest.mark.skipif(shutil.which("tmux") is None, reason="tmux is not installed")


class Terminal:
    """A tmux server of its own, 120 × 40, with a shell in it."""

    def __init__(self, place: Place, name: str) -> None:
        self._place = place
        self._name = name
        self._environment = place.environment | {
            "TMUX_TMPDIR": str(place.root),
            "LC_ALL": "C.UTF-8",
            "TERM": "xterm-256color",
        }
        del self._environment["COLUMNS"]  # it would go before the terminal's own width
        self._tmux("-f", os.devnull, "new-session", "-d", "-x", "120", "-y", "40", "sh")
        self._tmux("set-option", "-g", "default-terminal", "tmux-256color")

    def type(self, *keys: str) -> None:
        self._tmux("send-keys", *keys)

    def command(self, *arguments: str) -> None:
        """Type a `tuitrain` command; its exit code is shown as `code=N` at its end."""
        line = " ".join([*TUITRAIN, *arguments])
        self.type("-l", f"{line}; echo code=$?")
        self.type("Enter")

    def screen(self) -> str:
        return self._tmux("capture-pane", "-p")

    def shows(self, text: str) -> None:
        """Wait until the screen shows it."""
        try:
            eventually(lambda: text in self.screen(), f"{text!r} on the screen")
        except Stuck as error:
            raise Stuck(f"{error}\n{self.screen()}") from None

    def resize(self, width: int, height: int) -> None:
        self._tmux("resize-window", "-x", str(width), "-y", str(height))

    def modes(self) -> str:
        """Alternate screen, mouse reporting, cursor: `0 0 1` in a terminal left in order."""
        return self._tmux(
            "display-message", "-p", "#{alternate_on} #{mouse_any_flag} #{cursor_flag}"
        ).strip()

    def client_pid(self) -> int:
        """The process that the shell has started."""
        shell = int(self._tmux("display-message", "-p", "#{pane_pid}"))
        children = subprocess.run(
            ["ps", "-o", "pid=", "--ppid", str(shell)], capture_output=True, text=True, check=True
        )
        return int(children.stdout.split()[0])

    def close(self) -> None:
        """Kill the server: the terminal closes under whatever runs in it."""
        subprocess.run(
            ["tmux", "-L", self._name, "kill-server"],
            env=self._environment,
            capture_output=True,
            check=False,
        )

    def _tmux(self, *arguments: str) -> str:
        done = subprocess.run(
            ["tmux", "-L", self._name, *arguments],
            cwd=self._place.root,
            env=self._environment,
            capture_output=True,
            text=True,
            timeout=20,
            check=True,
        )
        return done.stdout


@pytest.fixture
def terminals(place: Place) -> Iterator[list[Terminal]]:
    """Terminals that are closed whatever happens."""
    opened: list[Terminal] = []
    yield opened
    for terminal in opened:
        terminal.close()


def open_terminal(place: Place, terminals: list[Terminal]) -> Terminal:
    terminal = Terminal(place, f"tuitrain-{os.getpid()}-{len(terminals)}")
    terminals.append(terminal)
    return terminal


def test_training_outlives_a_terminal_that_is_left_in_order(
    place: Place, terminals: list[Terminal]
) -> None:
    first = open_terminal(place, terminals)
    config = place.config(run={"total_steps": FOREVER, "schedule": "sequential"})
    first.command("launch", str(config))
    first.shows("RUNNING")
    (run,) = place.runs()
    pid = run.pid
    run.learned(5)

    client = first.client_pid()
    first.close()
    eventually(lambda: gone(client), "the client's end")
    assert not gone(pid)
    assert run.snapshot()["state"] == "running"
    assert run.snapshot()["supervisor_pid"] == pid

    second = open_terminal(place, terminals)
    second.command("attach", run.name)
    second.shows("RUNNING")
    assert run.name in second.screen()
    second.type("q")
    second.shows("etach")  # the dialog says what leaving means
    second.type("d")
    second.shows("code=0")
    assert second.modes() == "0 0 1"
    assert "goes on" in second.screen()
    assert not gone(pid)

    for number in (signal.SIGTERM, signal.SIGHUP):  # a SIGHUP that leaves the terminal there
        told_to_end(second, run, number)
    assert run.snapshot()["state"] == "running"

    place.tuitrain("stop")
    assert gone(pid)
    assert run.summary()["state"] == "stopped"


def told_to_end(terminal: Terminal, run: Run, number: signal.Signals) -> None:
    """A client that a signal ends restores the terminal."""
    terminal.type("clear", "Enter")
    terminal.command("attach", run.name)
    terminal.shows("RUNNING")
    assert terminal.modes() != "0 0 1"
    os.kill(terminal.client_pid(), number)
    terminal.shows("code=0")
    assert terminal.modes() == "0 0 1"
    assert "goes on" in terminal.screen()


@pytest.mark.long
def test_a_client_that_is_continued_restores_the_terminal(
    place: Place, terminals: list[Terminal]
) -> None:
    run = place.launch_detached("--schedule", "sequential")
    terminal = open_terminal(place, terminals)
    terminal.command("attach", run.name)
    terminal.shows("RUNNING")
    # Without a SIGSTOP before it: at that the shell would take the terminal.
    os.kill(terminal.client_pid(), signal.SIGCONT)
    os.kill(terminal.client_pid(), signal.SIGTERM)
    terminal.shows("code=0")
    terminal.type("clear; stty -a", "Enter")
    terminal.shows(" icanon")
    place.tuitrain("stop")


@pytest.mark.long
def test_two_clients_of_one_run_at_any_size(place: Place, terminals: list[Terminal]) -> None:
    run = place.launch_detached("--schedule", "sequential")
    one, two = (open_terminal(place, terminals) for _ in range(2))
    one.command("attach", run.name)
    two.command("attach", run.name, "--read-only")
    one.shows("p pause")
    two.shows("READ-ONLY")
    for width, height in ((200, 60), (80, 24), (39, 11), (2, 1), (1, 1), (120, 40)):
        two.resize(width, height)
    two.shows("READ-ONLY")

    one.type("C-z")
    one.shows("topped")  # says the shell
    assert one.modes() == "0 0 1"
    two.type("5")
    two.shows("follow")
    one.type("clear; fg", "Enter")
    one.shows("p pause")

    client = one.client_pid()
    os.kill(client, signal.SIGKILL)
    eventually(lambda: gone(client), "the client's end")
    two.type("1")
    two.shows("Pipeline")
    assert run.snapshot()["state"] == "running"
    two.type("q")
    two.shows("goes on")
    place.tuitrain("stop")
