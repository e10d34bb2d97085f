"""A screen on a fake run, driven by textual's pilot."""

from __future__ import annotations

import asyncio
import contextlib
import tempfile
from collections.abc import AsyncIterator, Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from textual import _wait
from textual.pilot import Pilot

from tests.tui.fake_run import FakeRun, history
from tuitrain.protocol import Request, Snapshot
from tuitrain.tui.app import TuitrainApp
from tuitrain.tui.screenshot import screen_text
from tuitrain.tui.widgets.panel import Panel

DEADLINE_S = 20.0

# After every key the pilot waits, twice, until the process was idle for so long. Textual's 20 ms
# would be most of the time that these tests take.
_wait.SLEEP_GRANULARITY = 1 / 200
_wait.SLEEP_IDLE = _wait.SLEEP_GRANULARITY / 10


@dataclass
class Seat:
    """In front of the screen, with the run behind it."""

    app: TuitrainApp
    pilot: Pilot[Any]
    run: FakeRun

    async def settle(self) -> None:
        """Let everything that was sent be shown."""
        await self.pilot.pause()
        self.app.redraw()
        await self.pilot.pause()

    async def text(self) -> str:
        """The screen as it is now."""
        await self.settle()
        return screen_text(self.app)

    async def panel(self, name: str) -> str:
        """The lines of one panel."""
        await self.settle()
        panel = self.app.screen_stack[0].query_one(f"#{name}", Panel)
        return "\n".join(line.plain for line in panel.lines())

    async def shows(self, words: str) -> str:
        """Wait until the screen shows these words."""
        return await self.until(lambda: words in screen_text(self.app), f"the screen: {words}")

    async def until(self, true: Callable[[], bool], what: str) -> str:
        """Wait for a condition, redrawing, under a deadline."""
        try:
            async with asyncio.timeout(DEADLINE_S):
                while True:
                    await self.settle()
                    if true():
                        return screen_text(self.app)
        except TimeoutError:
            raise AssertionError(
                f"waited in vain for {what}; shown:\n{screen_text(self.app)}"
            ) from None

    async def press(self, *keys: str) -> None:
        """Press keys."""
        await self.pilot.press(*keys)
        await self.settle()

    async def asked(self, command: str) -> Request:
        """The request that reached the run."""
        return await self.run.asked(command)


@contextlib.asynccontextmanager
async def seated(
    now: Snapshot | None = None,
    size: tuple[int, int] = (120, 40),
    run_dir: Path | None = None,
    **kwargs: Any,
) -> AsyncIterator[Seat]:
    """A screen that shows a run that says `now`."""
    with tempfile.TemporaryDirectory(prefix="tt") as folder:
        async with FakeRun(Path(folder) / "s", now) as run:
            run.history = history()
            app = TuitrainApp(run_dir or Path(folder), run.socket_path, **kwargs)
            async with app.run_test(size=size) as pilot:
                seat = Seat(app, pilot, run)
                await seat.until(
                    lambda: (
                        app.loaded.is_set()
                        and app.store.snapshot is not None
                        and len(app.store.events) > 0
                    ),
                    "the first snapshot",
                )
                yield seat


@contextlib.asynccontextmanager
async def recorded(
    run_dir: Path, size: tuple[int, int] = (120, 40), **kwargs: Any
) -> AsyncIterator[Seat]:
    """A screen that shows what a run has recorded."""
    app = TuitrainApp(run_dir, None, **kwargs)
    async with app.run_test(size=size) as pilot:
        seat = Seat(app, pilot, FakeRun(run_dir / "none"))
        await seat.until(lambda: app.store.snapshot is not None, "the recorded run")
        yield seat
