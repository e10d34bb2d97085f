"""The screen on a fake run: what it shows, what each key does, and that nothing breaks it."""

from __future__ import annotations

import asyncio
import math
import re
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest
from textual import events

from tests.tui.fixtures import (
    actor,
    failed,
    paused,
    policy,
    processes,
    records,
    several,
    snapshot,
    write_run,
)
from tests.tui.harness import recorded, seated
from tuitrain.protocol import (
    CheckView,
    EventLine,
    LearningView,
    ProcessView,
    RecordLine,
    Snapshot,
    WeightsHeld,
)
from tuitrain.tui.dialogs import CheckDialog, HelpDialog, LeaveDialog
from tuitrain.tui.screenshot import screen_text


def bare() -> Snapshot:
    """A run of which nothing has been measured yet."""
    return Snapshot(
        seq=1,
        time_s=0.0,
        run_id="0",
        run_dir="r",
        name="bare",
        schedule="async",
        state="starting",
        elapsed_s=0.0,
        supervisor_pid=1,
        processes=[ProcessView(name="a0", role="actor"), ProcessView(name="l", role="learner")],
        policies=[policy(
            "default", transitions=0, sampleable=None, updates=0, updates_per_s=None,
            ratio_achieved=None, published_age_s=None, lag_updates_p95=None, sample_age_p95=None,
            grad_norm=None,
        )],
    )  # fmt: skip


# ---- what is shown


async def test_header() -> None:
    async with seated() as seat:
        run, health, learning = (await seat.panel("header")).splitlines()
        for words in ("breakout-rainbow-0412", "● RUNNING", "0:21:05", "ETA 1:03:57",
                      "12.4M/50M steps", "25%", "9.8k st/s", "LIVE"):  # fmt: skip
            assert words in run
        for words in ("▲ WARN", "13 OK", "1 WARN", "0 FAIL", "1 n/a", "policy lag a5",
                      "212u 2.8s", "limit ≤ 200u"):  # fmt: skip
            assert words in health
        for words in ("↑ IMPROVING", "eval 87.3 ± 4.20", "+4.10/1M steps", "n=30", "3m ago",
                      "best 91.0"):  # fmt: skip
            assert words in learning


async def test_pipeline() -> None:
    async with seated() as seat:
        above, below = (await seat.panel("pipeline")).splitlines()
        assert re.search(
            r"ACTORS 8/8 9\.8k st/s ─+▶ BUFFER ▓▓▓░░░░░ 412k/1\.0M ─+▶ LEARNER 97k u 77 u/s "
            r"wait 1% ─+▶ SYNC v97000 0\.4s ago",
            above,
        )
        for words in ("blocked 11%", "ε 0.10–0.38", "start 50k ✓", "age p95 380k",
                      "ratio 0.251/0.250", "grad 3.10", "lag p95 37 u", "max 0.3s"):  # fmt: skip
            assert words in below


async def test_pipeline_says_why_actors_wait() -> None:
    workers = [actor(i, state="waiting", wait="limiter: the learner is behind, ratio 0.251",
                     phase_share={"wait": 0.9, "act": 0.1}) for i in range(2)]  # fmt: skip
    async with seated(snapshot(processes=workers)) as seat:
        shown = await seat.panel("pipeline")
        assert "blocked 90%" in shown
        assert "limiter" in shown
        for stage in ("ACTORS", "BUFFER", "LEARNER", "SYNC"):
            assert stage in shown


async def test_pipeline_in_warm_up() -> None:
    early = policy(transitions=12_000, ratio_achieved=None)
    async with seated(snapshot(policies=[early])) as seat:
        shown = await seat.panel("pipeline")
        assert "warm-up 12k/50k" in shown
        assert "ratio n/a/0.250" in shown


async def test_process_table() -> None:
    async with seated() as seat:
        await seat.press("4")
        head, learner, first, *_ = (await seat.panel("process-table")).splitlines()
        assert head.split() == ["role", "state", "beat", "prog", "rate", "ver", "lag-u",
                                "lag-s", "ε", "rss", "cpu%", "↻"]  # fmt: skip
        assert learner.split() == ["learner", "●", "running", "0.3s", "0.0s", "77", "u/s",
                                   "v97000", "n/a", "n/a", "n/a", "2.3GiB", "101%",
                                   "0"]  # fmt: skip
        assert first.split() == ["a0", "●", "running", "0.2s", "0.1s", "1.2k", "st/s", "v96980",
                                 "20", "0.3s", "0.1", "412MiB", "97%", "0"]  # fmt: skip
        details = await seat.panel("process-details")
        assert "update ▓" in details
        assert "79%" in details
        assert "pid 40001  on cuda:0" in details


