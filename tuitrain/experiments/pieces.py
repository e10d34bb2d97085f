"""Pieces of a report's page: sections, tables and cells as HTML.

Titles and values are escaped here; bodies and cells are HTML already.
"""

from __future__ import annotations

import re
import time
from collections.abc import Iterable
from html import escape
from typing import Any

from tuitrain.config.emit import emit_value

_HASH = re.compile("[0-9a-f]{40,}")


def section(title: str, body: str) -> str:
    """A part of the page under a heading."""
    return f"<section><h2>{escape(title)}</h2>{body}</section>"


def details(title: str, body: str, opened: bool = False) -> str:
    """What is folded under its title until somebody opens it."""
    mark = " open" if opened else ""
    return f"<details{mark}><summary>{escape(title)}</summary>{body}</details>"


def table(head: Iterable[str], rows: Iterable[Iterable[str]]) -> str:
    """A table of cells that are HTML already."""
    top = "".join(f"<th>{cell}</th>" for cell in head)
    body = "".join("<tr>" + "".join(f"<td>{c}</td>" for c in row) + "</tr>" for row in rows)
    return f'<div class="wide"><table><tr>{top}</tr>{body}</table></div>'


def code_cells(values: Iterable[Any]) -> list[str]:
    """Cells of values as they stand in a config; a dash for None."""
    return [
        '<span class="none">–</span>' if v is None else f"<code>{escape(text_of(v))}</code>"
        for v in values
    ]


def text_of(value: object) -> str:
    """As a config has it, but texts without their quotes."""
    return value if isinstance(value, str) else emit_value(value)


def unbroken(cell: str) -> str:
    """A cell whose lines are not broken."""
    return f'<span class="unbroken">{cell}</span>'


def figure(value: object) -> str:
    """A number with four digits; a dash for anything else."""
    return f"{value:.4g}" if isinstance(value, int | float) else "–"


def clock(time_s: object) -> str:
    """The time of day of a unix time; nothing for anything else."""
    if not isinstance(time_s, int | float):
        return ""
    return time.strftime("%H:%M:%S", time.localtime(time_s))


def short(value: Any) -> Any:
    """The beginning of a hash; anything else as it is."""
    return value[:12] if isinstance(value, str) and _HASH.fullmatch(value) else value
