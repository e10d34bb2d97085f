"""One panel alone on the screen, between header and keys, and back."""

from __future__ import annotations

from typing import ClassVar

from textual.binding import Binding, BindingType
from textual.widget import Widget

from tuitrain.tui.actions.base import RunApp
from tuitrain.tui.widgets.panel import Panel

MAIN = {1: "#chart-return", 2: "#learning-0", 3: "#policies", 4: "#process-details", 5: "#log"}
"""By tab, the panel that is meant while none has the focus."""


class ZoomingApp(RunApp):
    """The focused panel of the open tab can have all of it."""

    BINDINGS: ClassVar[list[BindingType]] = [
        Binding("tab", "focus_next", "focus the next panel"),
        Binding("enter,z", "zoom_panel", "one panel alone"),
    ]

    zoomed: Panel | None = None
    """The panel that has its tab for itself."""

    def action_zoom_panel(self) -> None:
        """Show the focused panel alone, or again with the others."""
        if self.close_zoom():
            return
        screen = self.screen_stack[0]
        panel = screen.focused
        if not isinstance(panel, Panel):
            panel = screen.query_one(MAIN[self.view().tab], Panel)
        self.zoomed = panel
        self._arrange(panel, alone=True)

    def close_zoom(self) -> bool:
        """Show all panels again; whether one was alone."""
        panel, self.zoomed = self.zoomed, None
        if panel is not None:
            self._arrange(panel, alone=False)
        return panel is not None

    def _arrange(self, panel: Panel, *, alone: bool) -> None:
        """Give a panel and what it lies in all room, and take it from what lies beside them."""
        inner: Widget = panel
        while "tab" not in inner.classes:
            inner.set_class(alone, "-alone")
            outer = inner.parent
            assert isinstance(outer, Widget)
            for other in outer.children:
                other.set_class(alone and other is not inner, "-away")
            inner = outer
        self.call_after_refresh(self.redraw)
        self.redraw()
