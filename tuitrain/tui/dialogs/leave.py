"""What leaving the screen means for the run."""

from __future__ import annotations

from typing import ClassVar, Literal

from rich.text import Text
from textual import on
from textual.binding import Binding, BindingType
from textual.widgets import Input

from tuitrain.tui.dialogs.base import Dialog, TypingDialog
from tuitrain.tui.text import safe
from tuitrain.tui.view import View

Leave = Literal["detach", "stop", "kill", "cancel"]


class LeaveDialog(Dialog):
    """Detach, stop, kill or stay? Detach is what enter does."""

    BINDINGS: ClassVar[list[BindingType]] = [
        Binding("up,k,left,shift+tab", "move(-1)", show=False, priority=True),
        Binding("down,j,right,tab", "move(1)", show=False, priority=True),
        Binding("enter", "choose", show=False, priority=True),
        Binding("d", "answer('detach')", show=False, priority=True),
    ]
    CHOICES: ClassVar[tuple[tuple[Leave, str, str], ...]] = (
        ("detach", "Detach", "training goes on; `tuitrain attach` opens this screen again"),
        ("stop", "Stop and checkpoint", "ends the run; `tuitrain resume` continues it"),
        ("kill", "Kill", "ends it at once, without a checkpoint; asks for its name"),
        ("cancel", "Cancel", "stay here"),
    )

    def __init__(self, view: View) -> None:
        super().__init__(view)
        self.chosen = 0

    def text(self) -> Text:
        """The choices, the current one marked."""
        palette = self.view.palette
        text = Text("Leave this screen?\n\n", palette.accent)
        for i, (_, title, words) in enumerate(self.CHOICES):
            mine = i == self.chosen
            text.append(f"{'▶' if mine else ' '} ", palette.ok)
            text.append(f" {title} ", "bold reverse" if mine else "bold")
            text.append(f"\n      {words}\n", palette.dim)
        text.append("\n↑ ↓ enter choose · d detaches · escape stays", palette.dim)
        return text

    def action_move(self, by: int) -> None:
        """Mark another choice."""
        self.chosen = (self.chosen + by) % len(self.CHOICES)
        self.redraw()

    def action_choose(self) -> None:
        """Answer with the marked choice."""
        self.leave(self.CHOICES[self.chosen][0])

    def action_answer(self, answer: Leave) -> None:
        """Answer by letter."""
        self.leave(answer)


class KillDialog(TypingDialog):
    """Asks for the run's name; answers True once it has been typed in full."""

    def __init__(self, view: View, name: str) -> None:
        super().__init__(view)
        self.run_name = name
        self._wrong = False

    def text(self) -> Text:
        """What is lost, and what to type."""
        palette = self.view.palette
        text = Text("Kill this run?\n\n", palette.accent)
        text.append("What it has done since its last checkpoint is lost.\n")
        text.append("Type its name and enter: ").append(safe(self.run_name), "bold")
        text.append("\nescape stays", palette.dim)
        if self._wrong:
            text.append("\n✖ that is not its name", palette.fail)
        return text

    @on(Input.Submitted)
    def judge(self, event: Input.Submitted) -> None:
        """Only the whole name kills."""
        event.stop()
        if event.value.strip() == self.run_name:
            self.leave(True)
        else:
            self._wrong = True
            self.redraw()
