"""Another run's curves: chosen by key or at the start, drawn fainter, named, and taken away."""

from __future__ import annotations

import asyncio
import json
import os
import re
import threading
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
from typer.testing import CliRunner

from tests.tui.fixtures import policy, records, snapshot, write_run
from tests.tui.harness import recorded
from tuitrain.cli.attach import compared, show
from tuitrain.cli.find import find
from tuitrain.cli.main import app as cli
from tuitrain.tui.actions.comparing import other_runs
from tuitrain.tui.dialogs.compare import ROWS, CompareDialog
from tuitrain.tui.recorded import load_recorded
from tuitrain.tui.store import Store
from tuitrain.tui.view import ChartChoices, Compared, View
from tuitrain.tui.widgets.charts import LEARNING, RETURN
from tuitrain.tui.widgets.curves import drawer, goes_on_to, window, x_range


def run_at(folder: Path, made: float, **fields: Any) -> Path:
    """A recorded run, made at this time; `fields` change its records."""
    write_run(folder)
    lines = [json.dumps(record | fields) + "\n" for record in records()]
    (folder / "metrics.jsonl").write_text("".join(lines))
    os.utime(folder / "config.toml", (made, made))
    return folder


def curves_of(*names: str, n: int = 40) -> dict[Any, Any]:
    store = Store()
    for name in names:
        for record in records(n, name):
            store.add_record(record)
    return store.curves()


def test_its_policy_of_the_same_name_or_the_only_one() -> None:
    one, two = Compared("x", curves_of("solo")), Compared("x", curves_of("left", "right"))
    assert one.of("default").keys() == one.of("solo").keys() != set()
    assert two.of("left").keys() == two.of("right").keys() != set()
    assert not two.of("default"), "which of them would be a guess"
    assert not Compared("x", {}).of("default")


def test_every_chart_shows_its_main_curve_by_name() -> None:
    view = View(
        snapshot=snapshot(policies=[policy()]),
        curves=curves_of("default"),
        compared=Compared("cartpole-0003", curves_of("default", n=80)),
    )
    legend = drawer(RETURN)(view, 140, 12)[0].plain
    assert "┈┈ cartpole-0003 eval " in legend
    assert legend.startswith("── train")
    loss = next(chart for chart in LEARNING if chart.title == "Loss")
    assert "┈┈ cartpole-0003 0.0" in drawer(loss)(view, 140, 12)[0].plain
    assert "┈┈ cartpole-0003 n/a" in drawer(loss)(
        View(curves=view.curves, compared=Compared("cartpole-0003", {})), 140, 12
    )[0].plain  # fmt: skip


def stretched(record: dict[str, Any], times: float) -> dict[str, Any]:
    """What is measured then in a run so many times as long."""
    return record | {key: times * record[key] for key in ("steps", "updates", "wall_s")}


def longer(times: float = 2.0) -> View:
    """A run beside another that is so many times as long."""
    store = Store()
    for record in records():
        store.add_record(stretched(record, times))
    return View(
        snapshot=snapshot(policies=[policy()]),
        curves=curves_of("default"),
        compared=Compared("x-0001", store.curves()),
    )


def test_a_young_run_is_no_sliver_beside_an_old_one() -> None:
    view = longer()
    own, end = x_range(view), goes_on_to(view)
    assert own is not None
    assert end == pytest.approx(2 * own[1], rel=0.05)
    assert window(view) == own == x_range(replace(view, compared=None))
    legend, *_, axis = (line.plain for line in drawer(RETURN)(view, 140, 12))
    assert re.search(r"┈┈ x-0001 eval [\d.]+ at 2\d\.\dM", legend), "where its newest value is"
    assert axis.endswith("env steps →"), "it goes on"
    whole = replace(view, charts=ChartChoices(zoom=-1))
    assert window(whole) is None
    legend, *_, axis = (line.plain for line in drawer(RETURN)(whole, 140, 12))
    assert " at " not in legend
    assert axis.endswith("env steps")
    seconds = replace(view, charts=ChartChoices(x_axis="wall_s"))
    assert re.search(r"at \d+[a-z]", drawer(RETURN)(seconds, 140, 12)[0].plain)


