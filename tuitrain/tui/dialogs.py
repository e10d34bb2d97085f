"""The questions and explanations that open over the screen: leave, check, help."""

from __future__ import annotations

from typing import Any, ClassVar, Literal

from rich.text import Text
from textual import events
from textual.app import ComposeResult
from textual.binding import Binding, BindingType
from textual.containers import Vertical
from textual.screen import ModalScreen
from textual.widgets import Static

from tuitrain.protocol import CheckView
from tuitrain.tui.text import to_ascii
from tuitrain.tui.view import View
from tuitrain.tui.widgets.checks import explain

Leave = Literal["detach", "stop", "cancel"]


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

    def leave(self, answer: Leave | None) -> None:
        """Close with this answer. Of keys that come together the first one counts."""
        if self.is_current:
            self.dismiss(answer)

    def action_dismiss_none(self) -> None:
        """Close without an answer."""
        self.leave(None)


class LeaveDialog(Dialog):
    """Detach, stop or stay? Detach is what enter does."""

    BINDINGS: ClassVar[list[BindingType]] = [
        Binding("up,k,left,shift+tab", "move(-1)", show=False, priority=True),
        Binding("down,j,right,tab", "move(1)", show=False, priority=True),
        Binding("enter", "choose", show=False, priority=True),
        Binding("d", "answer('detach')", show=False, priority=True),
    ]
    CHOICES: ClassVar[tuple[tuple[Leave, str, str], ...]] = (
        ("detach", "Detach", "training goes on; `tuitrain attach` opens this screen again"),
        ("stop", "Stop and checkpoint", "ends the run; `tuitrain resume` continues it"),
        ("cancel", "Cancel", "stay here"),
    )

    def __init__(self, view: View) -> None:
        super().__init__(view)
        self.chosen = 0

    def text(self) -> Text:
        """The three choices, the current one marked."""
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


class CheckDialog(Dialog):
    """One check explained; up and down go through the others."""

    BINDINGS: ClassVar[list[BindingType]] = [
        Binding("up,k", "move(-1)", show=False),
        Binding("down,j", "move(1)", show=False),
        Binding("exclamation_mark,enter", "dismiss_none", show=False),
    ]

    def __init__(self, view: View, checks: list[CheckView]) -> None:
        super().__init__(view)
        self.checks = checks
        self.at = 0

    def text(self) -> Text:
        """The explanation of the check that is open."""
        body = Text("\n").join(explain(self.checks[self.at], self.view))
        place = f"\n\ncheck {self.at + 1} of {len(self.checks)}, worst first · ↑↓ others · esc back"
        return body.append(place, self.view.palette.dim)

    def action_move(self, by: int) -> None:
        """Explain another check."""
        self.at = (self.at + by) % len(self.checks)
        self.redraw()


class HelpDialog(Dialog):
    """All keys and what the glyphs mean."""

    def __init__(self, view: View, keys: list[tuple[str, str]]) -> None:
        super().__init__(view)
        self.keys = keys

    def text(self) -> Text:
        """Keys, then the legend."""
        palette = self.view.palette
        text = Text("Keys", palette.accent)
        text.append("   ↑ ↓ scroll, any other key closes\n", palette.dim)
        for key, words in self.keys:
            text.append(f" {key:<13}", palette.ok)
            text.append(f" {words}\n")
        text.append("\nGlyphs\n", palette.accent)
        text.append(" ● ok, running  ◌ waiting  ◫ paused  ▲ warning\n")
        text.append(" ✖ failed, not finite  ○ not measured, starting\n")
        text.append(" ✓ finished  ■ stopped  ↻ restarts\n")
        text.append(" L● 0◌ 1● E◌  one line of workers: learner, actors, evaluator;\n")
        text.append("              T: the trainer of a sequential run\n")
        text.append("LEARNING\n", palette.accent)
        text.append(" the verdict on the policy chosen with [ ]; if another's is worse,\n")
        text.append(" the worst: FALLING, then FLAT, TOO EARLY, IMPROVING\n")
        text.append("Units\n", palette.accent)
        text.append(" st environment steps  u updates  tr transitions  ep episodes\n")
        text.append(" lag-u updates since the weights held  lag-s their age")
        return text

    def on_key(self, event: events.Key) -> None:
        """Arrows scroll, for a terminal too small for all of it; any other key closes."""
        event.stop()
        box = self.query_one("#dialog")
        scroll = {
            "up": box.scroll_up,
            "down": box.scroll_down,
            "pageup": box.scroll_page_up,
            "pagedown": box.scroll_page_down,
        }.get(event.key)
        if scroll is None:
            self.leave(None)
        else:
            scroll(animate=False)
