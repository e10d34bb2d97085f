"""A run that goes away, comes back or has ended, and what is drawn while nobody looks."""

from __future__ import annotations

import asyncio
import re
import subprocess
import sys
import threading
from pathlib import Path

import pytest

from tests.tui.fake_run import FakeRun
from tests.tui.fixtures import snapshot, write_run
from tests.tui.harness import Seat, recorded, seated
from tuitrain.protocol import EventLine
from tuitrain.tui.app import TuitrainApp
from tuitrain.tui.view import READING


async def test_a_run_that_goes_away_is_stale(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("tuitrain.tui.app.STALE_S", 0.0)
    monkeypatch.setattr("tuitrain.tui.app.REDRAW_S", 0.0)
    async with seated() as seat:
        await seat.run.stop()
        await seat.shows("✖ DATA STALE")
        panel = seat.app.screen.query_one("#pipeline")
        assert any(s.style and s.style.dim for s in panel.render_line(0)), "and dimmed"
        await seat.run.start()
        monkeypatch.setattr("tuitrain.tui.app.STALE_S", 1000.0)
        await seat.shows("LIVE")


class Silent(FakeRun):
    """Takes connections, as the socket of a supervisor does that is stopped."""

    async def _client(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        while await reader.read(1024):
            pass
        writer.close()


async def test_of_a_run_that_does_not_answer_that_is_said(tmp_path: Path) -> None:
    async with Silent(tmp_path / "s") as run:
        app = TuitrainApp(tmp_path, run.socket_path)
        async with app.run_test(size=(120, 40)) as pilot:
            seat = Seat(app, pilot, run)
            assert "connecting to the run …" in await seat.text()
            app._opened_s -= 12.0
            assert "s: is its supervisor suspended" in await seat.text()
            await seat.press("q", "d")
            assert app.return_code == 0


async def test_what_has_not_been_read_yet_is_not_called_nothing(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    go_on = threading.Event()
    monkeypatch.setattr("tuitrain.tui.recorded.load_recorded", lambda *_: go_on.wait())
    async with FakeRun(tmp_path / "s") as run:
        app = TuitrainApp(tmp_path, run.socket_path)
        async with app.run_test(size=(120, 40)) as pilot:
            seat = Seat(app, pilot, run)
            try:
                shown = await seat.shows("LIVE")
                for panel in ("chart-return", "chart-loss", "chart-q", "events"):
                    assert "reading the run's history …" in await seat.panel(panel)
                assert "no data yet" not in shown
                assert "no events" not in shown
            finally:
                go_on.set()
            await seat.shows("no data yet")
            assert "no events" in await seat.panel("events")
            assert "reading" not in await seat.text()


async def test_a_supervisor_that_died_is_named(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("tuitrain.tui.app.STALE_S", 0.0)
    child = subprocess.Popen([sys.executable, "-c", ""])
    child.wait()
    async with seated(snapshot(supervisor_pid=child.pid)) as seat:
        await seat.run.stop()
        await seat.shows("supervisor gone")


async def test_the_end_of_a_run_is_not_stale(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("tuitrain.tui.app.STALE_S", 0.0)
    async with seated() as seat:
        seat.run.show(snapshot(state="finished", eta_s=None))
        await seat.shows("✓ FINISHED")
        await seat.run.stop()
        shown = await seat.shows("○ RECORDED")
        assert "STALE" not in shown
        assert "3m before the end" in shown, "the newest evaluation"
        assert "next: tuitrain diagnose breakout-rainbow-0412" in shown
        await seat.press("p")
        assert "✖ pause: the run has ended" in await seat.text()
        await seat.press("q")
        assert seat.app._exit, "nothing to ask any more"


async def test_a_recorded_run(tmp_path: Path) -> None:
    write_run(tmp_path, reason="all steps taken")
    async with recorded(tmp_path) as seat:
        shown = await seat.text()
        assert "✓ FINISHED" in shown
        assert "○ RECORDED" in shown
        assert "finished: all steps taken" in shown
        assert re.search(r"○ RECORDED \d+[hd] ago", shown), "when it ended"
        assert sum(0x2800 < ord(c) < 0x2900 for c in shown) > 100
        for key in "2453":
            await seat.press(key)
            assert "✓ FINISHED" in await seat.text()
        shown = await seat.text()
        assert re.search(r"age of sampled rows p95 +380k tr", shown), "what records have"
        assert "shards n/a" in shown, "what none has"


async def test_an_empty_folder(tmp_path: Path) -> None:
    async with recorded(tmp_path) as seat:
        assert "✖ INTERRUPTED" in await seat.text()


async def test_history_sent_again_after_a_reconnection_counts_once() -> None:
    async with seated() as seat:
        key = ("default", "learner", "loss")
        await seat.until(lambda: key in seat.app.store.curves(), "curves")
        n, events = seat.app.store.curves()[key].value.size, len(seat.app.store.events)
        await seat.run.stop()
        await seat.until(lambda: seat.app._lost, "the loss")
        await seat.run.start()
        seq = EventLine(seq=1000, time_s=1e12, level="info", source="x", text="after")
        seat.run.history.append(seq)
        await seat.shows("after")
        assert seat.app.store.curves()[key].value.size == n
        assert len(seat.app.store.events) == events + 1


async def test_while_the_files_of_an_ended_run_are_read_that_is_said(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    write_run(tmp_path, reason="all steps taken")
    go_on = threading.Event()
    monkeypatch.setattr("tuitrain.tui.recorded.load_recorded", lambda *_: go_on.wait())
    app = TuitrainApp(tmp_path, None)
    try:
        async with app.run_test(size=(120, 40)) as pilot:
            seat = Seat(app, pilot, FakeRun(tmp_path / "none"))
            for panel in ("header", "checks"):
                assert READING in await seat.panel(panel)
            assert "nothing was recorded" not in await seat.panel("header")
            for key in ("exclamation_mark", "w"):
                await seat.press(key)
                assert READING in await seat.panel("notice")
            go_on.set()
            await seat.shows("✓ FINISHED")
            for panel in ("header", "checks"):
                assert READING not in await seat.panel(panel)
    finally:
        go_on.set()
