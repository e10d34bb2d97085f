"""A widget that shows the lines a pure function draws, cropped, scrollable, never failing on size.

One widget per panel instead of one per cell: a table of 50 cells as widgets costs tens of
milliseconds an update, drawn as text it costs two.
"""

from __future__ import annotations

from typing import Any, ClassVar

from rich.segment import Segment
from rich.style import Style
from rich.text import Text
from textual import events
from textual.actions import SkipAction
from textual.binding import Binding, BindingType
from textual.geometry import Size
from textual.strip import Strip
from textual.widget import Widget

from tuitrain.tui.text import to_ascii
from tuitrain.tui.view import Draw, View

_DIM = Style(dim=True)


class Panel(Widget, can_focus=False):
    """Shows what ``draw`` makes of the newest view.

    Of what a scrollable panel's ``draw`` makes, however many lines, a window is shown; with
    ``follow`` the window stays at the end until the user scrolls up.
    """

    BINDINGS: ClassVar[list[BindingType]] = [
        Binding("up,k", "scroll_lines(-1)", show=False),
        Binding("down,j", "scroll_lines(1)", show=False),
        Binding("pageup", "scroll_lines(-10)", show=False),
        Binding("pagedown", "scroll_lines(10)", show=False),
        Binding("home", "scroll_lines(-100000)", show=False),
        Binding("end", "scroll_lines(100000)", show=False),
    ]

    def __init__(
        self,
        draw: Draw,
        title: str = "",
        *,
        scrolls: bool = False,
        follow: bool = False,
        sticky: int = 0,
        **kwargs: Any,
    ) -> None:
        super().__init__(**kwargs)
        self.can_focus = bool(title)  # so that it can be shown alone
        self._draw = draw
        self._scrolls = scrolls
        self._follow = follow
        self._sticky = sticky
        self._from_top = 0
        self._at_end = follow
        self._current = View()
        self._strips: list[Strip] | None = None
        self._drawn_size = Size(0, 0)
        if title:
            self.border_title = title

    def show(self, view: View) -> None:
        """Draw this view from now on."""
        self._current = view
        self._strips = None
        self.refresh()

    def retitle(self, title: str, subtitle: str = "") -> None:
        """Change the titles in the border; the text is never read as markup."""
        plain = to_ascii(title) if self._current.ascii_only else title
        self.border_title = plain.replace("[", "\\[")
        self.border_subtitle = subtitle.replace("[", "\\[")

    def lines(self) -> list[Text]:
        """What is drawn now, for tests and for export."""
        width, height = self.content_size
        if width <= 0 or height <= 0:
            return []
        if not self._scrolls:
            return self._draw(self._current, width, height)[:height]
        whole = self._draw(self._current, width, height)
        head, body = whole[: self._sticky], whole[self._sticky :]
        room = max(0, height - len(head))
        last = max(0, len(body) - room)
        self._from_top = last if self._at_end else min(self._from_top, last)
        shown = body[self._from_top : self._from_top + room]
        if shown and self._from_top + room < len(body):
            more = len(body) - self._from_top - room + 1
            shown[-1] = Text(f"… {more} more", self._current.palette.dim, end="")
        return (head + shown)[:height]

    def render_line(self, y: int) -> Strip:
        """One line of the panel (textual's hook)."""
        if self._strips is None or self._drawn_size != self.content_size:
            self._drawn_size = self.content_size
            self._strips = [self._strip(line) for line in self.lines()]
        strip = self._strips[y] if y < len(self._strips) else Strip.blank(self.content_size.width)
        strip = strip.adjust_cell_length(self.content_size.width)
        return strip.apply_style(self.rich_style)

    def _strip(self, line: Text) -> Strip:
        view = self._current
        segments = [s for s in line.render(self.app.console, end="") if s.text]
        if view.ascii_only:
            segments = [Segment(to_ascii(s.text), s.style) for s in segments]
        strip = Strip(segments)
        return strip.apply_style(_DIM) if view.stale else strip

    def action_scroll_lines(self, lines: int) -> None:
        """Move the window over the lines of a scrollable panel."""
        if not self._scrolls:
            raise SkipAction  # the keys are for the tab
        self._at_end = False
        self._from_top = max(0, self._from_top + lines)
        before = self._from_top
        self._strips = None
        self.lines()  # clamps the position
        if self._follow and lines > 0 and self._from_top < before:
            self._at_end = True
        self.refresh()

    def on_mouse_scroll_down(self, event: events.MouseScrollDown) -> None:
        """Wheel; of a panel that does not scroll it is for the tab around it."""
        if self._scrolls:
            self.action_scroll_lines(2)
            event.stop()

    def on_mouse_scroll_up(self, event: events.MouseScrollUp) -> None:
        """Wheel."""
        if self._scrolls:
            self.action_scroll_lines(-2)
            event.stop()


class FittedPanel(Panel):
    """As high as what it draws, and at most ``most`` lines; for tabs that make room for it."""

    def __init__(self, draw: Draw, title: str = "", *, most: int = 1000, **kwargs: Any) -> None:
        super().__init__(draw, title, **kwargs)
        self._most = most

    def show(self, view: View) -> None:
        """Draw this view, and be as high as that takes."""
        super().show(view)
        if self.has_class("-alone"):
            self.styles.height = "1fr"
            return
        width = self.content_size.width or self.app.size.width
        lines = min(self._most, len(self._draw(view, width, self._most)))
        self.styles.height = lines + (0 if view.compact else 2)  # the border
