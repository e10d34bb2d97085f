"""The terminal UI in a terminal: opening it, and leaving it in good order whatever happens.

Signals are heard here: SIGTERM leaves, SIGHUP leaves at once if the terminal is gone.
"""

from __future__ import annotations

import asyncio
import contextlib
import os
import signal
import sys
import termios
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

from textual import events
from textual.app import App
from textual.drivers.linux_driver import LinuxDriver
from textual.geometry import Size

from tuitrain.tui.app import TuitrainApp
from tuitrain.tui.client import answers

if TYPE_CHECKING:
    from tuitrain.tui.picker import Entry


class _Driver(LinuxDriver):
    """Textual's, but the event loop hears its signals, between two things that it does.

    Textual handles them at once, in the midst of whatever it does. Of two fast changes of size the
    later one interrupts the handler of the first and is told before it: the screen stays at the
    older size. And a SIGCONT or SIGTSTP in the midst of a write waits for ever for the lock of
    what is to be written.
    """

    def start_application_mode(self) -> None:
        """As Textual, then have the loop hear the signals."""
        super().start_application_mode()  # type: ignore[no-untyped-call]  # has no types
        loop = asyncio.get_running_loop()
        loop.add_signal_handler(signal.SIGWINCH, self._tell_size)
        loop.add_signal_handler(signal.SIGCONT, self._sigcont_application)
        loop.add_signal_handler(signal.SIGTSTP, self._sigtstp_application)

    def _tell_size(self) -> None:
        if not self._in_band_window_resize:
            size = Size(*self._get_terminal_size())
            self._app.post_message(events.Resize(size, size))

    def resume_application_mode(self) -> None:
        """Suspend first, unless that has been done, for a SIGCONT without a SIGTSTP before it.

        Textual would start a second reader of the keys beside the first, and would put back its
        own terminal modes at the end instead of those of before.
        """
        if self._key_thread is not None and self._key_thread.is_alive():
            self._must_signal_resume = True
            self.suspend_application_mode()
        super().resume_application_mode()


async def _run(app: App[Any]) -> None:
    loop = asyncio.get_running_loop()
    loop.add_signal_handler(signal.SIGTERM, app.exit)
    # Not the loop's: it must also be heard while the loop is stuck in a write.
    before = signal.signal(signal.SIGHUP, lambda *_: _hang_up(app, loop))
    try:
        await app.run_async()
    finally:
        loop.remove_signal_handler(signal.SIGTERM)
        signal.signal(signal.SIGHUP, before)


def _hang_up(app: App[Any], loop: asyncio.AbstractEventLoop) -> None:
    """Leave; at once if the terminal is gone, since then nothing is left to restore.

    Textual's writing thread dies of its first write to a terminal that is gone, and leaving in good
    order would wait for it for ever.
    """
    try:
        termios.tcgetattr(sys.stdin.fileno())
    except (OSError, ValueError, termios.error):
        os._exit(128 + signal.SIGHUP)
    loop.call_soon_threadsafe(app.exit)


def _in_terminal(app: App[Any]) -> None:
    """Run a program until it ends; the terminal is left as it was."""
    if app.driver_class is LinuxDriver:  # not in a browser
        app.driver_class = _Driver
        if is_light(os.environ) and "TEXTUAL_THEME" not in os.environ:
            app.theme = "textual-light"
    with contextlib.suppress(KeyboardInterrupt):
        asyncio.run(_run(app))


def is_light(environment: Mapping[str, str]) -> bool:
    """Whether the terminal has said that its background is light, by COLORFGBG (`0;15`)."""
    background = environment.get("COLORFGBG", "").rpartition(";")[2]
    return background in ("7", "9", "10", "11", "12", "13", "14", "15")


def _ascii_wanted() -> bool:
    return bool(os.environ.get("TUITRAIN_ASCII"))


def pick(entries: Sequence[Entry], *, ascii_only: bool = False) -> int | None:
    """Let the user choose one of several runs; None if they leave."""
    from tuitrain.tui.picker import PickerApp

    app = PickerApp(entries, ascii_only=ascii_only or _ascii_wanted())
    _in_terminal(app)
    return app.return_value


def show_run(
    run_dir: Path,
    socket_path: Path | None,
    *,
    ascii_only: bool = False,
    read_only: bool = False,
    compare: Path | None = None,
) -> int:
    """Show a run until the user leaves, in the terminal or wherever textual is told to draw.

    Args:
        run_dir: The run's folder.
        socket_path: The run's socket. None, or a socket that nobody serves, opens what the run
            has recorded.
        ascii_only: Draw in ASCII; in any case where TUITRAIN_ASCII is set and not empty.
        read_only: Ask nothing of the run.
        compare: Folder of a run whose curves are drawn beside.

    Returns:
        The exit code; 2 where textual is to draw in a terminal and there is none.
    """
    if socket_path is not None and not asyncio.run(answers(socket_path)):
        socket_path = None
    ascii_only = ascii_only or _ascii_wanted()
    app = TuitrainApp(
        run_dir, socket_path, ascii_only=ascii_only, read_only=read_only, compare=compare
    )
    if app.driver_class is LinuxDriver and not (sys.stdin.isatty() and sys.stderr.isatty()):
        print("tuitrain: the screen needs a terminal on stdin and stderr", file=sys.stderr)
        return 2
    _in_terminal(app)
    return app.return_code or 0
