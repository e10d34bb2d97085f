"""The terminal UI's program: a client of a running run, or a look at a recorded one.

Closing it never stops training. The app joins a store (what is known), a client (where it comes
from) and panels (how it is shown); once a second it makes one immutable ``View`` and hands it to
the panels of the open tab.
"""

from __future__ import annotations

import asyncio
import os
import time
from collections.abc import Callable, Iterable
from dataclasses import replace
from pathlib import Path
from typing import Any, ClassVar

from textual import events
from textual.app import ComposeResult, SystemCommand
from textual.binding import Binding, BindingType
from textual.command import CommandPalette, Provider
from textual.keys import format_key
from textual.screen import Screen

from tuitrain.protocol import EventLine, RecordLine, Snapshot
from tuitrain.tui.actions.charting import ChartingApp
from tuitrain.tui.actions.comparing import ComparingApp
from tuitrain.tui.actions.explaining import ExplainingApp
from tuitrain.tui.actions.one_worker import OneWorkerApp
from tuitrain.tui.actions.pacing import REDRAW_S
from tuitrain.tui.actions.seeing import SeeingApp
from tuitrain.tui.actions.taking import TakingApp
from tuitrain.tui.actions.wrong_key import WrongKeyApp
from tuitrain.tui.actions.zooming import ZoomingApp
from tuitrain.tui.client import RunClient, Stream
from tuitrain.tui.layout import ScrolledTab, compose_screen
from tuitrain.tui.palette import Finder
from tuitrain.tui.store import ENDED, Store
from tuitrain.tui.text import DARK, LIGHT, to_ascii
from tuitrain.tui.view import Link, View
from tuitrain.tui.widgets.keys import TABS
from tuitrain.tui.widgets.panel import Panel

STALE_S = 3.0
SCROLLED = {1: "#checks", 2: "#tab-2", 3: "#policies", 4: "#process-details", 5: "#log"}
"""By tab, what the keys scroll while nothing has the focus."""


