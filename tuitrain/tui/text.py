"""How quantities become words: numbers with units, ages, safe text, and ASCII fallbacks.

Everything the screen shows goes through here, so that "not measured" is always `n/a`, a number
that is not finite is always marked, and text from logs or environments can never control the
terminal. Knows rich's ``Text`` and nothing of textual or of a run.
"""

from __future__ import annotations

import math
import unicodedata
from collections.abc import Sequence
from dataclasses import dataclass

from rich.cells import cell_len, chop_cells
from rich.text import Text

NA = "n/a"

_SI = ((1e12, "T"), (1e9, "G"), (1e6, "M"), (1e3, "k"))


@dataclass(frozen=True)
class Palette:
    """Styles by meaning. Okabe and Ito's colours, which colour-blind readers can tell apart."""

    ok: str
    warn: str
    fail: str
    dim: str
    accent: str
    series: tuple[str, ...]


DARK = Palette(
    ok="#56b4e9",
    warn="#e69f00",
    fail="bold reverse #d55e00",
    dim="#8b949e",
    accent="bold #f0f3f6",
    series=("#56b4e9", "#e69f00", "#009e73", "#cc79a7", "#f0e442", "#d55e00"),
)
LIGHT = Palette(
    ok="#0065a3",
    warn="#855700",
    fail="bold reverse #a84300",
    dim="#57606a",
    accent="bold #1f2328",
    series=("#0065a3", "#855700", "#00734f", "#a0447a", "#6b6400", "#a84300"),
)


def count(value: float | None) -> str:
    """A whole number in at most five characters: 950, 9.8k, 412k, 12.4M."""
    if value is None:
        return NA
    if not math.isfinite(value):
        return not_finite(value)
    size = abs(value)
    for scale, suffix in _SI:
        if size >= scale * 0.9995:
            scaled = value / scale
            if abs(scaled) >= 1e6:
                return f"{value:.2g}"
            digits = 0 if abs(scaled) >= 99.95 else 1
            text = f"{scaled:.{digits}f}"
            if abs(scaled) >= 9.95:
                text = text.removesuffix(".0")
            return text + suffix
    return f"{value:.0f}"


def number(value: float | None) -> str:
    """A measured number with three significant digits; not finite is marked ✖."""
    if value is None:
        return NA
    size = abs(value)
    if size == 0:
        return "0"
    if size < 1e-3:
        return f"{value:.2e}"
    if size < 9.995:
        return f"{value:.3f}" if size < 1 else f"{value:.2f}"
    if size < 999.5:
        return f"{value:.1f}"
    return count(value)


def signed(value: float | None) -> str:
    """`number` with its sign always written."""
    if value is None:
        return NA
    return ("+" if value >= 0 else "") + number(value)


def not_finite(value: float) -> str:
    """`✖nan`, `✖inf` or `✖-inf`."""
    return f"✖{value}"


def percent(share: float | None) -> str:
    """A share of 1 as a percentage."""
    if share is None:
        return NA
    if not math.isfinite(share):
        return not_finite(share)
    return f"{share * 100:.0f}%"


def rate(value: float | None, unit: str) -> str:
    """Per-second quantity with its unit, e.g. `9.8k st/s`."""
    if value is None:
        return NA
    small = 0 < abs(value) < 9.95
    return f"{f'{value:.1f}' if small else count(value)} {unit}".rstrip()


def age(seconds: float | None) -> str:
    """A short age: 0.4s, 12s, 3m, 2h, 5d."""
    if seconds is None:
        return NA
    if not math.isfinite(seconds):
        return not_finite(seconds)
    seconds = max(0.0, seconds)
    if seconds < 9.95:
        return f"{seconds:.1f}s"
    if seconds < 99.5:
        return f"{seconds:.0f}s"
    if seconds < 5970:
        return f"{seconds / 60:.0f}m"
    if seconds < 172_800:
        return f"{seconds / 3600:.0f}h"
    return f"{seconds / 86400:.0f}d"


def clock(seconds: float | None) -> str:
    """A duration as h:mm:ss, with days in front when there are any."""
    if seconds is None:
        return NA
    if not math.isfinite(seconds):
        return not_finite(seconds)
    whole = max(0, int(seconds))
    days, rest = divmod(whole, 86_400)
    hours, rest = divmod(rest, 3600)
    text = f"{hours}:{rest // 60:02d}:{rest % 60:02d}"
    return f"{days}d {text}" if days else text


def size(n_bytes: float | None) -> str:
    """Memory in binary units: 412Mi, 1.2Gi (bytes)."""
    if n_bytes is None:
        return NA
    for scale, suffix in ((2**40, "TiB"), (2**30, "GiB"), (2**20, "MiB"), (2**10, "KiB")):
        if n_bytes >= scale:
            scaled = n_bytes / scale
            return f"{scaled:.0f}{suffix}" if scaled >= 9.95 else f"{scaled:.1f}{suffix}"
    return f"{n_bytes:.0f}B"


def safe(text: object, limit: int = 4000) -> str:
    """One line that cannot control a terminal.

    Control characters (escape sequences among them), invisible format characters, surrogates and
    line breaks become visible escapes like ``\\x1b``; markup is left as it is, because nothing here
    is ever parsed as markup. At most ``limit`` characters of the input are read.
    """
    raw = str(text)
    cut = raw[:limit]
    if cut.isascii() and cut.isprintable():
        return cut + ("…" if len(raw) > limit else "")
    parts: list[str] = []
    for character in cut:
        if character == "\t":
            parts.append("    ")
        elif unicodedata.category(character) in ("Cc", "Cf", "Cs", "Co", "Cn", "Zl", "Zp"):
            code = ord(character)
            parts.append(f"\\x{code:02x}" if code < 256 else f"\\u{code:04x}")
        else:
            parts.append(character)
    return "".join(parts) + ("…" if len(raw) > limit else "")


