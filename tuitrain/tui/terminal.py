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
from pathlib import Path

from textual.drivers.linux_driver import LinuxDriver

from tuitrain.tui.app import TuitrainApp
from tuitrain.tui.client import answers


class _Driver(LinuxDriver):
    """Textual's, but fit for a SIGCONT without the SIGTSTP that it waits for.

    Textual would start a second reader of the keys beside the first, and would put back its own
    terminal modes at the end instead of those of before.
    """

    def resume_application_mode(self) -> None:
        """Suspend first, unless that has been done."""
        if self._key_thread is not None and self._key_thread.is_alive():
            self._must_signal_resume = True
            self.suspend_application_mode()
        super().resume_application_mode()


async def _run(app: TuitrainApp) -> None:
    loop = asyncio.get_running_loop()
    loop.add_signal_handler(signal.SIGTERM, app.exit)
    # Not the loop's: it must also be heard while the loop is stuck in a write.
    before = signal.signal(signal.SIGHUP, lambda *_: _hang_up(app, loop))
    try:
        await app.run_async()
    finally:
        loop.remove_signal_handler(signal.SIGTERM)
        signal.signal(signal.SIGHUP, before)


def _hang_up(app: TuitrainApp, loop: asyncio.AbstractEventLoop) -> None:
    """Leave; at once if the terminal is gone, since then nothing is left to restore.

    Textual's writing thread dies of its first write to a terminal that is gone, and leaving in good
    order would wait for it for ever.
    """
    try:
        termios.tcgetattr(sys.stdin.fileno())
    except (OSError, ValueError, termios.error):
        os._exit(128 + signal.SIGHUP)
    loop.call_soon_threadsafe(app.exit)


async def _open(run_dir: Path, socket_path: Path | None, ascii_only: bool) -> int:
    if socket_path is not None and not await answers(socket_path):
        socket_path = None
    app = TuitrainApp(run_dir, socket_path, ascii_only=ascii_only)
    if app.driver_class is LinuxDriver:
        app.driver_class = _Driver
    await _run(app)
    return app.return_code or 0


def run_tui(run_dir: Path, socket_path: Path | None, *, ascii_only: bool | None = None) -> int:
    """Show a run until the user leaves; returns the exit code (0, or 2 without a terminal).

    Args:
        run_dir: The run's folder.
        socket_path: The run's socket. None, or a socket that nobody serves, opens what the run
            has recorded.
        ascii_only: Draw in ASCII; by default when TUITRAIN_ASCII is set and not empty.
    """
    if not (sys.stdin.isatty() and sys.stderr.isatty()):
        print("tuitrain: the screen needs a terminal on stdin and stderr", file=sys.stderr)
        return 2
    if ascii_only is None:
        ascii_only = bool(os.environ.get("TUITRAIN_ASCII"))
    with contextlib.suppress(KeyboardInterrupt):
        return asyncio.run(_open(run_dir, socket_path, ascii_only))
    return 0
