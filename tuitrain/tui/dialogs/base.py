"""A box in the middle of the screen, which escape and q close."""

from __future__ import annotations

from typing import Any, ClassVar

from rich.text import Text
from textual.app import ComposeResult
from textual.binding import Binding, BindingType
from textual.containers import Vertical
from textual.screen import ModalScreen
from textual.suggester import Suggester
from textual.widgets import Input, Static

from tuitrain.tui.text import to_ascii
from tuitrain.tui.view import View


class Dialog(ModalScreen[Any]):
    """A box in the middle; escape and q close it."""

    BINDINGS: ClassVar[list[BindingType]] = [
        Binding("escape", "dismiss_none", show=False),
        Binding("q", "dismiss_none", show=False),
    ]

    def __init__(self, view: View) -> None:
        super().__init__()
        self.view = view

    def text(self) -> Text:
        """What the box says now."""
        raise NotImplementedError

    def compose(self) -> ComposeResult:
        """One box."""
        with Vertical(id="dialog"):
            yield Static(self.drawn(), id="dialog-text")

    def drawn(self) -> Text:
        """`text`, in ASCII where that is asked for."""
        text = self.text()
        if not self.view.ascii_only:
            return text
        lines = []
        for line in text.split("\n"):
            plain = Text(to_ascii(line.plain))
            if line.plain.isascii():
                plain = line
            lines.append(plain)
        return Text("\n").join(lines)

    def redraw(self) -> None:
        """Show `text` again."""
        self.query_one("#dialog-text", Static).update(self.drawn())

    def leave(self, answer: Any) -> None:
        """Close with this answer. Of keys that come together the first one counts."""
        if self.is_current:
            self.dismiss(answer)

    def action_dismiss_none(self) -> None:
        """Close without an answer."""
        self.leave(None)


class TypingDialog(Dialog):
    """A box with a line under its text, in which one types at once.

    Args:
        view: For its colours.
        suggester: Completes what is typed.
        before: What is on the line already.
    """

    def __init__(self, view: View, suggester: Suggester | None = None, before: str = "") -> None:
        super().__init__(view)
        self._suggester = suggester
        self._before = before

    def compose(self) -> ComposeResult:
        """The text, and the line."""
        with Vertical(id="dialog"):
            yield Static(self.drawn(), id="dialog-text")
            typed = Input(
                self._before,
                id="typed",
                compact=True,
                select_on_focus=False,
                suggester=self._suggester,
            )
            typed.cursor_blink = False
            yield typed

    def on_mount(self) -> None:
        """Type at once."""
        self.query_one("#typed").focus()
