"""What a terminal is sent: lines as far as they have changed; and what it then shows."""

from __future__ import annotations

import re
from typing import Any

import pytest
from rich.segment import Segment
from rich.style import Style
from textual.strip import Strip

from tests.tui.fixtures import actor, policy, processes, shard, snapshot
from tests.tui.harness import Seat, seated
from tuitrain.tui.screenshot import screen_text
from tuitrain.tui.widgets.sending import changed_end, without_seams

SIZE = (120, 40)
_TOKEN = re.compile(r"\x1b\[(\d+);(\d+)H|\x1b\[[0-9;?]*[A-Za-z]|(\n)|([^\x1b\n]+)")


class Shown:
    """A terminal of the simplest kind, before which the app sits."""

    def __init__(self, seat: Seat, monkeypatch: pytest.MonkeyPatch) -> None:
        self.sent = 0
        self._seat = seat
        self._rows = [list(line) for line in self._now()]
        monkeypatch.setattr(seat.app, "_display", self._display)

    def _now(self) -> list[str]:
        width, height = self._seat.app.size
        lines = screen_text(self._seat.app).splitlines()
        return [line.ljust(width) for line in [*lines, *[""] * (height - len(lines))]]

    def _display(self, _: Any, update: Any) -> None:
        if update is None:
            return
        written = update.render_segments(self._seat.app.console)
        self.sent += len(written.encode())
        x = y = 0
        for row, column, newline, text in _TOKEN.findall(written):
            if row:
                y, x = int(row) - 1, int(column) - 1
            elif newline:
                y, x = y + 1, 0
            else:
                self._rows[y][x : x + len(text)] = text
                x += len(text)

    def is_right(self) -> bool:
        """Whether it shows what the app means."""
        return ["".join(row) for row in self._rows] == self._now()


def strip(*parts: tuple[str, str]) -> Strip:
    return Strip([Segment(text, Style.parse(style) if style else None) for text, style in parts])


@pytest.mark.parametrize(
    ("old", "new", "end"),
    [
        (strip(("abc", "")), strip(("abc", "")), 0),
        (strip(("abc", "")), strip(("ab", ""), ("c", "")), 0),
        (strip(("abc", "")), strip(("abd", "")), 3),
        (strip(("abc", "")), strip(("xbc", "")), 1),
        (strip(("abc", "")), strip(("a", ""), ("b", "red"), ("c", "")), 2),
        (strip(("abc", "")), strip(), 3),
        (strip(), strip(("abc", "")), 3),
        (strip(("a" * 40, "")), strip(("a" * 39 + "b", "")), 40),
        (strip(("日本", "")), strip(("日曜", "")), 40),
    ],
)
def test_how_far_a_line_has_changed(old: Strip, new: Strip, end: int) -> None:
    assert changed_end(old, new, 40) == end


@pytest.mark.parametrize(
    ("parts", "pieces"),
    [
        ([("a", "red"), (" ", ""), ("b", "red")], [("a b", "red")]),
        ([("a", "red"), (" ", "blue"), ("b", "green")], [("a ", "red"), ("b", "green")]),
        ([("  ", "red"), ("b", "green")], [("  b", "green")]),
        ([("a", "red"), ("b", "red")], [("ab", "red")]),
        # seen on a blank
        ([("a", "red"), (" ", "reverse"), ("b", "red")],) * 2,
        ([("a", "red on blue"), (" ", "red"), ("b", "red on blue")],) * 2,
        ([("a", "underline red"), (" ", "")],) * 2,
        ([("a", "red"), ("\u00a0", ""), ("b", "red")],) * 2,
    ],
)
def test_blanks_take_the_colour_beside_them(
    parts: list[tuple[str, str]], pieces: list[tuple[str, str]]
) -> None:
    assert Strip(without_seams(strip(*parts))) == strip(*pieces)


@pytest.mark.parametrize(
    ("size", "tab"),
    [
        # all tabs at one size, and each size for two tabs; the others are long
        pytest.param(size, tab, marks=() if size == SIZE or tab % 2 == odd else pytest.mark.long)
        for odd, size in enumerate([(200, 50), (80, 24), SIZE])
        for tab in range(1, 5)
    ],
)
async def test_a_terminal_shows_what_is_meant(
    size: tuple[int, int], tab: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    async with seated(size=size) as seat:
        await seat.press(str(tab))
        await seat.settle()
        shown = Shown(seat, monkeypatch)
        for second in range(1, 4):
            crew = [actor(i, rate=1000.0 * second + i, version=97_000 + second) for i in range(8)]
            one = policy(updates=97_000 + 77 * second, q_mean=40.0 + second)
            one.shards = [shard(i, drawn_share=0.1 * second) for i in range(8)]
            now = snapshot(seq=second, steps=12_400_000 + 9800 * second, policies=[one],
                           processes=[*processes(0), *crew])  # fmt: skip
            seat.run.show(now)
            await seat.until(lambda now=now: seat.app.store.snapshot == now, "it")  # type: ignore[misc]
            assert shown.is_right()


async def test_one_number_does_not_send_its_line_again(monkeypatch: pytest.MonkeyPatch) -> None:
    """▣ A refresh costs a slow line what has changed, and no more."""
    async with seated(size=(200, 50)) as seat:
        seat.app._age_s = lambda now: 0.4  # type: ignore[method-assign]  # would change as well
        await seat.press("3")
        await seat.settle()
        await seat.settle()
        shown = Shown(seat, monkeypatch)
        seat.run.show(snapshot(seq=2, policies=[policy(window_rejects=6300)]))
        await seat.until(lambda: getattr(seat.app.store.snapshot, "seq", 0) == 2, "it")
        assert 0 < shown.sent < 200
        assert shown.is_right()
