"""The legend of a chart: pattern, name and newest value of every series, then notes. Pure."""

from __future__ import annotations

from collections.abc import Sequence

from rich.text import Text

from tuitrain.tui.text import clip, number
from tuitrain.tui.widgets.raster import Pattern

SAMPLE: dict[Pattern, str] = {
    "solid": "──", "dash": "╴╴", "dot": "··", "dashdot": "─·", "dashdots": "─:", "faint": "┈┈",
}  # fmt: skip
ASCII_MARK: dict[Pattern, str] = {
    "solid": "*", "dash": "+", "dot": "o", "dashdot": "x", "dashdots": "%", "faint": ",",
}  # fmt: skip
_GAP = "  "


def entry(
    name: str, newest: float | None, style: str, pattern: Pattern, unit: str, *,
    ascii_only: bool = False, dim: str = "", bold: bool = False,
) -> Text:  # fmt: skip
    """One series; n/a where it has no point yet."""
    out = Text(end="")
    out.append((ASCII_MARK if ascii_only else SAMPLE)[pattern] + " ", style)
    out.append(name, "bold" if bold else "")
    if newest is None:
        return out.append(" n/a", dim)
    out.append(f" {number(newest)}", style)
    return out.append(f" {unit}", dim) if unit else out


def pack(series: Sequence[Text], notes: Sequence[Text], width: int, rows: int) -> list[Text]:
    """Entries in at most ``rows`` lines, at least one; how many series found no room is said."""
    lines = [Text(end="")]
    left = [*series, *notes]
    while left:
        gap = _GAP if lines[-1] else ""
        if lines[-1] and lines[-1].cell_len + len(gap) + left[0].cell_len > width:
            if len(lines) == rows:
                break
            lines.append(Text(end=""))
            gap = ""
        lines[-1].append(gap).append_text(left.pop(0))
    more = len(left) - len(notes)
    if left and more <= 1:  # the last one is shown as far as there is room
        lines[-1].append(_GAP).append_text(left[0])
    elif more > 1:
        tail = f"{_GAP}+{more}"
        lines[-1] = clip(lines[-1], max(0, width - len(tail))).copy()
        lines[-1].append(tail)
    return [clip(line, width) for line in lines]
