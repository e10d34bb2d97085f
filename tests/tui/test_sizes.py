"""Every size of terminal, every number that is none, without colour and in ASCII."""

from __future__ import annotations

import math
import re
from typing import Any

import pytest

from tests.tui.fixtures import actor, bare, failed, policy, records, snapshot
from tests.tui.harness import seated
from tests.tui.test_sight import RED_OVER_BLUE, packed
from tuitrain.protocol import EventLine, LearningView, RecordLine, Reply
from tuitrain.tui.dialogs.check import CheckDialog
from tuitrain.tui.dialogs.help import HelpDialog
from tuitrain.tui.dialogs.leave import LeaveDialog
from tuitrain.tui.screenshot import screen_text
from tuitrain.tui.view import View
from tuitrain.tui.widgets.replay import draw_policies

SIZES = [
    (200, 60), (120, 40), (100, 32), (99, 31), (80, 24), (60, 19), (40, 12), (39, 11), (20, 5),
    (2, 1), (1, 1),
]  # fmt: skip
KINDS = (snapshot, failed, bare)


@pytest.mark.parametrize("now", KINDS)
async def test_every_size(now: Any) -> None:
    async with seated(now()) as seat:
        for width, height in SIZES:
            await seat.pilot.resize_terminal(width, height)
            # each tab for one kind of run in three; the overview for all
            for tab in (1, *range(2, 6)[KINDS.index(now) :: len(KINDS)]):
                seat.app.action_tab(tab)
                lines = (await seat.text()).splitlines()
                assert len(lines) <= height
                assert all(len(line) <= width for line in lines)


