"""All keys by subject, and on a second page what the glyphs, verdicts and units mean."""

from __future__ import annotations

from rich.text import Text
from textual import events

from tuitrain.tui.dialogs.base import Dialog
from tuitrain.tui.text import Palette, clip
from tuitrain.tui.view import View
from tuitrain.tui.widgets.keys import LEFT, RIGHT, Subject

COLUMN = 38
"""Cells of each of two columns; where they do not fit, there is one."""
_KEY = 9
_PAGE_KEYS = ("right", "left", "question_mark")

_GLYPHS = """\
 ● ok, running  ◌ waiting  ◫ paused  ▲ warning
 ✖ failed, not finite  ○ not measured, starting
 ✓ finished  ■ stopped  ↻ restarts
 L● 0◌ 1● E◌  one line of workers: learner, actors, evaluator;
              T: the trainer of a sequential run
"""
_VERDICT = """\
 of the newest quarter of the evaluations (8 to 32), the slope of
 the return: IMPROVING, FLAT, FALLING if its interval is above,
 around, below 0; BELOW BEST if the last 4 are clearly under the
 best 4 in a row; FLAT AT BEST if it has risen and stays there
 of the policy chosen with [ ]; if another's is worse, the worst
 skipped: was due while the evaluation before it still ran
"""
_UNITS = """\
 st environment steps  u updates  tr transitions  ep episodes
 policy lag: updates between a row's acting and its learning
 rows' age: transitions that came after a row that is learned from
 behind: updates since the weights that a worker holds; for how long
 |TD|: how far off what was learned from was; p95: 19 of 20 are below,
 and the mean is above it where a few are very far off
 beat, prog: time since its last sign of life, its last progress
 ver: its weights' version, as of its last beat  rss: its memory
 n= evaluations  n/a not measured"""


def help_keys(width: int, palette: Palette) -> Text:
    """The keys, in two columns where `width` cells have room for them."""
    left, right = _column(LEFT, palette), _column(RIGHT, palette)
    if width < 2 * COLUMN:
        return Text("\n").join([*left, Text(""), *right])
    rows = []
    for i in range(max(len(left), len(right))):
        row = left[i].copy() if i < len(left) else Text()
        row.append(" " * (COLUMN - row.cell_len))
        rows.append(row.append_text(right[i]) if i < len(right) else row)
    return Text("\n").join(rows)


def _column(subjects: tuple[Subject, ...], palette: Palette) -> list[Text]:
    lines: list[Text] = []
    for subject in subjects:
        if lines:
            lines.append(Text(""))
        lines.append(Text(subject.name, palette.accent))
        for key, words in subject.keys:
            line = Text(f" {key:<{_KEY}}", palette.ok).append(words, "")
            line.stylize("none", _KEY + 1)
            lines.append(clip(line, COLUMN - 1))
    return lines


def help_meanings(palette: Palette) -> Text:
    """Glyphs, verdicts and units."""
    text = Text()
    for title, words in (("Glyphs", _GLYPHS), ("LEARNING", _VERDICT), ("Units", _UNITS)):
        text.append(f"{title}\n", palette.accent)
        text.append(f"{words}\n" if words.endswith("\n") else words)
    return text


class HelpDialog(Dialog):
    """Two pages; the arrows scroll and turn them, any other key closes."""

    def __init__(self, view: View) -> None:
        super().__init__(view)
        self._page = 0

    def text(self) -> Text:
        """The open page, and how to turn it."""
        palette = self.view.palette
        turn = "? or → what glyphs and units mean" if self._page == 0 else "? or ← keys"
        text = Text(f"{turn} · ↑ ↓ scroll · any other key closes\n\n", palette.dim)
        page = help_meanings(palette) if self._page else help_keys(self.app.size.width - 4, palette)
        return text.append_text(page)

    def on_resize(self) -> None:
        """As many columns as fit."""
        self.redraw()

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
        if event.key in _PAGE_KEYS:
            self._page = 1 - self._page
            self.redraw()
        elif scroll is None:
            self.leave(None)
        else:
            scroll(animate=False)