async def test_process_details_show_errors_waits_and_weights() -> None:
    now = failed()
    held = WeightsHeld(version=7, sha256="ab" * 32)
    now.processes[1] = actor(0, state="waiting", wait="limiter", weights={"default": held})
    async with seated(now, size=(160, 50)) as seat:
        await seat.press("4")
        details = await seat.panel("process-details")
        assert "✖ NonFiniteLoss: loss of policy default is nan" in details
        assert "waits: limiter" in details
        assert "default v7 sha256 abababababab" in details


async def test_what_was_not_measured_is_na() -> None:
    async with seated(bare()) as seat:
        header = await seat.panel("header")
        assert "ETA n/a" in header
        assert "0/n/a steps" in header
        assert "no checks reported" in header
        assert "no evaluation yet" in header
        row = (await seat.panel("processes")).splitlines()[1]
        assert row.split()[:8] == ["a0", "○", "starting", "n/a", "n/a", "n/a", "n/a", "n/a"]
        pipeline = await seat.panel("pipeline")
        assert "blocked n/a" in pipeline
        assert "n/a/1.0M" in pipeline
        assert "lag p95 n/a" in pipeline
        await seat.press("3")
        assert "n/a" in await seat.panel("policies")


async def test_checks_worst_first() -> None:
    async with seated(failed()) as seat:
        lines = (await seat.panel("checks")).splitlines()
        assert lines[1].startswith("✖ grad norm p95")
        assert lines[2].startswith("▲ policy lag a5")
        assert lines[3].startswith("● ")
        header = await seat.panel("header")
        assert "✖ FAIL" in header
        assert "1 FAIL" in header


async def test_an_unmeasured_check_is_never_ok() -> None:
    rows = [CheckView(id="x", name="row checksums", value="0", limit="= 0", state="n/a")]
    async with seated(snapshot(checks=rows)) as seat:
        assert re.search(r"○ row checksums\s+n/a", await seat.panel("checks"))
        assert "○ n/a" in (await seat.panel("header")).splitlines()[1]


async def test_a_failed_run() -> None:
    async with seated(failed()) as seat:
        run, _, learning = (await seat.panel("header")).splitlines()
        assert "✖ FAILED" in run
        assert "↓ FALLING" in learning
        assert "eval ✖nan ± n/a" in learning
        assert "grad ✖inf" in await seat.panel("pipeline")


async def test_charts_have_curves_legend_and_axes() -> None:
    async with seated() as seat:
        chart = await seat.panel("chart-return")
        assert re.match(r"── train [\d.]+  ╌╌ eval [\d.]+  ┈┈ best [\d.]+", chart)
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


async def test_paused() -> None:
    async with seated(paused()) as seat:
        shown = await seat.text()
        assert "◫ PAUSED" in shown
        assert "p unpause" in shown


async def test_logs_come_from_disk_bounded(tmp_path: Path) -> None:
    write_run(tmp_path)
    (tmp_path / "logs" / "a0.log").write_text("".join(f"line {i}\n" for i in range(100_000)))
    async with seated(run_dir=tmp_path) as seat:
        await seat.press("5")
        assert "▸supervisor" in await seat.panel("log")
        await seat.press("right_square_bracket")
        shown = await seat.panel("log")
        assert shown.splitlines()[-1] == "line 99999"
        assert "▸a0" in shown
        await seat.press("right_square_bracket")
        assert (await seat.panel("log")).splitlines()[-1].endswith("learner line 199")
        await seat.press("left_square_bracket", "tab", "home")
        assert "the last 64KiB of" in (await seat.panel("log")).splitlines()[1]


# ---- text from elsewhere


NASTY = "[red]x[/red] [/] \x1b[2J\x1b]0;owned\x07 \u202e\r\n[link=http://x]"


