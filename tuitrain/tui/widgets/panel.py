"""A widget that shows the lines a pure function draws, cropped, scrollable, never failing on size.

One widget per panel instead of one per cell: a table of 50 cells as widgets costs tens of
milliseconds an update, drawn as text it costs two.
"""

from __future__ import annotations

import itertools
import re
from collections.abc import Hashable
from dataclasses import replace
from typing import Any, ClassVar

from rich.segment import Segment
from rich.style import Style
from rich.text import Text
from textual import events
from textual.actions import SkipAction
from textual.binding import Binding, BindingType
from textual.geometry import Region, Size
from textual.strip import Strip
from textual.widget import Widget

from tuitrain.tui.text import to_ascii
from tuitrain.tui.view import NOTHING, Draw, View
from tuitrain.tui.widgets.sending import changed_end, without_seams

_DIM = Style(dim=True)
WIDE = 2000
"""Cells in which nothing is cut or wrapped, for what is copied."""
MOST_LINES = 100_000


class Panel(Widget, can_focus=False):
    """Shows what ``draw`` makes of the newest view.

    Of what a scrollable panel's ``draw`` makes, however many lines, a window is shown; with
    ``follow`` the window stays at the end until the user scrolls up. A panel of lines has a filter
    of its own, which ``draw`` obeys, and a place among the lines that match it.
    """

    BINDINGS: ClassVar[list[BindingType]] = [
        Binding("up,k", "scroll_lines(-1)", show=False),
        Binding("down,j", "scroll_lines(1)", show=False),
        Binding("pageup", "scroll_lines(-10)", show=False),
        Binding("pagedown", "scroll_lines(10)", show=False),
        Binding("home", "scroll_lines(-100000)", show=False),
        Binding("end", "scroll_lines(100000)", show=False),
    ]

    selects: ClassVar[bool] = False
    """Whether ``draw`` marks a line with ▸, which is to be seen."""

    def __init__(
        self,
        draw: Draw,
        title: str = "",
        *,
        scrolls: bool = False,
        follow: bool = False,
        sticky: int = 0,
        filters: bool = False,
        **kwargs: Any,
    ) -> None:
        super().__init__(**kwargs)
        self.filters = filters
        self.filter = ""
        self._match: int | None = None
        """Which of the lines that match is marked."""
        self.can_focus = bool(title)  # so that it can be shown alone
        self._draw = draw
        self._scrolls = scrolls
        self._follow = follow
        self._sticky = sticky
        self._from_top = 0
        self._at_end = follow
        self._current = View()
        self._titles = (title, "")
        self._strips: list[Strip] | None = None
        self._styled: dict[Hashable, Strip] = {}
        """What has been made of lines, by what is on them and how they look."""
        self._around: Style | None = None
        """``rich_style``, while nothing has changed it."""
        self.sent = 0
        """Pieces of one style that the newest view has changed; of a new panel none are counted."""
        self._drawn_size = Size(0, 0)
        if title:
            self.border_title = title

    def show(self, view: View) -> None:
        """Draw this view from now on; of what can be seen, lines that stay are not sent again."""
        if self.filters:
            alone = self.has_class("-alone")
            view = replace(view, filter=self.filter, following=self.following, alone=alone)
        self._current, self._around = view, None
        before = self._strips
        if before is None or self._drawn_size != self.content_size or not self.content_size:
            self._strips = None
            self.refresh()
            return
        self._strips = self._styled_lines()
        width, height = self.content_size
        lines = itertools.zip_longest(before, self._strips, fillvalue=Strip([]))
        ends = [
            (y, new.crop(0, end), end)
            for y, (old, new) in enumerate(lines)
            if y < height
            and old is not new
            and old != new
            and (end := changed_end(old, new, width))
        ]
        self.sent = sum(len(strip) for _, strip, _ in ends)
        if ends:
            self.refresh(*(Region(0, y, end, 1) for y, _, end in ends))

    def retitle(self, title: str, subtitle: str = "") -> None:
        """Change the titles in the border; the text is never read as markup."""
        plain = to_ascii(title) if self._current.ascii_only else title
        if self._titles != (plain, subtitle):  # setting them draws the whole panel again
            self._titles = (plain, subtitle)
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
        if self.filter:
            body = self._highlighted(body)
        if (row := self._row_to_show(body)) is not None:
            # The last line may have to say how many more there are.
            lowest = row - room + (2 if row < len(body) - 1 else 1)
            self._from_top = max(0, min(row, max(self._from_top, lowest)))
        shown = body[self._from_top : self._from_top + room]
        if shown and self._from_top + room < len(body):
            more = len(body) - self._from_top - room + 1
            shown[-1] = Text(f"… {more} more: tab, PgDn", self._current.palette.dim, end="")
        return (head + shown)[:height]

    def render_line(self, y: int) -> Strip:
        """One line of the panel (textual's hook)."""
        if self._strips is None or self._drawn_size != self.content_size:
            self._drawn_size = self.content_size
            self._strips = self._styled_lines()
        strip = self._strips[y] if y < len(self._strips) else Strip.blank(self.content_size.width)
        strip = strip.adjust_cell_length(self.content_size.width)
        if self._around is None:  # textual works it out anew, from all that is around
            self._around = self.rich_style
        return strip.apply_style(self._around)

    def notify_style_update(self) -> None:
        """Forget what was made of the styles of before (textual's hook)."""
        super().notify_style_update()
        self._around = None

    def _styled_lines(self) -> list[Strip]:
        """What is drawn now; a line with the same on it as one of before is not styled again."""
        before, self._styled = self._styled, {}
        strips = []
        for line in self.lines():
            key = (line.plain, line.style, tuple(line.spans), self._current.stale,
                   self._current.ascii_only)  # fmt: skip
            self._styled[key] = before.get(key) or self._strip(line)
            strips.append(self._styled[key])
        return strips

    def _strip(self, line: Text) -> Strip:
        view = self._current
        segments = without_seams(s for s in line.render(self.app.console, end="") if s.text)
        if view.ascii_only:
            segments = [Segment(to_ascii(s.text), s.style) for s in segments]
        strip = Strip(segments)
        return strip.apply_style(_DIM) if view.stale else strip

    @property
    def following(self) -> bool | None:
        """Whether the newest line is shown, whatever comes; None of a panel that never does so."""
        return self._at_end if self._follow else None

    def follow(self, on: bool) -> None:
        """Stay at the newest line from now on, or stay here."""
        self._at_end = on and self._follow
        self._match = None
        self._redrawn()

    def set_filter(self, words: str) -> None:
        """Show the lines with these words alone; all with an empty text."""
        self.filter, self._match = words, None
        self.show(self._current)

    def next_match(self, by: int) -> tuple[int, int]:
        """Mark the next (1) or previous (-1) line that matches, in a circle.

        Returns:
            Its number, from 1 on, and how many there are; (0, 0) if there is none.
        """
        matching = len(self._matching(self._body()))
        if not matching:
            return 0, 0
        before = self._match if self._match is not None else -1 if by > 0 else 0
        self._match = (before + by) % matching
        self._at_end = False
        self._redrawn()
        return self._match + 1, matching

    def line(self) -> str:
        """The line to copy: the marked or selected one, else the newest where that is shown, else
        the first that is shown; whole, where the panel cuts or wraps it."""
        body = self._body()
        self.lines()  # brings the window up to date
        row = self._row_to_show(body)
        if row is None:
            row = len(body) - 1 if self._at_end else self._from_top
        if not 0 <= row < len(body):
            return ""
        part = body[row].plain.strip().rstrip("…")
        whole = [line.plain for line in self._wide() if part in line.plain] or [part]
        earlier = sum(body[row].plain == other.plain for other in body[:row])
        return whole[min(earlier, len(whole) - 1)].strip()

    def whole(self) -> str:
        """All lines, also those that are not shown; whole, where the panel cuts or wraps them."""
        lines = self._wide() if self.filters else self.lines()
        return "\n".join(line.plain.rstrip() for line in lines) + "\n"

    def _wide(self) -> list[Text]:
        return self._draw(self._current, WIDE, MOST_LINES)

    def _body(self) -> list[Text]:
        width, height = self.content_size
        return self._draw(self._current, width, height)[self._sticky :]

    def _matching(self, body: list[Text]) -> list[int]:
        """Rows that have the filter in them; of a line that is wrapped, one row or more."""
        words = self.filter.casefold()
        return [
            i
            for i, row in enumerate(body)
            if words and words in row.plain.casefold() and not row.plain.startswith(NOTHING)
        ]

    def _row_to_show(self, body: list[Text]) -> int | None:
        """The row that is marked or selected."""
        if self._match is not None:
            matching = self._matching(body)
            return matching[min(self._match, len(matching) - 1)] if matching else None
        if self.selects:
            return next((i for i, row in enumerate(body) if row.plain.startswith("▸")), None)
        return None

    def _highlighted(self, body: list[Text]) -> list[Text]:
        """What matches in bold, the marked line reversed."""
        rows = list(body)
        for i in self._matching(body):
            rows[i] = body[i].copy()
            rows[i].highlight_regex(re.compile(re.escape(self.filter), re.IGNORECASE), "bold")
        if (marked := self._row_to_show(rows)) is not None and self._match is not None:
            rows[marked].stylize("reverse")
        return rows

    def _redrawn(self) -> None:
        self._strips = None
        self.show(self._current)

    def action_scroll_lines(self, lines: int) -> None:
        """Move the window over the lines of a scrollable panel."""
        if not self._scrolls:
            raise SkipAction  # the keys are for the tab
        self._at_end, self._match = False, None
        self._from_top = max(0, self._from_top + lines)
        before = self._from_top
        self._strips = None
        self.lines()  # clamps the position
        if self._follow and lines > 0 and self._from_top < before:
            self._at_end = True
        self._redrawn()

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


class SelectPanel(Panel):
    """A table in which the app has one line selected, marked ▸."""

    selects = True

    BINDINGS: ClassVar[list[BindingType]] = [
        Binding("up,k", "app.select(-1)", show=False),
        Binding("down,j", "app.select(1)", show=False),
        Binding("pageup", "app.select(-10)", show=False),
        Binding("pagedown", "app.select(10)", show=False),
        Binding("home", "app.select(-100000)", show=False),
        Binding("end", "app.select(100000)", show=False),
    ]


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
        lines = min(self._most, len(self._draw(self._current, width, self._most)))
        self.styles.height = lines + (0 if view.compact else 2)  # the border
