"""Keys of the charts: one policy or all, a part of the x axis; and one panel alone."""

from __future__ import annotations

import math
from dataclasses import replace

import pytest

from tests.tui.fixtures import policy, records, several, snapshot
from tests.tui.harness import Seat, seated
from tests.tui.test_sizes import SIZES
from tuitrain.tui.layout import ChartPanel
from tuitrain.tui.store import Store
from tuitrain.tui.view import ChartChoices, Compared, View
from tuitrain.tui.widgets.charts import LEARNING, RETURN, Chart, Shown
from tuitrain.tui.widgets.curves import (
    chart_title,
    drawer,
    main_curve,
    running_best,
    window,
    x_range,
)

NAMES = [f"agent_{i}" for i in range(4)]


def view_of(*names: str, **choices: object) -> View:
    """Policies that have measured the same, the i-th i times as much."""
    store = Store()
    for i, name in enumerate(names, 1):
        for record in records(60, name):
            store.add_record(record | {"loss": float(i), "lr": 0.1 * i})
    now = snapshot(policies=[policy(name) for name in names])
    return View(snapshot=now, curves=store.curves(), charts=ChartChoices(**choices))


def chart(view: View, chart: Chart, width: int = 100, height: int = 12) -> list[str]:
    return [line.plain for line in drawer(chart)(view, width, height)]


async def charts_of(seat: Seat, *names: str) -> None:
    """Let the run have measured something of these policies."""
    for name in names:
        for record in records(40, name):
            seat.app.store.add_record(record)


def test_all_policies_have_lines_that_differ_the_chosen_one_first() -> None:
    view = view_of(*NAMES, all_policies=True)
    loss = next(c for c in LEARNING if c.title == "Loss")
    assert (
        chart(view, loss)[0] == "── agent_0 1.00  ╴╴ agent_1 2.00  ·· agent_2 3.00  ─· agent_3 4.00"
    )
    second = replace(view, policy_index=2)
    assert chart(second, loss)[0].startswith("·· agent_2 3.00  ── agent_0 1.00"), "pattern stays"
    assert chart_title(loss, second) == "Loss (log) · loss, all 4 policies"
    assert chart(replace(view, compact=True), loss)[0].startswith("loss  ── agent_0 1.00")
    one = replace(view, charts=ChartChoices())
    assert chart(one, loss)[0] == "── loss 1.00"


def test_what_is_not_finite_is_neither_the_best_nor_an_end_of_the_axis() -> None:
    store = Store()
    for i, value in enumerate((math.nan, 1.0, math.inf, 3.0, 2.0)):
        at = {"policy": "p", "steps": math.inf if i == 4 else i, "wall_s": float(i)}
        store.add_record({"kind": "eval", "return_mean": value, **at})
    (curve,) = store.curves().values()
    assert running_best(curve).value.tolist() == [1.0, 1.0, 3.0, 3.0]
    view = View(snapshot=snapshot(policies=[policy("p")]), curves=store.curves())
    assert x_range(view) == (0.0, 3.0)


def test_no_more_policies_than_patterns_and_colours_tell_apart() -> None:
    names = [f"p{i}" for i in range(30)]
    view = View(snapshot=snapshot(policies=[policy(n) for n in names]), policy_index=20,
                charts=ChartChoices(all_policies=True))  # fmt: skip
    drawn = chart(view, RETURN, 300, 20)
    assert drawn[0].count("n/a") == 12
    assert drawn[0].startswith("── p20 n/a")
    assert "12 of 30 policies" in chart_title(RETURN, view)


def test_the_curve_that_stands_for_a_chart_is_one_that_somebody_has() -> None:
    evaluated = view_of("a")
    assert main_curve(RETURN, evaluated).label == "eval"
    trained = {k: v for k, v in evaluated.curves.items() if k[1] != "eval"}
    assert main_curve(RETURN, replace(evaluated, curves=trained)).label == "train"
    assert main_curve(RETURN, View()).label == "eval"


def test_a_window_is_a_share_of_x_that_follows_the_newest_or_stays() -> None:
    view = view_of("a")
    low, high = x_range(view) or (math.nan, math.nan)
    assert window(view) is None
    shown = window(replace(view, charts=ChartChoices(zoom=2)))
    assert shown == pytest.approx((high - (high - low) / 4, high))
    shown = window(replace(view, charts=ChartChoices(zoom=1, at=0.0)))
    assert shown == pytest.approx((low, low + (high - low) / 2)), "never before the beginning"
    assert window(View(charts=ChartChoices(zoom=3))) is None


