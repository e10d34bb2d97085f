"""How lines cost a terminal little: in few pieces, and no further than they have changed.

A piece of one style costs some 40 bytes besides its text, a sign of a chart three bytes.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from itertools import repeat

from rich.cells import cell_len
from rich.segment import Segment
from rich.style import Style
from textual.strip import Strip


def changed_end(old: Strip, new: Strip, width: int) -> int:
    """One beyond the last cell in which two lines differ; 0 where none does.

    Textual sends a line from its beginning on. Where characters are wider than a cell, all of it.
    """
    if any(cell_len(strip.text) != len(strip.text) for strip in (old, new)):
        return width
    both = zip(_from_the_right(old, width), _from_the_right(new, width), strict=True)
    return next((width - i for i, (before, after) in enumerate(both) if before != after), 0)


def _from_the_right(strip: Strip, width: int) -> Iterator[tuple[str, Style | None]]:
    yield from repeat((" ", None), width - strip.cell_length)
    for segment in reversed(strip):
        for character in reversed(segment.text):
            yield character, segment.style


def without_seams(segments: Iterable[Segment]) -> list[Segment]:
    """The same to the eye in fewer pieces: blanks look alike in every colour of letters."""
    pieces: list[Segment] = []
    for segment in segments:
        if pieces and _alike(pieces[-1], segment):
            text, style, _ = pieces[-1]
            pieces[-1] = Segment(text + segment.text, style if text.strip(" ") else segment.style)
        else:
            pieces.append(segment)
    return pieces


def _alike(one: Segment, other: Segment) -> bool:
    if one.style == other.style:
        return True
    if one.text.strip(" ") and other.text.strip(" "):
        return False
    return not (_fills(one.style) or _fills(other.style))


def _fills(style: Style | None) -> bool:
    """Whether a blank shows it."""
    return style is not None and bool(
        style.bgcolor or style.reverse or style.underline or style.strike
    )