def test_beside_a_run_that_is_not_longer_all_is_shown() -> None:
    for view in (longer(1.01), longer(0.5), replace(longer(), compared=Compared("x", {}))):
        assert goes_on_to(view) is None
        assert window(view) is None
    assert goes_on_to(replace(longer(), curves={})) is None, "nothing of this one yet"
    assert window(replace(longer(), curves={})) is None


async def test_the_other_s_rest_by_keys(tmp_path: Path) -> None:
    mine, other = run_at(tmp_path / "a-0001", 1.0), run_at(tmp_path / "b-0002", 2.0)
    lines = [json.dumps(stretched(record, 10.0)) + "\n" for record in records()]
    (other / "metrics.jsonl").write_text("".join(lines))
    async with recorded(mine, compare=other) as seat:
        await seat.shows("it goes on where this one ends: ( shows all of it")

        async def axis() -> str:
            return (await seat.panel("chart-return")).splitlines()[-1]

        own = await axis()
        assert own.endswith("→")
        await seat.press("left_parenthesis", "left_parenthesis")
        assert "all of it, the other run's too; ) this run's" in await seat.text()
        assert not (await axis()).endswith("→")
        await seat.press("right_parenthesis")
        assert "all of this run's; ( the other's too" in await seat.text()
        assert await axis() == own
        await seat.press("right")
        assert "x axis: ← → move" in await seat.text()
        assert await axis() != own
        await seat.press("escape")
        assert await axis() == own
        await seat.press("right_parenthesis", *["right"] * 200)
        assert not (await axis()).endswith("→"), "its end"


