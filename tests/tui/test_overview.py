"""What the first tab says of a run: its header, pipeline, checks, and why it failed."""

from __future__ import annotations

import re

import pytest

from tests.tui.fixtures import bare, failed, paused, policy, processes, snapshot
from tests.tui.harness import seated
from tuitrain.protocol import CheckView


async def test_header() -> None:
    async with seated() as seat:
        run, health, learning = (await seat.panel("header")).splitlines()
        for words in ("breakout-rainbow-0412", "● RUNNING", "0:21:05", "ETA 1:03:57",
                      "12.4M/50M steps", "25%", "9.8k st/s", "LIVE"):  # fmt: skip
            assert words in run
        for words in ("▲ 1 WARN", "13 OK", "0 FAIL", "1 n/a", "policy lag a5",
                      "212u 2.8s", "limit ≤ 200u"):  # fmt: skip
            assert words in health
        for words in ("↑ IMPROVING", "eval 87.3 ± 4.20", "return +4.10 ± 1.20 per 1M steps",
                      "30 evaluations", "best 91.0"):  # fmt: skip
            assert words in learning


async def test_pipeline() -> None:
    async with seated() as seat:
        above, below = (await seat.panel("pipeline")).splitlines()
        assert re.search(
            r"ACTORS 8/8 9\.8k st/s ─+▶ BUFFER ▓▓▓░░░░░ 412k/1\.0M ─+▶ LEARNER 97k u 77 u/s "
            r"wait 1% ─+▶ SYNC v97000 0\.4s ago",
            above,
        )
        for words in ("wait 11%", "ε 0.10–0.38", "rows' age p95 380k tr",
                      "ratio 0.251/0.250", "policy lag p95 37 u", "behind 20 u"):  # fmt: skip
            assert words in below


@pytest.mark.parametrize("state", ["running", "finished"])
@pytest.mark.parametrize("size", [(200, 50), (120, 40), (80, 24)])
async def test_what_is_slow_is_said_in_full(size: tuple[int, int], state: str) -> None:
    words = "bottleneck: learner, busy 95%; actors wait 94%"
    async with seated(snapshot(state=state, bottleneck=words), size=size) as seat:
        assert words in await seat.text()
        for stage in ("ACTORS", "BUFFER", "LEARNER"):
            assert stage in await seat.panel("pipeline")


@pytest.mark.parametrize(
    ("size", "asked"), [((200, 50), True), ((120, 40), True), ((110, 40), False), ((80, 24), False)]
)
async def test_what_is_asked_beside_that_is_whole_or_left_out(
    size: tuple[int, int], asked: bool
) -> None:
    words, question = (
        "bottleneck: learner, busy 95% but on a core 22%; actors wait 94%",
        " (do other processes take the cores?)",
    )
    async with seated(snapshot(bottleneck=words + question), size=size) as seat:
        shown = await seat.text()
        assert words in shown
        assert (question in shown) == asked
        assert asked or "(do" not in shown


async def test_pipeline_in_warm_up() -> None:
    early = policy(transitions=12_000, ratio_achieved=None)
    async with seated(snapshot(policies=[early])) as seat:
        shown = await seat.panel("pipeline")
        assert "warm-up 12k/50k" in shown
        assert "ratio n/a/0.250" in shown
    async with seated(snapshot(policies=[policy(transitions=0)])) as seat:
        assert "warm-up 0/50k" in await seat.panel("pipeline")


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
        assert "wait n/a" in pipeline
        assert "n/a/1.0M" in pipeline
        assert "behind n/a" in pipeline
        await seat.press("3")
        assert "n/a" in await seat.panel("policies")


async def test_checks_worst_first() -> None:
    async with seated(failed()) as seat:
        lines = (await seat.panel("checks")).splitlines()
        assert lines[1].startswith("✖ grad norm p95")
        assert lines[2].startswith("▲ policy lag a5")
        assert lines[3].startswith("● ")
        header = await seat.panel("header")
        assert "✖ 1 FAIL  1 WARN  12 OK" in header


async def test_an_unmeasured_check_is_never_ok() -> None:
    rows = [CheckView(id="x", name="row checksums", value="0", limit="= 0", state="n/a")]
    async with seated(snapshot(checks=rows)) as seat:
        assert re.search(r"○ row checksums\s+n/a", await seat.panel("checks"))
        assert "○ 1 n/a" in (await seat.panel("header")).splitlines()[1]


async def test_a_failed_run() -> None:
    async with seated(failed()) as seat:
        run, _, learning = (await seat.panel("header")).splitlines()
        assert "✖ FAILED" in run
        assert "↓ FALLING" in learning
        assert "eval ✖nan ± n/a" in learning
        assert "grad ✖inf" in await seat.panel("pipeline")


@pytest.mark.parametrize("size", [(120, 40), (80, 24), (40, 12)])
async def test_why_a_run_failed_is_on_its_overview(size: tuple[int, int]) -> None:
    async with seated(failed(), size=size) as seat:
        words = " ".join((await seat.text()).replace("│", " ").split())
        assert "✖ learner failed: NonFiniteLoss: loss of policy default is nan at update" in words
        assert "! why" in words
        seat.run.show(snapshot())
        await seat.shows("● RUNNING")
        assert "learner failed" not in await seat.text()


async def test_paused() -> None:
    async with seated(paused()) as seat:
        shown = await seat.text()
        assert "◫ PAUSED" in shown
        assert "p unpause" in shown
    async with seated(paused(), size=(80, 24)) as seat:
        keys = await seat.panel("keys")
        assert "p go on" in keys, "the longer word has no room"
        assert "? help" in keys


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
