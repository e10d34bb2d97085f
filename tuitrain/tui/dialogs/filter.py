"""The line at the bottom in which a filter is typed; the panel obeys while it is typed."""

from __future__ import annotations

from collections.abc import Callable

from textual import on
from textual.app import ComposeResult
from textual.containers import Horizontal
from textual.widgets import Input, Static

from tuitrain.tui.dialogs.base import Dialog
from tuitrain.tui.view import View


class FilterDialog(Dialog):
    """Enter keeps what was typed, escape what there was before; an empty line shows all.

    Args:
        before: What the filter is now.
        typed: Called with the text after every change.
    """

    def __init__(self, view: View, before: str, typed: Callable[[str], None]) -> None:
        super().__init__(view)
        self._before = before
        self._typed = typed

    def compose(self) -> ComposeResult:
        """A slash, and a line to type in."""
        with Horizontal(id="filter"):
            yield Static("/", id="slash")
            line = Input(self._before, id="filter-text", compact=True)
            line.cursor_blink = False
            yield line
            yield Static("enter keeps, escape goes back", id="filter-help")

    def on_mount(self) -> None:
        """Type at once."""
        self.query_one("#filter-text").focus()

    @on(Input.Changed)
    def obey(self, event: Input.Changed) -> None:
        """Filter while it is typed."""
        event.stop()
        self._typed(event.value)

    @on(Input.Submitted)
    def keep(self, event: Input.Submitted) -> None:
        """Close; the filter stays."""
        event.stop()
        self.leave(None)

    def action_dismiss_none(self) -> None:
        """Close; the filter is what it was."""
        self._typed(self._before)
        self.leave(None)
