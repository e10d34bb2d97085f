"""Which run to look at, where there is more than one: a list, and enter."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import ClassVar

from rich.cells import cell_len, set_cell_size
from rich.text import Text
from textual import events
from textual.app import App, ComposeResult
from textual.binding import Binding, BindingType
from textual.widgets import Static

from tuitrain.tui.text import DARK, LIGHT, Palette, clip, safe, to_ascii
from tuitrain.tui.view import STATE_GLYPH, state_style


@dataclass(frozen=True)
class Entry:
    """A run: its name, its state, how far it is, and whether it lives.

    Attributes:
        folder: where it is, if that is not where runs are looked for.
    """

    name: str
    state: str
    words: str
    live: bool
    folder: str = ""


def draw_picker(
    entries: Sequence[Entry], chosen: int, width: int, height: int, palette: Palette
) -> list[Text]:
    """A question, the runs around the chosen one, and the keys; at most `height` lines."""
    live = sum(entry.live for entry in entries)
    ended = f", {len(entries) - live} have ended" if live < len(entries) else ""
    head = Text(f"Which run? {live} live{ended}", palette.accent, end="")
    keys = Text("↑ ↓ choose · enter opens it · q leaves", palette.dim, end="")
    room = max(1, height - 4)
    first = max(0, min(chosen - room // 2, len(entries) - room))
    wide = max(len(safe(entry.name)) for entry in entries)
    word = max(len(entry.state) for entry in entries)
    folders = [_shortened(safe(entry.folder), width // 3) for entry in entries]
    far = max(cell_len(folder) for folder in folders)
    rows = []
    for i, entry in enumerate(entries[first : first + room], first):
        mine = i == chosen
        row = Text("▸ " if mine else "  ", palette.ok, end="")
        row.append(f"{safe(entry.name):<{wide}}", "bold reverse" if mine else "")
        if far:
            row.append("  ").append(set_cell_size(folders[i], far), palette.dim)
        style = state_style(entry.state, palette) if entry.live else palette.dim
        row.append(f"  {STATE_GLYPH.get(entry.state, '○')} {entry.state:<{word}}  ", style)
        row.append(safe(entry.words), palette.dim)
        rows.append(row)
    blank = Text(end="")
    lines = [head, blank, *rows, blank, keys] if height > 4 else rows
    return [clip(line, width) for line in lines][:height]


def _shortened(folder: str, most: int) -> str:
    """With its middle left out, where it is longer: its end says more than its beginning."""
    if cell_len(folder) <= most or most < 3:
        return folder
    head = most // 4
    tail = folder[head:]
    while cell_len(folder[:head]) + 1 + cell_len(tail) > most and tail:
        tail = tail[1:]
    return f"{folder[:head]}…{tail}"


class PickerApp(App[int]):
    """Answers the number of the chosen entry, or None.

    Args:
        entries: At least one.
        ascii_only: Draw with ASCII characters alone.
    """

    ENABLE_COMMAND_PALETTE = False
    BINDINGS: ClassVar[list[BindingType]] = [
        Binding("up,k", "move(-1)", show=False),
        Binding("down,j", "move(1)", show=False),
        Binding("home", "move(-100000)", show=False),
        Binding("end", "move(100000)", show=False),
        Binding("enter", "open", show=False),
        Binding("q,escape", "exit", show=False),
        Binding("ctrl+q,ctrl+c", "exit", show=False, priority=True),
    ]

    def __init__(self, entries: Sequence[Entry], *, ascii_only: bool = False) -> None:
        super().__init__()
        self.animation_level = "none"
        self.entries = entries
        self.ascii_only = ascii_only
        self.chosen = 0

    def compose(self) -> ComposeResult:
        """One list."""
        yield Static(id="list")

    def on_mount(self) -> None:
        """Draw it."""
        self.redraw()

    def on_resize(self, _: events.Resize) -> None:
        """As much of it as fits."""
        self.redraw()

    def redraw(self) -> None:
        """Show the list as it is now."""
        palette = DARK if self.current_theme.dark else LIGHT
        lines = draw_picker(self.entries, self.chosen, *self.size, palette)
        if self.ascii_only:
            lines = [Text(to_ascii(line.plain), end="") for line in lines]
        self.query_one("#list", Static).update(Text("\n").join(lines))

    def action_move(self, by: int) -> None:
        """Mark another run."""
        self.chosen = max(0, min(len(self.entries) - 1, self.chosen + by))
        self.redraw()

    def action_open(self) -> None:
        """Answer with the marked run."""
        self.exit(self.chosen)

    def action_exit(self) -> None:
        """Leave without an answer."""
        self.exit()
