"""The shards of the replay: what is in each, what is drawn of it, where its writer is."""

from __future__ import annotations

import math
import re
from typing import Any

import pytest

from tests.tui.fixtures import bare, policy, shard, snapshot
from tests.tui.harness import seated
from tuitrain.protocol import ShardView
from tuitrain.tui.view import View
from tuitrain.tui.widgets.shards import draw_shards, ring


@pytest.mark.parametrize(
    ("changes", "shown"),
    [
        ({"tail": 0, "head": 0, "low": None, "end": None, "reserved": None}, "··········"),
        ({"tail": 0, "head": 50, "low": 0, "end": 0, "reserved": 10}, "▒▒▒▒▒»····"),
        ({"tail": 0, "head": 50, "low": 20, "end": 50, "reserved": 10}, "▒▒███»····"),
        ({"tail": 910, "head": 1000, "low": 930, "end": 1000, "reserved": 10}, "»▒▒███████"),
        ({"tail": 1060, "head": 1150, "low": 1080, "end": 1150, "reserved": 10}, "█████»▒▒██"),
        ({"tail": 1060, "head": 1150, "low": 1080, "end": 1150, "reserved": 1}, "█████»▒▒██"),
        # read while the writer moved on: what cannot be read any more is not shown as sampleable
        ({"tail": 1060, "head": 1150, "low": 1000, "end": 1200, "reserved": 10}, "█████»████"),
    ],
)
def test_the_ring_is_drawn_slot_by_slot(changes: dict[str, Any], shown: str) -> None:
    assert ring(shard(rows=100, **changes), 10) == shown


def test_a_ring_with_more_cells_than_rows_and_one_without_rows() -> None:
    assert ring(ShardView(rows=2, tail=0, head=1, low=0, end=1), 6) == "███···"
    assert ring(ShardView(rows=0, tail=0, head=5), 4) == "····"


async def test_one_line_per_actor() -> None:
    async with seated() as seat:
        await seat.press("3")
        legend, head, first, second, *others = (await seat.panel("shards")).splitlines()
        assert head.split()[:4] == ["shard", "ring", "fill", "sampleable"]
        assert first.split()[0] == "a0"
        numbers = "100% 51.5k tr 12% 190k tr 380k tr 0.420 2.50 640 0 rows 12 1.10 ms"
        assert first.split()[2:] == numbers.split()
        assert first.split()[1] != second.split()[1], "their writers are at other slots"
        assert len(others) == 6
        assert legend.startswith("ring: · empty")


async def test_what_nobody_has_measured_is_not_shown_as_zero() -> None:
    async with seated(bare(), size=(200, 40)) as seat:
        await seat.press("3")
        line = (await seat.panel("shards")).splitlines()[2]
        assert line.split()[2:] == ["0%", *["n/a"] * 7, "0", "rows", "n/a", "n/a"]


async def test_a_run_whose_memory_is_not_there_says_so() -> None:
    async with seated(snapshot(policies=[policy(shards=[])])) as seat:
        await seat.press("3")
        assert await seat.panel("shards") == "shards n/a"


async def test_the_chosen_policy_is_shown() -> None:
    both = [policy("left"), policy("right", shards=[shard(sampleable=77.0)])]
    async with seated(snapshot(policies=both)) as seat:
        await seat.press("3")
        assert "left (1/2)" in await seat.panel("shards")
        await seat.press("right_square_bracket")
        shown = await seat.panel("shards")
        assert "right (2/2)" in shown
        assert "77 tr" in shown


async def test_many_actors_leave_room_for_the_rest() -> None:
    now = snapshot(policies=[policy(shards=[shard(i) for i in range(64)])])
    async with seated(now) as seat:
        await seat.press("3")
        assert "more" in (await seat.panel("shards")).splitlines()[-1]
        assert "capacity" in await seat.panel("policies")
        await seat.press("tab", "tab", "tab", "tab", "z")
        assert len((await seat.panel("shards")).splitlines()) > 30


def test_numbers_that_are_none_are_marked() -> None:
    odd = shard(drawn_share=math.nan, age_p50=math.inf, priority_mean=math.nan, lock_worst_s=2.5)
    lines = draw_shards(View(snapshot=snapshot(policies=[policy(shards=[odd])])), 200, 9)
    shown = lines[2].plain
    assert "✖nan" in shown
    assert "✖inf" in shown
    assert "2.50 s" in shown


@pytest.mark.parametrize(
    ("state", "rate", "published"), [("running", "77 u/s", "0.4s ago"), ("finished", "n/a", "n/a")]
)
async def test_what_has_ended_has_no_rate(state: Any, rate: str, published: str) -> None:
    async with seated(snapshot(state=state)) as seat:
        await seat.press("3")
        shown = await seat.panel("policies")
        assert re.search(rf"update rate +{rate}", shown)
        assert re.search(rf"published +{published}", shown)
