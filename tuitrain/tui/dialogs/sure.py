"""Is that meant? What it costs, and enter does it."""

from __future__ import annotations

from typing import ClassVar

from rich.text import Text
from textual.binding import Binding, BindingType

from tuitrain.tui.dialogs.base import Dialog
from tuitrain.tui.text import safe
from tuitrain.tui.view import View


class SureDialog(Dialog):
    """Answers True to enter, None to escape.

    Args:
        question: What is to be done.
        cost: What is lost by it; may be empty.
    """

    BINDINGS: ClassVar[list[BindingType]] = [
        Binding("enter", "yes", show=False, priority=True),
    ]

    def __init__(self, view: View, question: str, cost: str) -> None:
        super().__init__(view)
        self._question, self._cost = question, cost

    def text(self) -> Text:
        """The question and the cost."""
        palette = self.view.palette
        text = Text(f"{safe(self._question)}\n\n", palette.accent)
        if self._cost:
            text.append(f"{safe(self._cost, 300)}\n\n")
        return text.append("enter does it · escape stays", palette.dim)

    def action_yes(self) -> None:
        """It is meant."""
        self.leave(True)
