"""Keys that take something along: copies by the terminal (OSC 52), and the screen as files."""

from __future__ import annotations

from typing import ClassVar

from textual.binding import Binding, BindingType

from tuitrain.tui.actions.reading import ReadingApp
from tuitrain.tui.screenshot import export_screen, new_path
from tuitrain.tui.widgets.panel import Panel

MOST_COPIED = 50_000
"""Bytes of one copy: terminals drop longer sequences as a whole."""


class TakingApp(ReadingApp):
    """What is copied goes through the terminal, so it works over ssh."""

    BINDINGS: ClassVar[list[BindingType]] = [
        Binding("y", "copy_line", "copy line"),
        Binding("Y", "copy_panel", "copy panel"),
        Binding("x", "export", "export"),
    ]

    def action_copy_line(self) -> None:
        """Copy the marked line, or the newest or first one shown."""
        line = self._panel().line()
        if line:
            self._copy(line, f"copied: {line}")
        else:
            self.announce("nothing to copy here")

    def action_copy_panel(self) -> None:
        """Copy all lines of the panel, of a long one its end."""
        whole = self._panel().whole().encode()[-MOST_COPIED:].decode(errors="ignore")
        self._copy(whole, f"copied {len(whole.splitlines())} lines")

    def _panel(self) -> Panel:
        focused = self.screen_stack[0].focused
        return focused if isinstance(focused, Panel) else self.lines_in_use()

    def _copy(self, text: str, told: str) -> None:
        self.copy_to_clipboard(text)
        self.announce(f"{told} (if this terminal takes OSC 52)", "ok")

    def action_export(self) -> None:
        """Write the screen as SVG and text, and what it shows as JSON, into the run's folder."""
        if self.read_only:
            self.announce("export: this screen only looks (--read-only)", "fail")
            return
        path = new_path(self.run_dir)
        try:
            export_screen(self, self.view(), path)
        except OSError as error:
            self.announce(f"export failed: {error}", "fail")
        else:
            self.note(f"exported {path}, .txt and .json")
            self.announce(f"exported screens/{path.name}, .txt and .json in {self.run_dir}", "ok")
