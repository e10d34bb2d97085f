"""Which run to compare with."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import ClassVar

from rich.text import Text
from textual.binding import Binding, BindingType

from tuitrain.tui.dialogs.base import Dialog
from tuitrain.tui.text import safe
from tuitrain.tui.view import View

ROWS = 12
"""Runs that are shown at once."""


class CompareDialog(Dialog):
    """A list of runs under `no comparison`. Answers with a folder, False for none, None to stay.

    Args:
        view: For its colours.
        runs: Their folders.
        now: Name of the run that is compared with now.
    """

    BINDINGS: ClassVar[list[BindingType]] = [
        Binding("up,k", "move(-1)", show=False),
        Binding("down,j", "move(1)", show=False),
        Binding("pageup", f"move({-ROWS})", show=False),
        Binding("pagedown", f"move({ROWS})", show=False),
        Binding("enter", "choose", show=False),
    ]

    def __init__(self, view: View, runs: Sequence[Path], now: str | None) -> None:
        super().__init__(view)
        self._runs = runs
        names = [path.name for path in runs]
        self._at = names.index(now) + 1 if now in names else 1

    def text(self) -> Text:
        """The runs around the marked one."""
        palette = self.view.palette
        text = Text("Compare with\n\n", palette.accent)
        names = ["no comparison", *(safe(path.name, 60) for path in self._runs)]
        first = max(0, min(self._at - ROWS // 2, len(names) - ROWS))
        for i, name in enumerate(names[first : first + ROWS], first):
            mine = i == self._at
            text.append(f"{'▶' if mine else ' '} ", palette.ok)
            text.append(f" {name} \n", "bold reverse" if mine else "")
        count = f"{len(self._runs)} run{'s' * (len(self._runs) != 1)}, newest first"
        return text.append(f"\n{count} · ↑ ↓ enter choose · escape stays", palette.dim)

    def action_move(self, by: int) -> None:
        """Mark another run."""
        self._at = max(0, min(len(self._runs), self._at + by))
        self.redraw()

    def action_choose(self) -> None:
        """Answer with the marked run."""
        self.leave(self._runs[self._at - 1] if self._at else False)
