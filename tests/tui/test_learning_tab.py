"""Charts and policies on the screen: axes, legends, who is chosen, what environments tell."""

from __future__ import annotations

import re

import pytest

from tests.tui.fixtures import policy, records, several, snapshot
from tests.tui.harness import seated
from tuitrain.protocol import RecordLine


async def test_charts_have_curves_legend_and_axes() -> None:
    async with seated() as seat:
        chart = await seat.panel("chart-return")
        assert re.match(r"── train [\d.]+  ╴╴ eval [\d.]+  ·· best [\d.]+", chart)
        assert sum(0x2800 < ord(c) < 0x2900 for c in chart) > 40
        assert "env steps" in chart
        await seat.press("X")
        assert "updates" in await seat.panel("chart-return")
        await seat.press("X")
        assert "m" in (await seat.panel("chart-return")).splitlines()[-1]
        assert (await seat.panel("chart-return")).endswith(" time")


async def test_log_axis() -> None:
    async with seated() as seat:
        assert "Loss, |TD| p95 (log)" in await seat.text()
        assert "Return (log)" not in await seat.text()
        await seat.press("g")
        assert "Return (log)" in await seat.text()
        await seat.press("g")
        assert "(log)" not in (await seat.text()).replace("y axis", "")


async def test_policies_side_by_side_and_chosen() -> None:
    now = snapshot(policies=[policy("left"), policy("right", updates=5, capacity=77)])
    async with seated(now) as seat:
        assert "· left" in await seat.text()
        await seat.press("right_square_bracket")
        assert "LEARNER 5 u" in await seat.panel("pipeline")
        assert "· right" in await seat.text()
        await seat.press("3")
        assert (await seat.panel("policies")).splitlines()[0].split() == ["left", "right"]


@pytest.mark.parametrize("size", [(120, 40), (80, 24)])
async def test_what_environments_tell_has_a_place_once_they_do(size: tuple[int, int]) -> None:
    async with seated(size=size) as seat:
        await seat.press("2")
        assert "coverage" not in await seat.text()
        told = {"kind": "env", "policy": "default", "steps": 1, "metrics.coverage": 0.8312}
        seat.run.say(RecordLine(record=told))
        text = await seat.shows("coverage 0.831")
        assert ("Told by environments" in text) == (size[0] == 120)


@pytest.mark.parametrize("size", [(120, 40), (80, 24), (40, 12)])
async def test_everything_on_the_learning_tab_can_be_reached(size: tuple[int, int]) -> None:
    """The table of twelve policies and all eight charts, by the keys that the key line names."""
    async with seated(several(12), size=size) as seat:
        for record in records(60, "agent_0"):
            seat.app.store.add_record(record)
        await seat.press("2")
        first = await seat.text()
        assert "▸agent_0" in first
        assert "PgDn 0%" in first
        seen = first
        for _ in range(9):
            await seat.press("pagedown")
            seen += await seat.text()
        for words in ("agent_11", "grad norm", "── lr", "st  ╴╴ ev", "── ε"):
            assert words in seen
        assert "PgDn 100%" in await seat.text()
        await seat.press("end", "home", "up")
        assert (await seat.text()).splitlines()[3:] == first.splitlines()[3:]
        await seat.press("down")
        assert "PgDn 0%" not in await seat.text()
