"""The table of processes, and where their time goes."""

from __future__ import annotations

from pathlib import Path

import pytest

from tests.tui.fixtures import actor, failed
from tests.tui.harness import Seat, seated
from tuitrain.protocol import WeightsHeld


async def test_process_table() -> None:
    async with seated() as seat:
        await seat.press("4")
        head, learner, first, *_ = (await seat.panel("process-table")).splitlines()
        assert head.split() == ["role", "state", "beat", "prog", "rate", "ver", "behind",
                                "for", "ε", "rss", "cpu%", "↻"]  # fmt: skip
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


async def choose(seat: Seat, name: str) -> None:
    """Mark a process in the table of tab 4."""
    await seat.press("4", "tab")
    while seat.app.selected != name:
        await seat.press("down")


async def test_restart_says_what_it_costs_and_asks_first() -> None:
    async with seated() as seat:
        await choose(seat, "a0")
        await seat.press("R")
        shown = await seat.text()
        assert "Restart a0?" in shown
        assert "its episodes begin anew" in shown
        await seat.press("escape")
        assert seat.run.commands == []
        await seat.press("R", "enter")
        request = await seat.asked("restart")
        assert request.args == {"worker": "a0"}
        assert "◌ restart … pending" in await seat.text()
        seat.run.answer(request, "a0 is back after 1.4 s (restart 1)")
        await seat.shows("✓ restart: a0 is back after 1.4 s")


async def test_stacks_are_told_where_they_are() -> None:
    async with seated() as seat:
        await choose(seat, "learner")
        await seat.press("D")
        request = await seat.asked("stacks")
        assert request.args == {"worker": "learner"}
        seat.run.answer(request, "learner: net.py:7 in forward", stack=["File"], log="/x.log")
        await seat.shows("✓ stacks: learner: net.py:7 in forward")


@pytest.mark.parametrize("key", ["R", "D"])
async def test_a_process_must_be_chosen_first(key: str) -> None:
    async with seated() as seat:
        await seat.press(key)
        assert "choose a process first" in await seat.text()
        assert "Time by phase" in await seat.text(), "its tab is open"
        assert seat.run.commands == []
        await seat.press("down", "D")
        assert (await seat.asked("stacks")).args == {"worker": "learner"}


@pytest.mark.parametrize("key", ["R", "D"])
async def test_a_screen_that_only_looks_restarts_nobody(key: str, tmp_path: Path) -> None:
    async with seated(run_dir=tmp_path, read_only=True) as seat:
        await choose(seat, "a0")
        await seat.press(key)
        assert "this screen only looks (--read-only)" in await seat.text()
        assert seat.run.commands == []