async def test_a_window_that_becomes_narrower_and_lower_while_a_filter_is_typed() -> None:
    async with seated(size=(200, 60)) as seat:
        await seat.press("slash", *"a5")
        for width in range(200, 0, -13):
            height = max(1, 60 * width // 200)
            await seat.pilot.resize_terminal(width, height)
            lines = (await seat.text()).splitlines()
            assert len(lines) <= height
            assert all(len(line) <= width for line in lines)
        await seat.pilot.resize_terminal(120, 40)
        await seat.press("enter")
        assert "policy lag a5: 212 updates" in await seat.panel("events")


@pytest.mark.parametrize("size", [(200, 60), (30, 10), (1, 1)])
async def test_dialogs_at_every_size(size: tuple[int, int]) -> None:
    async with seated(size=size) as seat:
        for key, dialog in (("question_mark", HelpDialog), ("q", LeaveDialog),
                            ("exclamation_mark", CheckDialog)):  # fmt: skip
            await seat.press(key)
            assert isinstance(seat.app.screen, dialog)
            await seat.press("escape")
        assert not seat.app._exit


async def test_compact() -> None:
    async with seated(size=(80, 24)) as seat:
        lines = (await seat.text()).splitlines()
        assert len(lines) == 24
        assert lines[3].startswith("ACTORS")
        assert lines[4].startswith("BUFFER")
        assert lines[5].startswith("LEARNER")
        assert lines[6].startswith("L● 0● 1● 2● 3● 4● 5● 6● 7● E◌")
        assert lines[7].startswith("▲ policy lag a5")
        assert lines[12].startswith("Return  ── train")
        assert "q leave" in lines[23]


async def test_tiny_shows_the_header_alone() -> None:
    async with seated(size=(38, 5)) as seat:
        lines = (await seat.text()).splitlines()
        assert len(lines) == 5
        assert "too small" in lines[4]
        assert "● RUNNING" in lines[0]
        assert "▲ 1 WARN" in lines[1]
        assert "IMPROVING" in lines[2]


@pytest.mark.parametrize(
    "values",
    [
        [],
        [math.inf, -math.inf, math.nan],
        [1e308, -1e308],
        [1.0, math.nan, 2.0],
        *(pytest.param(v, marks=pytest.mark.long) for v in ([1.0], [math.nan] * 5, [0.0] * 5)),
    ],
)
async def test_every_series_with_awkward_numbers(values: list[float]) -> None:
    fields = {k for r in records(20) for k, v in r.items() if isinstance(v, float | int)}
    numbers = dict.fromkeys(("loss", "q_mean", "q_max_abs", "td_p95", "grad_norm", "lr",
                             "eval_return_mean", "sample_age_p95", "lag_updates_p95",
                             "ratio_achieved", "published_age_s"), math.nan)  # fmt: skip
    now = snapshot(
        policies=[policy(**numbers)],
        eta_s=math.nan,
        steps_per_s=math.inf,
        processes=[actor(0, epsilon=math.nan, cpu_percent=math.nan, lag_s=math.inf, rate=math.nan,
                         beat_age_s=math.inf, phase_share={"wait": math.nan})],
        learning=LearningView(mean=math.inf, ci95=math.nan, best=-math.inf, n_evals=1),
    )  # fmt: skip
    async with seated(now) as seat:
        seat.app.store._curves.clear()
        for i, value in enumerate(values):
            for kind in ("train", "learner", "eval"):
                record = dict.fromkeys(fields, value) | {
                    "kind": kind, "policy": "default", "steps": i, "updates": i,
                    "time_s": 1e12 + i, "wall_s": 1e9 + i,
                }  # fmt: skip
                seat.run.say(RecordLine(record=record))
        seat.run.say(EventLine(seq=500, time_s=0, level="info", source="x", text="all said"))
        await seat.shows("all said")
        for key in ("2", "g", "g", "X", "X", "3", "4", "1", "g"):
            await seat.press(key)
            shown = await seat.text()
        if any(not math.isfinite(v) for v in values):
            assert "✖" in await seat.panel("chart-return")
        assert "✖nan" in shown


async def test_colour_never_alone() -> None:
    async with seated(failed(), ascii_only=True) as seat:
        for key in "12345":
            await seat.press(key)
            assert (await seat.text()).isascii()
        await seat.press("1")
        shown = await seat.text()
        assert "X FAILED" in shown
        assert "! policy lag a5" in shown
        assert "X grad norm" in shown
        await seat.press("question_mark")
        assert screen_text(seat.app).isascii()


async def test_no_color(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("NO_COLOR", "1")
    async with seated() as seat:
        assert "● RUNNING" in await seat.text()
        svg = seat.app.export_screenshot()
        colours = set(re.findall(r"fill: #([0-9a-f]{6})", svg))
        assert colours
        for colour in colours:
            r, g, b = (int(colour[i : i + 2], 16) for i in (0, 2, 4))
            assert max(r, g, b) - min(r, g, b) <= 4, f"#{colour} is a colour"
        for strip in seat.app.screen._compositor.render_strips():
            for behind in (segment.style and segment.style.bgcolor for segment in strip):
                assert behind is None or behind.is_default, "no background is painted"


@pytest.mark.parametrize(
    ("size", "tab", "keys", "seen"),
    [
        # tabs keep their names as long as there is room for them; other keys go first
        ((80, 24), 1, (), ["1 Overview  2 Learning  3 Buffer  4 Processes  5 Logs", "? help"]),
        ((80, 24), 2, (), ["5 Logs", "PgDn 0%", "q leave", "? help"]),
        ((60, 15), 1, (), ["1 Overview  2  3  4  5"]),
        # without a border a chart says what it is
        ((80, 24), 1, (), ["Return  ── train"]),
        # what actor 0 sees has a place of its own
        ((80, 24), 3, ("v",), ["what is seen", "shard"]),
        ((80, 24), 3, (), ["412k tr", "ratio asked for"]),
        ((40, 11), 1, (), ["too small for more than this"]),
    ],
)
async def test_what_small_screens_keep(
    size: tuple[int, int], tab: int, keys: tuple[str, ...], seen: list[str]
) -> None:
    async with seated(size=size) as seat:
        seat.run.on_request = lambda request: Reply(
            id=request.id, ok=True, message="what is seen", result=packed(RED_OVER_BLUE)
        )
        await seat.press(str(tab), *keys)
        for words in seen:
            shown = await seat.shows(words)
        if keys:
            assert "sampleable tr" not in shown


async def test_where_a_chart_had_one_line_there_is_none() -> None:
    async with seated(size=(60, 15)) as seat:
        assert "env steps" not in await seat.text()
        await seat.press("z")
        assert "env steps" in await seat.text(), "alone it has room"


def test_labels_are_cut_and_numbers_are_not() -> None:
    for width in range(32, 60):
        text = "\n".join(line.plain for line in draw_policies(View(snapshot=snapshot()), width, 20))
        for number in ("412k tr", "1.0M tr", "0.250 u/tr", "97k u"):
            assert number in text, width
