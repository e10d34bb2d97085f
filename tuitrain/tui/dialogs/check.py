"""What a check has measured, what it should be, and what to do about it."""

from __future__ import annotations

from typing import ClassVar

from rich.text import Text
from textual.binding import Binding, BindingType

from tuitrain.protocol import CheckView
from tuitrain.tui.dialogs.base import Dialog
from tuitrain.tui.view import View
from tuitrain.tui.widgets.checks import explain


class CheckDialog(Dialog):
    """One check explained; up and down go through the others."""

    BINDINGS: ClassVar[list[BindingType]] = [
        Binding("up,k", "move(-1)", show=False),
        Binding("down,j", "move(1)", show=False),
        Binding("w", "app.diagnose", show=False),
        Binding("exclamation_mark,i,enter", "dismiss_none", show=False),
    ]

    def __init__(self, view: View, checks: list[CheckView]) -> None:
        super().__init__(view)
        self.checks = checks
        self.at = 0

    def text(self) -> Text:
        """The explanation of the check that is open."""
        body = Text("\n").join(explain(self.checks[self.at], self.view))
        place = f"\n\ncheck {self.at + 1} of {len(self.checks)}, worst first · ↑↓ others · esc back"
        body.append(place, self.view.palette.dim)
        return body.append("\nall causes: w, or `tuitrain diagnose`", self.view.palette.dim)

    def action_move(self, by: int) -> None:
        """Explain another check."""
        self.at = (self.at + by) % len(self.checks)
        self.redraw()
