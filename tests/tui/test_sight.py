"""What actor 0 sees: drawn in half blocks, asked for only while somebody looks."""

from __future__ import annotations

import base64
import math
import zlib
from typing import Any

import numpy as np
import pytest

from tests.tui.fixtures import policy, snapshot
from tests.tui.harness import Seat, seated
from tuitrain.protocol import Reply
from tuitrain.tui.actions import seeing
from tuitrain.tui.text import LIGHT
from tuitrain.tui.view import Sight, View
from tuitrain.tui.widgets.panel import Panel
from tuitrain.tui.widgets.sight import HALF, draw_sight, unpack


def packed(pixels: np.ndarray[Any, Any]) -> dict[str, Any]:
    data = base64.b64encode(zlib.compress(pixels.tobytes())).decode()
    return {"height": pixels.shape[0], "width": pixels.shape[1], "pixels": data}


RED_OVER_BLUE = np.array([[[255, 0, 0]], [[0, 0, 255]]], np.uint8).repeat(2, 1)


async def answer(seat: Seat, words: str = "observation of default", **result: Any) -> None:
    seat.run.answer(await seat.asked("see"), words, **(result or packed(RED_OVER_BLUE)))


async def test_nothing_is_asked_while_it_is_off() -> None:
    async with seated() as seat:
        await seat.press("3")
        for _ in range(5):
            await seat.settle()
        assert seat.run.commands == []
        assert not seat.app.screen_stack[0].query_one("#sight").display


