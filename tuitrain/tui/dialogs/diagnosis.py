"""What is wrong with the run: causes one by one, each with what follows from it."""

from __future__ import annotations

from typing import ClassVar

from rich.text import Text
from textual.binding import Binding, BindingType

from tuitrain.diagnosis.diagnose import Diagnosis
from tuitrain.diagnosis.doubts import doubted
from tuitrain.diagnosis.words import cause, lines, notes
from tuitrain.tui.dialogs.base import Dialog
from tuitrain.tui.text import safe
from tuitrain.tui.view import View, check_style

COLUMNS = 68
"""Of the box, between its margins."""


class DiagnosisDialog(Dialog):
    """The likeliest cause first; up and down go through the others."""

    BINDINGS: ClassVar[list[BindingType]] = [
        Binding("up,k", "move(-1)", show=False),
        Binding("down,j", "move(1)", show=False),
        Binding("w,enter", "dismiss_none", show=False),
    ]

    def __init__(self, view: View, diagnosis: Diagnosis) -> None:
        super().__init__(view)
        snapshot = view.snapshot
        self.diagnosis = diagnosis if snapshot is None else doubted(diagnosis, snapshot)
        self.at = 0

    def text(self) -> Text:
        """The cause that is open, or that nothing was found."""
        palette, wrong = self.view.palette, self.diagnosis.wrong
        if not wrong:
            return Text("\n".join(map(safe, lines(self.diagnosis, COLUMNS))))
        shown = [safe(line) for line in cause(self.at + 1, wrong[self.at], COLUMNS)]
        body = Text("\n".join(shown))
        body.stylize(check_style(wrong[self.at].check.state, palette), 0, len(shown[0]))
        for note in notes(self.diagnosis, COLUMNS) if self.at == 0 else ():
            body.append("\n\n" + "\n".join(map(safe, note)))
        place = f"\n\ncause {self.at + 1} of {len(wrong)}, likeliest first · ↑↓ others · esc back"
        return body.append(place, palette.dim)

    def action_move(self, by: int) -> None:
        """Open another cause."""
        self.at = (self.at + by) % max(1, len(self.diagnosis.wrong))
        self.redraw()
