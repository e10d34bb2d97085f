"""What `tuitrain.train` returns, as a notebook shows it."""

from __future__ import annotations

from pathlib import Path

from tuitrain.api import RunResult


def test_a_result_is_shown_in_a_line() -> None:
    result = RunResult(Path("runs/a-0001"), "finished", 3_000, {"checks": [{"id": "x"}] * 1000})
    assert len(repr(result)) < 100
    assert "finished" in repr(result)