def test_zooming_does_not_change_the_mean_line() -> None:
    """Where the zoomed chart shows a line, that is as high as it was before."""
    store = Store()
    for i in range(4000):
        store.add_record({"kind": "learner", "policy": "p", "steps": i, "time_s": i, "wall_s": i,
                          "updates": i, "loss": math.sin(i) + i / 1000})  # fmt: skip
    view = View(curves=store.curves())
    only = Chart("x", (Shown("loss", "learner", "loss"),))
    zoomed = replace(view, charts=ChartChoices(zoom=4))
    legends = {chart(v, only)[0] for v in (view, zoomed)}
    assert legends == {chart(view, only)[0]}
    # A sine of 16 points and more a stretch has a mean near 0: were it found after zooming, over
    # less than a point a column, it would go up and down by 1 and fill more than one line.
    rows = [row for row in chart(zoomed, only, 100, 30) if any(c in row for c in "⠒⠤⠉⠔⠊⢄⡠⠑⠢⣀")]
    assert 0 < len(rows) < 12


async def test_all_policies_by_key() -> None:
    async with seated(several(3)) as seat:
        await charts_of(seat, "agent_0", "agent_1", "agent_2")
        await seat.press("2", "a")
        drawn = await seat.panel("learning-0")
        assert "── agent_0" in drawn
        assert "·· agent_2" in drawn
        await seat.press("right_square_bracket")
        assert (await seat.panel("learning-0")).startswith("╴╴ agent_1")
        await seat.press("a")
        assert (await seat.panel("learning-0")).startswith("── train")


async def test_zooming_x_by_keys_and_back() -> None:
    async with seated() as seat:
        whole = await seat.panel("chart-return")
        await seat.press("left")
        assert "all of the x axis is shown" in await seat.text()
        await seat.press("right_parenthesis", "right_parenthesis")
        shown = await seat.text()
        assert "Return · x ×4" in shown
        assert "x axis: 1/4 of it" in shown
        newest = (await seat.panel("chart-return")).splitlines()[-1]
        assert "11M" in newest
        await seat.press("left")
        assert (await seat.panel("chart-return")).splitlines()[-1] != newest
        await seat.press("right")
        assert "x axis: the newest" in await seat.text()
        assert (await seat.panel("chart-return")).splitlines()[-1] == newest
        await seat.press(*["left"] * 20)
        assert "0" in (await seat.panel("chart-return")).splitlines()[-1]
        await seat.press("left_parenthesis")
        assert "x ×2" in await seat.text()
        await seat.press("escape")
        assert await seat.panel("chart-return") == whole


@pytest.mark.parametrize("size", [(120, 40), (80, 24)])
async def test_a_panel_alone_and_back(size: tuple[int, int]) -> None:
    async with seated(size=size) as seat:
        before = await seat.text()
        await seat.press("z")
        panel = seat.app.screen.query_one("#chart-return")
        tab = seat.app.screen.query_one("#tab-1")
        assert panel.outer_size == tab.outer_size
        shown = await seat.text()
        assert "ACTORS" not in shown
        assert "── train" in shown
        assert "● RUNNING" in shown
        await seat.press("escape")
        await seat.press("1")
        assert (await seat.text()).splitlines()[3:-2] == before.splitlines()[3:-2]


async def test_any_panel_can_be_alone() -> None:
    async with seated(several(3)) as seat:
        for tab in range(1, 6):
            await seat.press(str(tab))
            screen = seat.app.screen
            for panel in list(screen.query(f"#tab-{tab} .framed")):
                if not panel.display:
                    continue
                panel.focus()
                await seat.press("enter")
                assert panel.outer_size == screen.query_one(f"#tab-{tab}").outer_size, panel.id
                await seat.press("enter")
            assert not screen.query(".-alone, .-away")


async def test_another_tab_ends_a_panel_alone() -> None:
    async with seated() as seat:
        await seat.press("z", "2", "1")
        assert "ACTORS" in await seat.text()


async def test_a_chart_with_the_focus_leaves_scrolling_to_its_tab() -> None:
    async with seated(several(12), size=(80, 24)) as seat:
        await seat.press("2")
        panel = next(iter(seat.app.screen.query("#tab-2 ChartPanel").results(ChartPanel)))
        panel.focus()
        await seat.press("home")
        assert "PgDn 0%" in await seat.text()
        await seat.press("pagedown")
        assert "PgDn 0%" not in await seat.text()


async def test_charts_with_everything_on_them_at_every_size() -> None:
    async with seated(several(3)) as seat:
        await charts_of(seat, "agent_0", "agent_1")
        seat.app.compared = Compared("another", dict(seat.app.store.curves()))
        await seat.press("2", "a", "right_parenthesis")
        seat.app.screen.query_one("#learning-1").focus()
        for alone in (False, True):
            for width, height in SIZES:
                await seat.pilot.resize_terminal(width, height)
                lines = (await seat.text()).splitlines()
                assert len(lines) <= height
                assert all(len(line) <= width for line in lines)
            if not alone:
                await seat.pilot.resize_terminal(120, 40)
                await seat.press("z")