async def test_the_key_shows_it_and_hides_it(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(seeing, "SIGHT_S", 0.01)
    async with seated() as seat:
        await seat.press("v")
        assert seat.app.tab == 1
        assert "◌ see … pending" in await seat.text()
        await answer(seat)
        shown = await seat.shows("observation of default")
        assert HALF in shown
        assert seat.app.tab == 3, "where there is room for it"
        await answer(seat, "second")
        await seat.shows("second")
        await seat.press("v")
        asked = len(seat.run.commands)
        for _ in range(5):
            await seat.settle()
        assert HALF not in await seat.text()
        assert len(seat.run.commands) <= asked + 1
        await seat.press("v", "v")
        assert "pending" not in await seat.text()


async def test_the_chosen_policy_is_asked_for_and_errors_are_shown(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(seeing, "SIGHT_S", 0.01)
    async with seated(snapshot(policies=[policy("left"), policy("right")])) as seat:
        await seat.press("right_square_bracket", "v")
        request = await seat.asked("see")
        assert request.args == {"policy": "right"}
        seat.run.answer(request, "it", **packed(RED_OVER_BLUE))
        await seat.shows("it, ")
        seat.run.answer(await seat.asked("see"), "a0 is not at work", ok=False)
        await seat.shows("a0 is not at work")
        await seat.asked("see")
        await seat.run.stop()
        await seat.shows("not connected to the run")


async def test_what_is_no_picture_takes_no_room() -> None:
    async with seated() as seat:
        for _ in range(2):
            await seat.press("v")
            request = await seat.asked("see")
            seat.run.answer(request, "observations of shape [4] are no picture", ok=False)
            await seat.shows("✖ see: observations of shape [4] are no picture")
            assert seat.app.tab == 1
        await seat.press("3")
        assert "Policy lag of sampled rows" in await seat.text(), "the charts stay"


@pytest.mark.parametrize("then", ["1", "space", "v"])
async def test_it_rests_while_it_cannot_be_seen(then: str, monkeypatch: pytest.MonkeyPatch) -> None:
    # shorter, the process would never be idle, and each look of the pilot's would take its second
    monkeypatch.setattr(seeing, "SIGHT_S", 0.03)
    async with seated() as seat:
        seat.run.on_request = lambda request: Reply(
            id=request.id, ok=True, message="it", result=packed(RED_OVER_BLUE)
        )
        await seat.press("v")
        await seat.until(lambda: len(seat.run.commands) > 3, "pictures one after another")
        await seat.press(then)
        asked = len(seat.run.commands)
        for _ in range(5):
            await seat.settle()
        assert len(seat.run.commands) <= asked + 1, "at most the one that was under way"


async def test_a_screen_that_only_looks_does_not_ask() -> None:
    async with seated(read_only=True) as seat:
        await seat.press("v")
        assert "--read-only" in await seat.text()
        assert seat.run.commands == []


def noise(seed: int) -> Sight:
    pixels = np.random.default_rng(seed).integers(0, 256, (48, 48, 3), dtype=np.uint8)
    return Sight(pixels, "noise")


async def test_a_picture_that_stays_is_neither_styled_nor_sent_again(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr("tuitrain.tui.app.STALE_S", 1000.0)  # which would dim every line
    async with seated(size=(200, 50)) as seat:
        seat.app.sight = noise(0)
        await seat.press("3")
        panel = seat.app.screen_stack[0].query_one("#sight", Panel)
        seat.app.sight = noise(1)
        seat.app.redraw()
        assert panel.sent >= 24 * 48, "24 lines of 48 cells, all unlike"
        styled = []
        strip = panel._strip
        monkeypatch.setattr(panel, "_strip", lambda line: styled.append(line) or strip(line))
        seat.app.redraw()
        assert len(styled) <= 1, "the caption"
        assert panel.sent <= 1


async def test_a_picture_of_many_colours_is_asked_for_less_often(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    pauses: list[int] = []
    monkeypatch.setattr(seeing, "pause_s", lambda pieces: pauses.append(pieces) or 0.01)
    async with seated(size=(200, 50)) as seat:
        await seat.press("v")
        for seed in range(3):
            pixels = noise(seed).pixels
            assert pixels is not None
            await answer(seat, f"picture {seed}", **packed(pixels))
            await seat.shows(f"picture {seed}")
        await seat.until(lambda: max(pauses) >= 24 * 48, "a pause by what was sent")


@pytest.mark.parametrize("pieces", [0, 1, 300, 301, 1153, 4609])
def test_pictures_stay_within_the_budget_of_a_terminal(pieces: int) -> None:
    """40 bytes a piece; 20 KiB/s are for the whole screen."""
    assert seeing.pause_s(pieces) >= 1.0
    assert 40 * pieces / seeing.pause_s(pieces) <= 12 * 1024


WHITE_OVER_BLACK = np.array([[[255] * 3] * 2] * 2 + [[[0] * 3] * 2] * 2, np.uint8)


@pytest.mark.parametrize(
    ("look", "shown"),
    [
        ({"ascii_only": True}, ["@@", "  "]),
        ({"colourless": True}, ["@@", "  "]),
        ({"colourless": True, "palette": LIGHT}, ["  ", "@@"]),
        ({"palette": LIGHT}, [HALF * 2, HALF * 2]),
    ],
)
def test_without_colours_characters_say_what_is_light(look: Any, shown: list[str]) -> None:
    view = View(sight=Sight(WHITE_OVER_BLACK, "it"), sight_age_s=0.0, **look)
    assert [line.plain for line in draw_sight(view, 3, 3)[:2]] == shown


@pytest.mark.parametrize("theme", ["textual-dark", "textual-light", "ansi-dark"])
async def test_without_colour_it_is_drawn_in_characters(
    theme: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("NO_COLOR", "1")
    async with seated() as seat:
        seat.app.theme = theme
        seat.app.sight = Sight(WHITE_OVER_BLACK, "it")
        await seat.press("3")
        shown = await seat.panel("sight")
        assert HALF not in shown
        assert "@@" in shown


async def test_of_a_run_that_has_ended_nothing_is_asked(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(seeing, "SIGHT_S", 0.03)
    async with seated() as seat:
        seat.run.on_request = lambda request: Reply(
            id=request.id, ok=True, message="an observation", result=packed(RED_OVER_BLUE)
        )
        await seat.press("v")
        await seat.until(lambda: len(seat.run.commands) > 3, "pictures one after another")
        seat.app.ended = True
        asked = len(seat.run.commands)
        for _ in range(5):
            await seat.settle()
        assert len(seat.run.commands) <= asked + 1
        assert HALF in await seat.text(), "the last picture stays, with its age"
        await seat.press("v", "v")
        assert "see: the run has ended" in await seat.text()


def test_two_pixels_are_a_cell() -> None:
    view = View(sight=Sight(RED_OVER_BLUE, "it"), sight_age_s=0.0)
    (line, caption) = draw_sight(view, 2, 2)
    assert line.plain == HALF * 2
    assert [str(span.style) for span in line.spans] == ["#ff0000 on #0000ff"]
    assert caption.cell_len <= 2
    assert [line.plain for line in draw_sight(view, 8, 5)[:4]] == [HALF * 8] * 4
    dark = draw_sight(View(sight=Sight(np.zeros((2, 2, 3), np.uint8)), ascii_only=True), 9, 3)
    assert all(line.plain.isascii() for line in dark[:-1])


@pytest.mark.parametrize("shape", [(1, 1), (48, 48), (3, 48), (48, 1), (37, 11)])
@pytest.mark.parametrize("ascii_only", [False, True])
def test_it_fits_at_every_size(shape: tuple[int, int], ascii_only: bool) -> None:
    pixels = np.random.default_rng(0).integers(0, 256, (*shape, 3), dtype=np.uint8)
    view = View(sight=Sight(pixels, "w" * 300), sight_age_s=math.inf, ascii_only=ascii_only)
    for width in (0, 1, 2, 5, 48, 200):
        for height in (0, 1, 2, 3, 10, 60):
            lines = draw_sight(view, width, height)
            assert len(lines) <= height
            assert all(line.cell_len <= width for line in lines) or width == 0
    assert draw_sight(View(), 80, 24) == []


@pytest.mark.parametrize(
    "changes",
    [
        {"width": 10**9}, {"height": -1}, {"width": "2"}, {"width": 3}, {"pixels": "!"},
        {"pixels": ""}, {"pixels": None}, {"pixels": "AAAA"},
        {"pixels": base64.b64encode(zlib.compress(bytes(10**7))).decode()},
    ],
)  # fmt: skip
def test_a_damaged_picture_is_none(changes: dict[str, Any]) -> None:
    assert unpack(packed(RED_OVER_BLUE)) is not None
    assert unpack(packed(RED_OVER_BLUE) | changes) is None
