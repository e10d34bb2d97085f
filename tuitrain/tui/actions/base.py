"""What all parts of the screen's program share: the run, its store, tasks and the notice line."""

from __future__ import annotations

import asyncio
import os
import time
from collections.abc import Coroutine, Iterator
from pathlib import Path
from typing import Any, Literal

from textual.app import App
from textual.binding import Binding

from tuitrain.protocol import EventLine
from tuitrain.tui.client import RunClient
from tuitrain.tui.store import Store
from tuitrain.tui.view import Notice, View

NOTICE_S = 20.0
INFO_S = 6.0
"""For what changes nothing in the run: it makes room again soon."""


class RunApp(App[str]):
    """The part that every group of keys builds on.

    Args:
        run_dir: The run's folder.
        ascii_only: Draw with ASCII characters alone.
        read_only: Only look: nothing is asked of the run, nothing written into its folder.
    """

    def __init__(self, run_dir: Path, *, ascii_only: bool = False, read_only: bool = False) -> None:
        # without colours the terminal's own stay, and no background is painted
        super().__init__(ansi_color=True if "NO_COLOR" in os.environ else None)
        self.run_dir = run_dir
        self.ascii_only = ascii_only
        self.read_only = read_only
        self.store = Store()
        self.loaded = asyncio.Event()
        """Set once the run's files have been read."""
        self.client: RunClient | None = None
        self.ended = False
        """Whether the run is over, as far as is known: nobody is there to be asked."""
        self.pending: dict[str, float] = {}
        """Commands that have not been answered, and since when (monotonic seconds)."""
        self._notice: tuple[Notice, float] | None = None
        self._local_events = 0
        self._tasks: set[asyncio.Task[None]] = set()

    def view(self) -> View:
        """What the screen shows now."""
        raise NotImplementedError

    tab = 1
    """Number of the open tab."""

    def action_tab(self, number: int) -> None:
        """Open a tab."""
        raise NotImplementedError

    frozen = False
    """Whether the view is held."""

    def policy_name(self) -> str:
        """The policy that one-policy panels show; empty when there is none."""
        raise NotImplementedError

    def redraw(self) -> None:
        """Hand the current view to every panel that can be seen."""
        raise NotImplementedError

    def own_bindings(self) -> Iterator[Binding]:
        """All keys of this program, those of its parts first; none of textual's."""
        for part in reversed(type(self).__mro__):
            if issubclass(part, RunApp):
                for binding in part.__dict__.get("BINDINGS", ()):
                    assert isinstance(binding, Binding)
                    yield binding

    # ---- tasks

    def start(self, work: Coroutine[Any, Any, None]) -> asyncio.Task[None]:
        """Do this beside the screen; an error of it ends the screen."""
        task = asyncio.create_task(work)
        self._tasks.add(task)
        task.add_done_callback(self._finished)
        return task

    def _finished(self, task: asyncio.Task[None]) -> None:
        self._tasks.discard(task)
        if task.cancelled():
            return
        try:
            task.result()
        except Exception as error:  # textual shows it, and asks for it to be raised just now
            self._handle_exception(error)

    async def on_unmount(self) -> None:
        """End every task."""
        for task in self._tasks:
            task.cancel()
        await asyncio.gather(*self._tasks, return_exceptions=True)

    # ---- what is said

    def announce(self, text: str, state: Literal["pending", "ok", "fail", "info"] = "info") -> None:
        """Say something on the notice line."""
        self._notice = (Notice(text, state), time.monotonic())
        self.redraw()

    def hush(self) -> None:
        """Say no more of what was said before."""
        self._notice = None

    def current_notice(self, now: float) -> Notice | None:
        """What the notice line says: what is pending, else what was said not long ago."""
        if self.pending:
            command, since = next(iter(self.pending.items()))
            return Notice(command, "pending", now - since)
        if self._notice is None:
            return None
        notice, since = self._notice
        return notice if now - since <= (INFO_S if notice.state == "info" else NOTICE_S) else None

    def note(self, text: str, level: Literal["info", "warning", "error"] = "info") -> None:
        """Add a line of this screen's own to the events."""
        self._local_events -= 1
        self.store.add_event(
            EventLine(
                seq=self._local_events, time_s=time.time(), level=level, source="you", text=text
            )
        )