async def test_nothing_from_outside_is_markup_or_controls_the_terminal(tmp_path: Path) -> None:
    write_run(tmp_path)
    text = f"{NASTY}\nprogress 1%\rprogress 2%\n"
    (tmp_path / "logs" / "supervisor.log").write_text(text)
    now = snapshot(
        name=NASTY,
        processes=[actor(0, name=NASTY, wait=NASTY, error=NASTY, device=NASTY)],
        policies=[policy(NASTY), policy("other")],
        checks=[CheckView(id="x", name=NASTY, value=NASTY, limit=NASTY, state="fail",
                          advice=NASTY)],
        learning=LearningView(reason=NASTY),
        last_checkpoint=NASTY,
    )  # fmt: skip
    async with seated(now, run_dir=tmp_path) as seat:
        seat.run.say(EventLine(seq=99, time_s=0, level="error", source=NASTY, text=NASTY))
        await seat.shows("[red]x[/red] [/] \\x1b[2J\\x1b]0;owned\\x07 \\u202e\\x0d\\x0a[link")
        texts = []
        for key in "12345":
            await seat.press(key)
            texts.append(await seat.text())
        assert "\\x1b[2J" in texts[-1]
        await seat.press("exclamation_mark")
        texts.append(await seat.text())
        await seat.press("escape", "s")
        request = await seat.asked("resync")
        seat.run.answer(request, NASTY, **{NASTY: {NASTY: NASTY}})
        texts.append(await seat.shows("resync: [red]x"))
        for text in texts:
            assert all(c == "\n" or c.isprintable() for c in text)
            assert "\u202e" not in text


# ---- commands


@pytest.mark.parametrize(
    ("key", "command"),
    [("p", "pause"), ("s", "resync"), ("c", "checkpoint"), ("e", "evaluate")],
)
async def test_keys_command_the_run_and_show_the_answer(key: str, command: str) -> None:
    async with seated() as seat:
        await seat.press(key)
        request = await seat.asked(command)
        assert f"◌ {command} … pending" in await seat.text()
        await seat.press(key)
        assert seat.run.commands == [command], "not asked twice"
        seat.run.answer(request, "all 10 acknowledged in 0.4 s")
        await seat.shows(f"✓ {command}: all 10 acknowledged in 0.4 s")


async def test_unpause() -> None:
    async with seated(paused()) as seat:
        await seat.press("p")
        await seat.asked("unpause")


async def test_a_refusal_is_shown() -> None:
    async with seated() as seat:
        await seat.press("c")
        seat.run.answer(await seat.asked("checkpoint"), "disk is full", ok=False)
        await seat.shows("✖ checkpoint: disk is full")


async def test_resync_shows_versions_and_hashes() -> None:
    async with seated() as seat:
        await seat.press("s")
        held = {f"a{i}": {"default": {"version": 97_000, "sha256": "3f" * 32}} for i in range(2)}
        seat.run.answer(
            await seat.asked("resync"), "default: 2 of 2 hold version 97000", answers=held,
            missing=[], equal=True,
        )  # fmt: skip
        shown = await seat.shows("✓ resync: default: 2 of 2 hold version 97000")
        assert "a0 default: version 97000 sha256 3f3f3f3f3f3f…" in shown
        assert "missing" not in shown


async def test_a_command_whose_run_goes_away() -> None:
    async with seated() as seat:
        await seat.press("c")
        await seat.asked("checkpoint")
        await seat.run.stop()
        await seat.shows("✖ checkpoint: the connection to the run was lost before it answered")


# ---- leaving


@pytest.mark.parametrize("key", ["q", "ctrl+q", "ctrl+c"])
async def test_leaving_asks_and_detaches_by_default(key: str) -> None:
    async with seated() as seat:
        await seat.press(key)
        assert isinstance(seat.app.screen, LeaveDialog)
        assert "▶  Detach" in await seat.text()
        await seat.press("enter")
        assert not seat.app.is_running or seat.app._exit
        assert seat.run.commands == []


async def test_leaving_can_be_cancelled() -> None:
    async with seated() as seat:
        await seat.press("q", "up", "enter")
        assert not isinstance(seat.app.screen, LeaveDialog)
        await seat.press("q", "escape")
        assert not isinstance(seat.app.screen, LeaveDialog)
        assert not seat.app._exit
        assert seat.run.commands == []


async def test_stop_and_checkpoint_leaves_when_it_is_done() -> None:
    async with seated() as seat:
        await seat.press("q", "down", "enter")
        request = await seat.asked("stop")
        assert "◌ stop … pending" in await seat.text()
        assert not seat.app._exit
        seat.run.answer(request, "stopped, checkpoint written")
        await seat.until(lambda: seat.app._exit, "the end of the screen")


async def test_a_single_letter_never_stops_the_run() -> None:
    async with seated() as seat:
        await seat.press("q", *"abcefghijklmnoprstuvwxyz")
        await seat.press("escape")
        assert "stop" not in seat.run.commands


async def test_d_detaches() -> None:
    async with seated() as seat:
        await seat.press("d")
        assert seat.app._exit
        assert seat.run.commands == []


# ---- other keys


