"""Whole screens as they were recorded: in the dark, in light, without colour and in ASCII.

`snapshots/*.txt` has a screen, and under it what its colours say, cell by cell: o good, w warning,
F failure, d dim, a accent, s another curve, and a dot for the text's own colour. Both are the same
in every theme. After a change that is meant, the failing test says how to take it over.
"""

from __future__ import annotations

import dataclasses
import time
from collections.abc import Iterator
from pathlib import Path

import pytest
from rich.color import Color
from rich.style import Style

from tests.tui.fixtures import failed, snapshot
from tests.tui.harness import Seat, seated
from tuitrain.tui.app import TuitrainApp
from tuitrain.tui.text import DARK, LIGHT, Palette

KEPT = Path(__file__).parent / "snapshots"
RUN_DIR = Path("runs/breakout-rainbow-0412")
SCREENS = {"running": snapshot, "failed": failed}
SIZES = [(120, 40), (80, 24)]
THEMES = {"textual-dark": DARK, "textual-light": LIGHT}
BETWEEN = "==== colours\n"
READABLE = 4.5
"""Least contrast of text, as in WCAG AA; a line of a chart needs `SEEN`."""
SEEN = 3.0


@pytest.fixture(autouse=True)
def frozen(monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    """What a screen shows of the clock on the wall, and of its own."""
    monkeypatch.setenv("TZ", "UTC")
    time.tzset()
    monkeypatch.setattr(TuitrainApp, "_age_s", lambda *_: 0.4)
    yield
    monkeypatch.undo()
    time.tzset()


def cells(seat: Seat) -> list[list[tuple[str, Style]]]:
    """Every character of the screen with its style."""
    return [
        [(char, segment.style or Style.null()) for segment in strip for char in segment.text]
        for strip in seat.app.screen._compositor.render_strips()
    ]


def colours(palette: Palette) -> dict[str, str]:
    """What each colour of a palette says."""
    said = dict.fromkeys(palette.series, "s")
    for letter, style in (("a", palette.accent), ("d", palette.dim), ("F", palette.fail),
                          ("w", palette.warn), ("o", palette.ok)):  # fmt: skip
        said[style.split()[-1]] = letter
    return said


def plane(seat: Seat, palette: Palette) -> str:
    """A letter for every cell that has a colour of the palette and something in it."""
    said = colours(palette)
    lines = []
    for row in cells(seat):
        line = ""
        for char, style in row:
            name = style.color.name if style.color is not None else ""
            filled = style.reverse or not char.isspace()
            line += said.get(name, ".") if filled else " "
        lines.append(line.rstrip())
    return "\n".join(lines).rstrip() + "\n"


def compare(shown: str, name: str, place: Path) -> None:
    """Fail if this is not what was recorded."""
    kept = KEPT / name
    if not kept.exists() or kept.read_text() != shown:
        (place / name).write_text(shown)
        recorded = kept.read_text() if kept.exists() else ""
        assert shown == recorded, f"if that is meant: cp {place / name} {kept}"


async def whole(seat: Seat, theme: str) -> str:
    """The screen and its colours, in this theme."""
    seat.app.theme = theme
    shown = await seat.text()
    return f"{shown}{BETWEEN}{plane(seat, THEMES[theme])}"


@pytest.mark.parametrize("size", SIZES)
@pytest.mark.parametrize("name", SCREENS)
async def test_a_screen_in_every_theme(name: str, size: tuple[int, int], tmp_path: Path) -> None:
    async with seated(SCREENS[name](), size, RUN_DIR) as seat:
        for theme in THEMES:
            shown = await whole(seat, theme)
            compare(shown, f"{name}-{size[0]}x{size[1]}.txt", tmp_path)


@pytest.mark.parametrize("size", SIZES)
@pytest.mark.parametrize("name", SCREENS)
async def test_a_screen_without_colour(
    name: str, size: tuple[int, int], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("NO_COLOR", "1")
    text, letters = (KEPT / f"{name}-{size[0]}x{size[1]}.txt").read_text().split(BETWEEN)
    async with seated(SCREENS[name](), size, RUN_DIR) as seat:
        assert await seat.text() == text
        for row, said in zip(cells(seat), letters.splitlines(), strict=False):
            for (char, style), letter in zip(row, said, strict=False):
                for colour in (style.color, style.bgcolor):
                    assert colour is None or len(set(colour.get_truecolor())) == 1, char
                assert style.reverse or letter != "F", "what failed is seen without it"


@pytest.mark.parametrize("size", SIZES)
@pytest.mark.parametrize("name", SCREENS)
async def test_a_screen_in_ascii(name: str, size: tuple[int, int], tmp_path: Path) -> None:
    async with seated(SCREENS[name](), size, RUN_DIR, ascii_only=True) as seat:
        shown = await seat.text()
        assert shown.isascii()
        compare(shown, f"{name}-{size[0]}x{size[1]}-ascii.txt", tmp_path)


def contrast(one: Color, other: Color) -> float:
    """Between two colours, as WCAG has it: 1 to 21."""
    light, dark = sorted((_luminance(one), _luminance(other)), reverse=True)
    return (light + 0.05) / (dark + 0.05)


def _luminance(colour: Color) -> float:
    def linear(part: int) -> float:
        share = part / 255
        return share / 12.92 if share <= 0.04045 else ((share + 0.055) / 1.055) ** 2.4

    red, green, blue = colour.get_truecolor()
    return 0.2126 * linear(red) + 0.7152 * linear(green) + 0.0722 * linear(blue)


@pytest.mark.parametrize("theme", THEMES)
async def test_every_colour_can_be_read(theme: str) -> None:
    async with seated(size=(80, 24)) as seat:
        seat.app.theme = theme
        await seat.settle()
        behind = cells(seat)[0][0][1].bgcolor
    assert behind is not None
    palette = dataclasses.asdict(THEMES[theme])
    series = palette.pop("series")
    for least, styles in ((READABLE, palette.values()), (SEEN, series)):
        for style in styles:
            found = contrast(Color.parse(style.split()[-1]), behind)
            assert found >= least, f"{style} on {behind.name}: {found:.2f}"


def test_there_is_no_recorded_screen_that_nothing_is_compared_with() -> None:
    assert {path.name for path in KEPT.iterdir()} == {
        f"{name}-{width}x{height}{kind}.txt"
        for name in SCREENS
        for width, height in SIZES
        for kind in ("", "-ascii")
    }
