"""Keys for the lines of a panel: filter, find, follow; and choosing a process and its log."""

from __future__ import annotations

from dataclasses import replace
from typing import ClassVar

from textual.binding import Binding, BindingType

from tuitrain.tui.actions.base import RunApp
from tuitrain.tui.dialogs.filter import FilterDialog
from tuitrain.tui.view import shown_processes
from tuitrain.tui.widgets.logs import after, sources
from tuitrain.tui.widgets.panel import Panel, SelectPanel

LINES = {1: "#events", 2: "#policy-table", 3: "#policies", 4: "#process-details", 5: "#log"}
"""By tab, whose lines are meant while no panel has the focus."""
LOGS = 5


class ReadingApp(RunApp):
    """They concern the panel that has the focus, else the lines of the open tab."""

    BINDINGS: ClassVar[list[BindingType]] = [
        Binding("slash", "filter", "filter lines"),
        Binding("n", "match(1)", "next match"),
        Binding("N", "match(-1)", "previous match"),
        Binding("l", "logs", "logs"),
        Binding("f", "follow", "follow the newest line"),
    ]

    shown_log = ""
    """Whose log is shown."""
    selected = ""
    """The process that is chosen in the table, by name."""

    def lines_in_use(self) -> Panel:
        """The panel that the keys mean now."""
        main = self.screen_stack[0]
        if isinstance(main.focused, Panel) and main.focused.filters:
            return main.focused
        return main.query_one(LINES[self.tab], Panel)

    def action_filter(self) -> None:
        """Type what the lines must have in them."""
        panel = self.lines_in_use()
        if not panel.filters:
            self.announce("there are no lines to filter here")
            return

        def typed(words: str) -> None:
            panel.set_filter(words)
            self.redraw()

        self.push_screen(FilterDialog(self.view(), panel.filter, typed))

    def clear_filter(self) -> bool:
        """Show all lines again; whether that was not so before."""
        panel = self.lines_in_use()
        filtered = bool(panel.filter)
        if filtered:
            panel.set_filter("")
            self.redraw()
        return filtered

    def action_match(self, by: int) -> None:
        """Mark the next or previous line with the filter in it."""
        panel = self.lines_in_use()
        if not panel.filter:
            self.announce("no filter here: / sets one")
            return
        number, of = panel.next_match(by)
        self.announce(f"match {number} of {of}: {panel.filter}" if of else "nothing matches")

    def action_follow(self) -> None:
        """Follow the newest line, or stop following."""
        panel = self.lines_in_use()
        if panel.following is None:
            self.announce("nothing to follow here: f is for events and logs")
            return
        panel.follow(not panel.following)
        self.announce("the newest line is followed" if panel.following else "held here")

    def action_logs(self) -> None:
        """Open the logs: of the process chosen in the table that has the focus, if one is."""
        if self.selected and isinstance(self.screen_stack[0].focused, SelectPanel):
            self.shown_log = self.selected
        self.action_tab(LOGS)

    def choose_log(self, by: int) -> None:
        """Show the next or previous log."""
        self.shown_log = after(sources(self.run_dir), self.shown_log, by)

    def action_select(self, by: int) -> None:
        """Choose another process of the table, of those that match its filter."""
        panel = self.screen_stack[0].focused
        if not isinstance(panel, SelectPanel):
            return
        names = [p.name for p in shown_processes(replace(self.view(), filter=panel.filter))]
        if not names:
            return
        at = (names.index(self.selected) if self.selected in names else -1) + by
        self.selected = names[max(0, min(len(names) - 1, at))]
        self.redraw()
