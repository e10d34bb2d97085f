"""The table of processes, and where their time goes."""

from __future__ import annotations

from tests.tui.fixtures import actor, failed
from tests.tui.harness import seated
from tuitrain.protocol import WeightsHeld


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
