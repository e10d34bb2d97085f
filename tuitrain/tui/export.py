"""A run's screen as files, without a terminal: as it is now, or of what was recorded."""

from __future__ import annotations

import asyncio
from collections.abc import Sequence
from pathlib import Path

from textual.pilot import Pilot

from tuitrain.tui.app import TuitrainApp
from tuitrain.tui.client import answers
from tuitrain.tui.screenshot import export_screen

WAIT_S = 10.0


class UnknownKey(ValueError):
    """A key that was to be pressed cannot be on a picture; the message says why."""


async def export(
    run_dir: Path,
    out: Path,
    *,
    size: tuple[int, int] = (120, 40),
    tab: int = 1,
    keys: Sequence[str] = (),
    ascii_only: bool = False,
    socket_path: Path | None = None,
) -> None:
    """Write the screen of a run to ``out``, an SVG, and beside it as `.txt` and `.json`.

    Args:
        run_dir: The run's folder.
        out: The picture's path; folders are made.
        size: Columns and lines.
        tab: Number of the tab that is shown.
        keys: What is pressed then, by Textual's names (`i`, `down`, `equals_sign`).
        ascii_only: Draw with ASCII characters alone.
        socket_path: The run's socket, if it lives.

    Raises:
        OSError: A file cannot be written.
        TimeoutError: The run's socket accepts connections but says nothing.
        UnknownKey: One of ``keys`` does nothing at that point, or leaves the screen.
    """
    if socket_path is not None and not await answers(socket_path):
        socket_path = None
    app = TuitrainApp(run_dir, socket_path, ascii_only=ascii_only, read_only=True)
    async with app.run_test(size=size) as pilot:
        async with asyncio.timeout(WAIT_S):
            await app.loaded.wait()
            while app.store.snapshot is None:
                await asyncio.sleep(0.02)
        await _settle(app, pilot, tab)
        for key in keys:
            await pilot.press(key)
            await pilot.pause()
            _check(app, key)
        export_screen(app, app.view(), out)


def _check(app: TuitrainApp, key: str) -> None:
    """Raise ``UnknownKey`` if the key that has just been pressed makes no picture."""
    if not app.is_running or app.return_code is not None:
        raise UnknownKey(f"{key} leaves the screen: there is nothing to make a picture of")
    if app.wrong_keys:
        known = ", ".join(name for one in app.own_bindings() for name in one.key.split(","))
        raise UnknownKey(f"{key} does nothing there; keys of the screen: {known}")


async def _settle(app: TuitrainApp, pilot: Pilot[str], tab: int) -> None:
    app.action_tab(tab)
    await pilot.pause()
    app.redraw()
    await pilot.pause()