class TuitrainApp(
    OneWorkerApp,
    ChartingApp,
    ComparingApp,
    ZoomingApp,
    ExplainingApp,
    TakingApp,
    SeeingApp,
    WrongKeyApp,
):
    """The screen of one run.

    Args:
        run_dir: The run's folder.
        socket_path: Its socket; None shows what is recorded.
        ascii_only: Draw with ASCII characters alone.
        read_only: Ask nothing of the run.
        redraw_s: Seconds between two redraws.
        compare: Folder of a run whose curves are drawn beside.
    """

    CSS_PATH = "tuitrain.tcss"
    TITLE = "tuitrain"
    COMMANDS: ClassVar[set[type[Provider] | Callable[[], type[Provider]]]] = {Finder}
    AUTO_FOCUS = None
    BINDINGS: ClassVar[list[BindingType]] = [
        Binding("space", "freeze", "freeze the view", tooltip="training goes on"),
        Binding("escape", "step_back", "back: panel, x axis, filter, focus"),
        Binding("left_square_bracket", "choose(-1)", "previous policy or log"),
        Binding("right_square_bracket", "choose(1)", "next policy or log"),
        *(
            Binding(key, f"scroll_tab({lines})", show=False)
            for key, lines in (
                ("up", -1),
                ("down", 1),
                ("pageup", -10),
                ("pagedown", 10),
                ("home", -100_000),
                ("end", 100_000),
            )
        ),
        *(Binding(str(i + 1), f"tab({i + 1})", name) for i, name in enumerate(TABS)),
    ]

    def __init__(
        self,
        run_dir: Path,
        socket_path: Path | None,
        *,
        ascii_only: bool = False,
        read_only: bool = False,
        redraw_s: float = REDRAW_S,
        compare: Path | None = None,
    ) -> None:
        super().__init__(run_dir, ascii_only=ascii_only, read_only=read_only)
        self.animation_level = "none"
        if socket_path is not None:
            self.client = RunClient(socket_path, self._line, self._connection)
        self.ended = socket_path is None
        self.redraw_s = redraw_s
        self._compare_first = compare
        self._opened_s = time.monotonic()
        self._received_s: float | None = None
        self._lost = False
        self._judging = False
        self._frozen: View | None = None
        self._frozen_at = 0.0
        self._policy_at = 0
        self._listening: asyncio.Task[None] | None = None
        self._early: list[Stream] = []
        self._found: dict[str, list[Panel]] = {}

    # ---- what is on the screen

    def compose(self) -> ComposeResult:
        """Header, five tabs, notice, keys."""
        yield from compose_screen()

    def on_mount(self) -> None:
        """Start reading, listening and redrawing."""
        self.set_class(self.ascii_only, "-ascii")
        self._layout(self.size.width, self.size.height)
        self.call_after_refresh(self._begin_to_read)  # the first picture comes first
        if self.client is not None:
            self._listening = self.start(self.client.run())
        if self._compare_first is not None:
            self.compare(self._compare_first)
        self.start_clock()
        self.app_resume_signal.subscribe(self, lambda _: self.repaint())
        self.redraw()

    def _begin_to_read(self) -> None:
        self.start(self._load())

    async def _load(self) -> None:
        """Read the run's files: all there is of an ended run, the curves so far of a live one."""
        read = await asyncio.to_thread(_read, self.run_dir, self.ended and not self.store.snapshot)
        read.snapshot, self.store = self.store.snapshot or read.snapshot, read
        for line in self._early:
            self._keep(line)
        self._early.clear()
        self.loaded.set()
        found = read.snapshot
        self._judging = self.ended and found is not None and found.state == "interrupted"
        self.redraw()
        if self._judging and found is not None:
            from tuitrain.tui.recorded import judged_again, tell_unmade

            judged, why = await asyncio.to_thread(judged_again, self.run_dir, found)
            read.add_snapshot(judged)
            if why:
                tell_unmade(read, why)
            self._judging = False
            self.redraw()

    def on_resize(self, event: events.Resize) -> None:
        """Choose the layout for the new size."""
        self._layout(event.size.width, event.size.height)
        self.call_after_refresh(self.repaint)  # a terminal keeps little of what it showed

    def _layout(self, width: int, height: int) -> None:
        tiny = width < 40 or height < 12
        compact = not tiny and (width < 100 or height < 32)
        self.set_class(tiny, "-tiny")
        self.set_class(compact, "-compact")
        self.set_class(compact and height < 20, "-short")
        self.set_class(compact and height < 17, "-flat")  # a chart of one line says what is not so
        self.set_class(compact and width < 60, "-narrow")
        self.call_after_refresh(self.redraw)

    # ---- what arrives

    def _line(self, line: Stream) -> None:
        if isinstance(line, Snapshot):
            first = self.store.snapshot is None
            self.store.add_snapshot(line)
            self._received_s = time.monotonic()
            if line.state in ENDED or first:
                self.redraw()
        elif self.loaded.is_set():
            self._keep(line)
        else:  # the run's files come first
            self._early.append(line)

    def _keep(self, line: Stream) -> None:
        if isinstance(line, EventLine):
            self.store.add_event(line)
        elif isinstance(line, RecordLine):
            self.store.add_record(line.record)

    def _connection(self, up: bool) -> None:
        self._lost = not up
        snapshot = self.store.snapshot
        if not up and snapshot is not None and snapshot.state in ENDED:
            self.ended = True
            if self._listening is not None:
                self._listening.cancel()
        self.redraw()

    # ---- one moment

    def view(self) -> View:
        """What the screen shows now."""
        now = time.monotonic()
        snapshot = self.store.snapshot
        age_s = self._age_s(now)
        if self._frozen is not None:
            held = replace(
                self._frozen,
                link=self._link(age_s),
                age_s=age_s,
                supervisor_gone=self._supervisor_gone(),
            )
            return self._dressed(held, now)
        return self._dressed(
            View(
                run_dir=self.run_dir,
                snapshot=snapshot,
                link=self._link(age_s),
                age_s=age_s,
                waited_s=now - self._opened_s if snapshot is None else 0.0,
                supervisor_gone=self._supervisor_gone(),
                reading=not self.loaded.is_set(),
                judging=self._judging,
                events=tuple(self.store.events),
                curves=self.store.curves(),
                times=self.store.times(),
                marks=self.store.marks(),
                told={policy: dict(told) for policy, told in self.store.told.items()},
                bad_lines=(self.client.bad_lines if self.client else 0)
                + self.store.damaged_lines,
            ),
            now,
        )  # fmt: skip

    def policy_name(self) -> str:
        """See ``View.policy_name``."""
        return View(snapshot=self.store.snapshot, policy_index=self._policy_at).policy_name()

    def _dressed(self, view: View, now: float) -> View:
        """The same data with the user's choices of this moment."""
        return replace(
            view,
            palette=DARK if self.current_theme.dark else LIGHT,
            ascii_only=self.ascii_only,
            colourless=self.no_color,
            read_only=self.read_only,
            policy_index=self._policy_at,
            log=self.shown_log,
            selected=self.selected,
            charts=self.charts,
            compared=self.compared,
            frozen_s=None if self._frozen is None else now - self._frozen_at,
            notice=self.current_notice(now),
            tab=self.tab,
            compact=self.has_class("-compact"),
            sight=self.sight,
            sight_age_s=None if self.sight is None else now - self.sight.at_s,
            scrolled=self.screen_stack[0].query_one("#tab-2", ScrolledTab).scrolled,
        )

    def _age_s(self, now: float) -> float | None:
        snapshot = self.store.snapshot
        if self.ended and snapshot is not None and snapshot.time_s > 0:
            return max(0.0, time.time() - snapshot.time_s)
        return None if self._received_s is None else now - self._received_s

    def _link(self, age_s: float | None) -> Link:
        if self.ended:
            return "recorded"
        if age_s is None:
            return "connecting"
        return "stale" if age_s > STALE_S or (self._lost and age_s > REDRAW_S) else "live"

    def _supervisor_gone(self) -> bool:
        snapshot = self.store.snapshot
        if snapshot is None or snapshot.supervisor_pid <= 0 or not self._lost or self.ended:
            return False
        try:
            os.kill(snapshot.supervisor_pid, 0)
        except ProcessLookupError:
            return True
        except OSError:
            return False
        return False

    def redraw(self) -> None:
        """Hand the current view to every panel that can be seen."""
        if not self.is_running or not self.screen_stack:
            return
        main = self.screen_stack[0]
        view = self.view()
        self.set_class(bool(view.told), "-told")
        self.set_class(view.sight is not None, "-seeing")
        self.set_class(len(view.policies()) > 1, "-several")
        self.set_class(view.snapshot is not None and view.snapshot.state == "failed", "-failed")
        around = replace(view, filter=self.lines_in_use().filter)
        for panel in self._panels(main, "#header, #notice, #keys"):
            panel.show(around)
        for panel in self._panels(main, f"#tab-{self.tab} Panel"):
            panel.show(view)

    def _panels(self, main: Screen[Any], selector: str) -> list[Panel]:
        """Those panels, looked for once: they stay as long as the screen does."""
        if not self._found.get(selector):
            self._found[selector] = list(main.query(selector).results(Panel))
        return self._found[selector]

    # ---- what the user asks for

    def action_freeze(self) -> None:
        """Hold the view, or let it go on."""
        if self._frozen is None:
            self._frozen, self._frozen_at = self.view(), time.monotonic()
            self.hush()  # the banner answers this key
        else:
            self._frozen = None
        self.frozen = self._frozen is not None
        self.redraw()

    def action_choose(self, by: int) -> None:
        """Another policy, or on the Logs tab another file."""
        if self.tab == 5:
            self.choose_log(by)
        else:
            self._policy_at += by
            many = len(self.view().policies()) > 1
            self.announce(f"policy {self.policy_name()}" if many else "this run has one policy")
        self.redraw()

    def action_tab(self, number: int) -> None:
        """Open a tab; what had the focus on another does not keep it."""
        if number != self.tab:
            self.close_zoom()
            self.screen_stack[0].set_focus(None)
        self.tab = number
        for i in range(1, len(TABS) + 1):
            self.screen_stack[0].query_one(f"#tab-{i}").set_class(i == number, "-shown")
        self.call_after_refresh(self.redraw)
        self.redraw()

    def action_step_back(self) -> None:
        """Undo the first of: a panel alone, a part of the x axis, a filter, the focus."""
        if not (self.close_zoom() or self.show_whole_x() or self.clear_filter()):
            self.screen_stack[0].set_focus(None)

    def action_scroll_tab(self, lines: int) -> None:
        """Scroll what fills the tab; a panel that has the focus scrolls itself."""
        filling = self.screen_stack[0].query_one(SCROLLED[self.tab])
        assert isinstance(filling, ScrolledTab | Panel)
        filling.action_scroll_lines(lines)
        self.redraw()

    def action_command_palette(self) -> None:
        """Open the palette; textual's own asks in words that are not ASCII."""
        if not isinstance(self.screen, CommandPalette):
            self.push_screen(CommandPalette(placeholder="a command", id="--command-palette"))

    def get_system_commands(self, screen: Screen[Any]) -> Iterable[SystemCommand]:
        """Every action, for the command palette."""
        for binding in self.own_bindings():
            if binding.description and not binding.system:
                keys = ", ".join(format_key(key) for key in binding.key.split(","))
                said = f"key {keys}" + (f": {binding.tooltip}" if binding.tooltip else "")
                said = to_ascii(said) if self.ascii_only else said
                yield SystemCommand(binding.description, said, self._runner(binding.action))
        for name, action, words in self.WITHOUT_KEY:
            yield SystemCommand(name, words, self._runner(action))
        yield SystemCommand("theme", "dark, light or of the terminal", self.action_change_theme)

    def _runner(self, action: str) -> Callable[[], None]:
        def run() -> None:
            self.call_later(self.run_action, action)

        return run


def _read(run_dir: Path, ended: bool) -> Store:
    """All that a run's files say, with its end as a snapshot if it has ended; for a thread.

    Who reads them needs numpy, which takes as long as a fifth of the first picture.
    """
    from tuitrain.tui.recorded import load_recorded, recorded_snapshot, tell_if_killed

    store = Store()
    load_recorded(run_dir, store)
    if ended:
        store.add_snapshot(recorded_snapshot(run_dir, store))
        tell_if_killed(run_dir, store)
    return store