async def test_which_run_goes_on_is_told_with_this_one_s_own_curves(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    read = threading.Event()

    def load(run_dir: Path, store: Store) -> None:
        load_recorded(run_dir, store)
        read.set()

    mine, other = run_at(tmp_path / "a-0001", 1.0), run_at(tmp_path / "b-0002", 2.0)
    async with recorded(mine) as seat:
        monkeypatch.setattr("tuitrain.tui.recorded.load_recorded", load)
        seat.app.loaded.clear()  # as if its files were still being read
        seat.app.compare(other)
        reading = next(task for task in seat.app._tasks if "_read" in repr(task))
        await asyncio.to_thread(read.wait)
        await seat.settle()
        await seat.settle()
        assert seat.app.compared is None
        seat.app.loaded.set()
        await reading
        assert seat.app.compared is not None


def test_runs_beside_this_one_newest_first(tmp_path: Path) -> None:
    for i, name in enumerate(("a-0001", "a-0002", "a-0003")):
        run_at(tmp_path / name, 1000.0 + i)
    (tmp_path / "no-run").mkdir()
    assert [p.name for p in other_runs(tmp_path / "a-0002")] == ["a-0003", "a-0001"]


async def test_chosen_by_key_and_taken_away(tmp_path: Path) -> None:
    mine = run_at(tmp_path / "a-0001", 1000.0)
    run_at(tmp_path / "a-0002", 2000.0)
    run_at(tmp_path / "a-0003", 3000.0)
    async with recorded(mine) as seat:
        await seat.press("equals_sign")
        await seat.until(lambda: isinstance(seat.app.screen, CompareDialog), "the dialog")
        assert "▶  a-0003" in await seat.text()
        await seat.press("down", "enter")
        await seat.shows("compared with a-0002, as it is now")
        assert "a-0002 eval" in await seat.panel("chart-return")
        await seat.press("equals_sign")
        await seat.until(lambda: isinstance(seat.app.screen, CompareDialog), "the dialog")
        assert "▶  a-0002" in await seat.text(), "the one of now"
        await seat.press("pageup", "enter")
        assert "a-0002" not in await seat.panel("chart-return")


async def test_from_the_start(tmp_path: Path) -> None:
    mine, other = run_at(tmp_path / "a-0001", 1.0), run_at(tmp_path / "b-0002", 2.0)
    async with recorded(mine, compare=other) as seat:
        await seat.shows("b-0002 eval")


@pytest.mark.parametrize("command", ["attach", "launch", "resume"])
def test_the_commands_know_the_run_or_refuse_before_anything_is_done(
    command: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("TUITRAIN_RUNS_DIR", str(tmp_path))
    run_at(tmp_path / "a-0001", 1.0)
    config = Path(__file__).parents[2] / "configs" / "cartpole.toml"
    what = str(config) if command == "launch" else "a-0001"
    done = CliRunner().invoke(cli, [command, what, "--compare", "a-0007"])
    assert done.exit_code == 2
    assert "a-0007" in done.output
    assert [path.name for path in tmp_path.iterdir()] == ["a-0001"]


@pytest.mark.parametrize("command", ["launch", "resume"])
def test_what_starts_a_run_shows_it_beside_the_other(
    command: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("TUITRAIN_RUNS_DIR", str(tmp_path))
    run_at(tmp_path / "a-0001", 1.0)
    other = run_at(tmp_path / "b-0002", 2.0)
    shown: list[Path | None] = []
    monkeypatch.setattr("tuitrain.cli.launch._prepare", lambda *_: None)
    monkeypatch.setattr("tuitrain.cli.launch._on_terminal", lambda: True)
    monkeypatch.setattr("tuitrain.cli.start.start_detached", lambda *_: 1)
    monkeypatch.setattr("tuitrain.cli.launch.show", lambda *_, compare, **__: shown.append(compare))
    config = Path(__file__).parents[2] / "configs" / "cartpole.toml"
    what = str(config) if command == "launch" else "a-0001"
    done = CliRunner().invoke(cli, [command, what, "--compare", "b-0002"])
    assert done.exit_code == 0, done.output
    assert shown == [other]


def test_show_opens_the_screen_with_it(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    mine, other = run_at(tmp_path / "a-0001", 1.0), run_at(tmp_path / "b-0002", 2.0)
    opened: list[dict[str, Any]] = []

    def show_run(*_: Any, **how: Any) -> int:
        opened.append(how)
        return 0

    monkeypatch.setattr("tuitrain.tui.terminal.show_run", show_run)
    (mine / "summary.json").unlink()
    assert show(find(str(mine), tmp_path), compare=compared("b-0002", tmp_path)) == 0
    assert opened[0]["compare"] == other


async def test_a_run_that_has_measured_nothing(tmp_path: Path) -> None:
    mine, empty = run_at(tmp_path / "a-0001", 1.0), run_at(tmp_path / "a-0002", 2.0)
    (empty / "metrics.jsonl").unlink()
    async with recorded(mine) as seat:
        seat.app.compare(empty)
        await seat.shows("✖ a-0002 has measured nothing yet")


async def test_no_other_run(tmp_path: Path) -> None:
    async with recorded(run_at(tmp_path / "a-0001", 1.0)) as seat:
        await seat.press("equals_sign")
        await seat.shows("no other run in")


async def test_many_runs_scroll_in_a_small_terminal(tmp_path: Path) -> None:
    mine = run_at(tmp_path / "a-0000", 1.0)
    for i in range(1, 31):
        (tmp_path / f"a-{i:04d}").mkdir()
        (tmp_path / f"a-{i:04d}" / "config.toml").touch()
    async with recorded(mine, size=(80, 24)) as seat:
        await seat.press("equals_sign")
        await seat.until(lambda: isinstance(seat.app.screen, CompareDialog), "the dialog")
        assert "30 runs, newest first" in await seat.text()
        await seat.press(*["pagedown"] * (30 // ROWS + 1))
        shown = await seat.text()
        assert shown.count("a-00") == ROWS + 2, "and this screen's own, in its header and its hint"
        await seat.press("escape")
        assert not isinstance(seat.app.screen, CompareDialog)
