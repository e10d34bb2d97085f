"""The checks, worst first, and the explanation of one of them."""

from __future__ import annotations

from rich.text import Text

from tuitrain.protocol import CheckView
from tuitrain.tui.text import NA, Column, clip, safe, table
from tuitrain.tui.view import CHECK_GLYPH, View, check_style, nothing_matches, worst_first

_COLUMNS = (
    Column("check", right=False),
    Column("value", right=True, least=10),
    Column("limit", rank=1, right=False, least=7),
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
    rows: list[list[Text | str]] = []
    for check in checks:
        style = check_style(check.state, palette)
        name = Text(end="")
        name.append(f"{CHECK_GLYPH[check.state]} ", style)
        loud = check.state in ("warn", "fail")
        name.append(safe(check.name, 60), style if loud else "")
        value = safe(check.value, 60) if check.state != "n/a" else NA
        rows.append([name, Text(value, style if loud else "", end=""),
                     Text(safe(check.limit, 60), palette.dim, end="")])  # fmt: skip
    lines = table(_COLUMNS, rows, width, palette.dim)
    return lines[1:] if height <= 5 else lines


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
