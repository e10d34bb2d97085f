"""The checks, worst first, and the explanation of one of them."""

from __future__ import annotations

from collections.abc import Sequence

from rich.text import Text

from tuitrain.protocol import CheckView
from tuitrain.tui.text import NA, Column, clip, safe, table
from tuitrain.tui.view import CHECK_GLYPH, View, check_style, nothing_matches, worst_first

_LEAST_VALUE = 10
_LEAST_LIMIT = 7
"""Cells to which they may be cut before the limits are left out."""
_COLUMNS = (
    Column("check", right=False),
    Column("value", right=True, least=_LEAST_VALUE),
    Column("limit", rank=1, right=False, least=_LEAST_LIMIT),
)


def draw_checks(view: View, width: int, height: int) -> list[Text]:
    """One check a line: glyph, name, measured value, limit."""
    palette = view.palette
    if view.snapshot is None or not view.snapshot.checks:
        words = view.awaited() or "n/a: no checks reported"
        return [clip(Text(words, palette.dim, end=""), width)]
    every = worst_first(view.snapshot.checks)
    checks = [c for c in every if view.matches(c.name, c.state, c.value, c.limit)]
    if not checks:
        return [nothing_matches(view, len(every), "checks", width)]
    rows: list[list[Text]] = []
    for check in checks:
        style = check_style(check.state, palette)
        name = Text(end="")
        name.append(f"{CHECK_GLYPH[check.state]} ", style)
        loud = check.state in ("warn", "fail")
        name.append(safe(check.name, 60), style if loud else "")
        value = safe(check.value, 60) if check.state != "n/a" else NA
        rows.append([name, Text(value, style if loud else "", end=""),
                     Text(safe(check.limit, 60), palette.dim, end="")])  # fmt: skip
    lines = _ragged(rows, width, palette.dim) or table(_COLUMNS, rows, width, palette.dim)
    return lines[1:] if height <= 5 else lines


def _ragged(rows: Sequence[Sequence[Text]], width: int, head: str) -> list[Text]:
    """Where not all columns are as wide as they should be: what a row's value leaves is its
    limit's, and the other way round. Nothing where all have room, or some columns have none."""
    names, values, limits = (max(row[i].cell_len for row in rows) for i in range(3))
    names = max(names, len(_COLUMNS[0].title))
    room = width - names - 2  # for value and limit, without the gaps
    if values + limits <= room or room < _LEAST_VALUE + _LEAST_LIMIT:
        return []
    edge = max(_LEAST_LIMIT, room - values)
    titles = [Text(column.title, head, end="") for column in _COLUMNS]
    lines = []
    for name, value, limit in (titles, *rows):
        most = max(edge, min(limit.cell_len, room - min(value.cell_len, room - edge)))
        if value.cell_len > room - most:
            most = max(min(limit.cell_len, most), room - value.cell_len)
        line = name.copy()
        line.append(" " * (names - name.cell_len + 1))
        value = clip(value, room - most)
        line.append(" " * (room - most - value.cell_len)).append_text(value)
        lines.append(line.append(" ").append_text(clip(limit, most)))
    return lines


def checks_title(view: View) -> str:
    """What the panel is, and how many of its last lines say that nothing was measured."""
    checks = view.snapshot.checks if view.snapshot is not None else []
    unknown = sum(check.state == "n/a" for check in checks)
    return f"Checks (worst first{f'; {unknown} n/a, last' if unknown else ''})"


def explain(check: CheckView, view: View) -> list[Text]:
    """What was measured, what it should be, why that matters, and what to do about it."""
    palette = view.palette
    words = {"ok": "OK", "warn": "WARN", "fail": "FAIL", "n/a": "NOT MEASURED"}
    head = Text(end="")
    style = check_style(check.state, palette)
    head.append(f"{CHECK_GLYPH[check.state]} {words[check.state]}", style)
    head.append(f"  {safe(check.name)}", "bold")
    lines = [
        head,
        Text(""),
        Text.assemble(("measured  ", palette.dim), safe(check.value) or NA),
        Text.assemble(("limit     ", palette.dim), safe(check.limit) or NA),
    ]
    from tuitrain.diagnosis.checks import BY_ID  # not before the first picture

    if check.id in BY_ID:
        wish = Text.assemble(("What should be: ", palette.dim), BY_ID[check.id].why)
        lines += [Text(""), wish]
    nothing = {"ok": "Nothing to do.", "n/a": "There is nothing to judge yet."}
    advice = safe(check.advice) or nothing.get(check.state, "")
    return [*lines, Text(""), Text(advice, "" if check.advice else palette.dim)]