async def test_freeze_holds_the_view_with_a_banner() -> None:
    async with seated() as seat:
        await seat.press("space")
        seat.run.show(snapshot(steps=13_000_000))
        await seat.until(
            lambda: (seat.app.store.snapshot or snapshot()).steps == 13_000_000, "new data"
        )
        shown = await seat.text()
        assert "VIEW FROZEN" in shown
        assert "12.4M/50M steps" in shown
        await seat.press("space")
        shown = await seat.text()
        assert "13M/50M steps" in shown
        assert "VIEW FROZEN" not in shown


async def test_worst_check_is_explained() -> None:
    async with seated() as seat:
        await seat.press("exclamation_mark")
        assert isinstance(seat.app.screen, CheckDialog)
        shown = await seat.text()
        assert "▲ WARN  policy lag a5" in shown
        assert "Give it a core of its own" in shown
        await seat.press("down")
        assert "● OK  replay ratio" in await seat.text()
        await seat.press("escape")
        assert not isinstance(seat.app.screen, CheckDialog)


async def test_help_lists_every_key() -> None:
    async with seated() as seat:
        await seat.press("question_mark")
        assert isinstance(seat.app.screen, HelpDialog)
        shown = await seat.text()
        for words in ("leave", "detach", "pause", "resync", "checkpoint", "evaluate", "freeze",
                      "worst check", "logarithmic", "export"):  # fmt: skip
            assert words in shown
        await seat.press("x")
        assert not isinstance(seat.app.screen, HelpDialog)


async def test_of_two_keys_that_come_together_the_first_closes_a_dialog() -> None:
    async with seated() as seat:
        await seat.press("question_mark")
        for _ in range(2):
            seat.app.screen.post_message(events.Key("z", "z"))
        await seat.press("1")
        assert not isinstance(seat.app.screen, HelpDialog)
        assert seat.app.is_running


async def test_help_scrolls_where_it_does_not_fit() -> None:
    async with seated(size=(80, 24)) as seat:
        await seat.press("question_mark")
        box = seat.app.screen.query_one("#dialog")
        assert box.max_scroll_y > 0
        await seat.press("pagedown", "pagedown", "down")
        assert box.scroll_y == box.max_scroll_y
        await seat.press("up")
        assert box.scroll_y == box.max_scroll_y - 1
        await seat.press("escape")
        assert not isinstance(seat.app.screen, HelpDialog)


@pytest.mark.parametrize(
    ("key", "words"),
    [("1", "Pipeline"), ("2", "Gradient norm"), ("3", "sampleable transitions"),
     ("4", "Time by phase"), ("5", "no logs in")],
)  # fmt: skip
async def test_tabs(key: str, words: str) -> None:
    async with seated() as seat:
        await seat.press("2" if key == "1" else "1", key)
        assert words in await seat.text()


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
        assert "↑↓ PgDn more 0%" in first
        seen = first
        for _ in range(9):
            await seat.press("pagedown")
            seen += await seat.text()
        for words in ("agent_11", "grad norm", "── lr", "st  ╌╌ ev", "── ε"):
            assert words in seen
        assert "more 100%" in await seat.text()
        await seat.press("end", "home", "up")
        assert (await seat.text()).splitlines()[3:] == first.splitlines()[3:]
        await seat.press("down")
        assert "more 0%" not in await seat.text()


async def test_logs_scroll_without_a_focus_and_wrap(tmp_path: Path) -> None:
    write_run(tmp_path)
    with (tmp_path / "logs" / "supervisor.log").open("a") as file:
        file.write(f"EnvError: {'environment ' * 9}at last\n")
    async with seated(run_dir=tmp_path, size=(80, 24)) as seat:
        await seat.press("5")
        assert (await seat.panel("log")).endswith("environment at last")
        await seat.press("home")
        assert "line 0" in await seat.panel("log")


@pytest.mark.parametrize("size", [(120, 40), (80, 24), (40, 12)])
async def test_why_a_run_failed_is_on_its_overview(size: tuple[int, int]) -> None:
    async with seated(failed(), size=size) as seat:
        words = " ".join((await seat.text()).replace("│", " ").split())
        assert "✖ learner failed: NonFiniteLoss: loss of policy default is nan at update" in words
        assert "! why" in words
        seat.run.show(snapshot())
        await seat.shows("● RUNNING")
        assert "learner failed" not in await seat.text()


async def test_export_announces_its_path(tmp_path: Path) -> None:
    async with seated(run_dir=tmp_path) as seat:
        await seat.press("x")
        (svg,) = (tmp_path / "screens").glob("*.svg")
        assert str(svg) in (await seat.text()).replace("\n", "")
        assert "<svg" in svg.read_text()
        assert "IMPROVING" in svg.with_suffix(".txt").read_text()