_ASCII = str.maketrans(
    {
        "●": "*", "▲": "!", "✖": "X", "○": "o", "◌": "~", "◫": "=", "✓": "V", "■": "#",
        "▶": ">", "─": "-", "│": "|", "┤": "|", "└": "+", "┄": ".", "╌": "-", "┈": ":",
        "█": "#", "▓": "#", "░": ".", "▒": ":", "↑": "^", "↓": "v", "→": ">", "←": "<", "↻": "r",
        "…": "...", "·": "-", "ε": "eps", "±": "+-", "–": "-", "−": "-", "—": "-", "×": "x",
        "µ": "u", "≤": "<=", "≥": ">=", "◆": "*", "γ": "gamma", "▸": ">",
        "▼": "v", "≡": "=", "»": ">", "«": "<", "┊": ":", "≈": "~",
    }
)  # fmt: skip


def to_ascii(text: str) -> str:
    """The same text in ASCII; characters without a counterpart become `?`."""
    if text.isascii():
        return text
    return text.translate(_ASCII).encode("ascii", "replace").decode("ascii")


def bar(share: float | None, width: int) -> str:
    """A fill bar of ``width`` cells; empty when not measured."""
    if share is None or not math.isfinite(share):
        return "░" * width
    full = min(width, max(0, round(share * width)))
    return "▓" * full + "░" * (width - full)


@dataclass(frozen=True)
class Part:
    """A piece of a line that may be left out when there is no room."""

    text: Text
    rank: int = 0
    """Parts with the highest rank are left out first; rank 0 is never left out."""


def part(text: str, style: str = "", rank: int = 0) -> Part:
    """Shorthand for a styled ``Part``."""
    return Part(Text(text, style, end=""), rank)


def fit(parts: Sequence[Part], width: int, gap: str = "  ") -> Text:
    """Join parts into one line of at most ``width`` cells, leaving out the least important."""
    kept = list(parts)

    def total() -> int:
        return sum(p.text.cell_len for p in kept) + len(gap) * (len(kept) - 1)

    while kept and total() > width and any(p.rank for p in kept):
        worst = max(range(len(kept)), key=lambda i: (kept[i].rank, i))
        kept.pop(worst)
    line = Text(gap, end="").join(p.text for p in kept)
    line.end = ""
    return clip(line, width)


def clip(line: Text, width: int) -> Text:
    """Cut a line to ``width`` cells, ending in `…` when something is lost."""
    if line.cell_len > width:
        line = line.copy()
        if width <= 0:
            return Text(end="")
        line.truncate(width, overflow="ellipsis")
    return line


def wrap(text: str, width: int, style: str = "", indent: str = "  ") -> list[Text]:
    """Lines of at most ``width`` cells, broken between words where there are any; lines after the
    first begin with ``indent``."""
    if cell_len(text) <= width:
        return [Text(text, style, end="")]
    if width <= len(indent):
        return [clip(Text(text, style, end=""), width)]
    lines, rest, lead = [], text, ""
    while rest:
        piece = chop_cells(rest, width - len(lead))[0]
        if len(piece) < len(rest) and (space := piece.rstrip().rfind(" ")) > len(piece) // 2:
            piece = piece[: space + 1]
        lines.append(Text(lead + piece.rstrip(), style, end=""))
        rest, lead = rest[len(piece) :].lstrip(), indent
    return lines


@dataclass(frozen=True)
class Column:
    """A column of a table; columns with the highest rank are left out first."""

    title: str
    rank: int = 0
    right: bool = True
    least: int | None = None
    """Cells to which the column may be cut before any is left out; None: it is never cut."""


def table(
    columns: Sequence[Column],
    rows: Sequence[Sequence[Text | str]],
    width: int,
    header_style: str = "",
) -> list[Text]:
    """Rows under a header, columns as wide as their content, least important columns left out."""
    cells = [[c if isinstance(c, Text) else Text(c, end="") for c in row] for row in rows]
    widths = [
        max([Text(column.title).cell_len, *(row[i].cell_len for row in cells)])
        for i, column in enumerate(columns)
    ]
    for i in sorted(range(len(columns)), key=lambda i: -columns[i].rank):
        column, over = columns[i], sum(widths) + len(widths) - 1 - width
        if over > 0 and column.least is not None:
            widths[i] = max(min(widths[i], column.least), widths[i] - over)
    kept = list(range(len(columns)))
    while len(kept) > 1 and sum(widths[i] for i in kept) + len(kept) - 1 > width:
        worst = max(kept, key=lambda i: (columns[i].rank, i))
        if columns[worst].rank == 0:
            break
        kept.remove(worst)
    spare = width - sum(widths[i] for i in kept)
    gap = " " * (2 if spare >= 2 * len(kept) else 1)

    def line(items: Sequence[Text]) -> Text:
        out = Text(end="")
        for place, i in enumerate(kept):
            item = clip(items[i], widths[i])
            pad = " " * (widths[i] - item.cell_len)
            if place:
                out.append(gap)
            if columns[i].right:
                out.append(pad)
                out.append_text(item)
            else:
                out.append_text(item)
                out.append(pad)
        return clip(out, width)

    head = line([Text(column.title, header_style, end="") for column in columns])
    return [head, *(line(row) for row in cells)]