async def test_export_into_a_folder_that_is_none(tmp_path: Path) -> None:
    (tmp_path / "screens").write_text("in the way")
    async with seated(run_dir=tmp_path) as seat:
        await seat.press("x")
        assert "✖ export failed" in await seat.text()


async def test_long_tables_scroll() -> None:
    async with seated(snapshot(processes=processes(40))) as seat:
        assert "a39" not in await seat.panel("processes")
        seat.app.screen.query_one("#processes").focus()
        await seat.press("end")
        shown = await seat.panel("processes")
        assert "eval" in shown
        assert shown.startswith("role")
        await seat.press("home")
        assert "learner" in await seat.panel("processes")


# ---- losing the run


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
        assert sum(0x2800 < ord(c) < 0x2900 for c in shown) > 100
        for key in "2345":
            await seat.press(key)
            assert "✓ FINISHED" in await seat.text()


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


# ---- sizes and numbers


SIZES = [
    (200, 60), (120, 40), (100, 32), (99, 31), (80, 24), (60, 19), (40, 12), (39, 11), (20, 5),
    (2, 1), (1, 1),
]  # fmt: skip


@pytest.mark.parametrize("now", [snapshot, failed, bare])
async def test_every_size(now: Any) -> None:
    async with seated(now()) as seat:
        for width, height in SIZES:
            await seat.pilot.resize_terminal(width, height)
            for tab in range(1, 6):
                seat.app.action_tab(tab)
                lines = (await seat.text()).splitlines()
                assert len(lines) <= height
                assert all(len(line) <= width for line in lines)


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
        assert lines[12].startswith("── train")
        assert "q leave" in lines[23]


async def test_tiny_shows_the_header_alone() -> None:
    async with seated(size=(38, 5)) as seat:
        lines = (await seat.text()).splitlines()
        assert len(lines) == 3
        assert "● RUNNING" in lines[0]
        assert "▲ WARN" in lines[1]
        assert "IMPROVING" in lines[2]


@pytest.mark.parametrize("values", [[], [1.0], [math.nan] * 5, [math.inf, -math.inf, math.nan],
                                    [0.0] * 5, [1e308, -1e308], [1.0, math.nan, 2.0]])  # fmt: skip
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


async def test_no_redraw_happens_for_nobody() -> None:
    from textual import events

    async with seated() as seat:
        seat.app.post_message(events.AppBlur())
        await seat.pilot.pause()
        drawn: list[int] = []
        seat.app.redraw = lambda: drawn.append(1)  # type: ignore[method-assign]
        for _ in range(10):
            seat.app._tick()
        assert len(drawn) == 2
        del seat.app.redraw


# ---- the programs


def test_without_a_terminal_it_says_so(tmp_path: Path) -> None:
    code = "import sys; from pathlib import Path; from tuitrain.tui.terminal import run_tui; " \
           "sys.exit(run_tui(Path(sys.argv[1]), None))"  # fmt: skip
    done = subprocess.run(
        [sys.executable, "-c", code, str(tmp_path)], capture_output=True, stdin=subprocess.DEVNULL,
        timeout=60, check=False,
    )  # fmt: skip
    assert done.returncode == 2
    assert b"needs a terminal" in done.stderr
    assert b"\x1b" not in done.stdout + done.stderr


def test_imports_neither_torch_nor_gymnasium() -> None:
    code = "import sys, tuitrain.tui.app; " \
           "print([m for m in ('torch', 'gymnasium', 'psutil') if m in sys.modules])"  # fmt: skip
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, timeout=60, check=True)
    assert done.stdout.strip() == b"[]"


async def test_export_program(tmp_path: Path) -> None:
    from tuitrain.tui import export

    write_run(tmp_path)
    out, text = tmp_path / "pictures" / "screen.svg", tmp_path / "screen.txt"
    done = await asyncio.to_thread(
        export.main, [str(tmp_path), str(out), "--size", "80x24", "--text", str(text)]
    )
    assert done == 0
    assert "<svg" in out.read_text()
    assert "FINISHED" in text.read_text()
    assert export.main([str(tmp_path / "nowhere"), str(out)]) == 2


async def test_export_of_a_live_run(tmp_path: Path) -> None:
    from tuitrain.tui.export import export, live_socket

    async with seated() as seat:
        (tmp_path / "runtime.json").write_text(f'{{"socket_path": "{seat.run.socket_path}"}}')
        out, text = tmp_path / "s.svg", tmp_path / "s.txt"
        await export(tmp_path, out, socket_path=live_socket(tmp_path), text=text)
        assert "● RUNNING" in text.read_text()
