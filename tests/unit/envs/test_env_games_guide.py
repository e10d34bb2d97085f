"""The guide's `play.py` takes games by the names that configs give them."""

from __future__ import annotations

import runpy
import sys
from pathlib import Path
from typing import Any

import pytest

import tuitrain
from tests.guide import write_files


class FirstLegal:
    """A policy that takes as few matches as it may."""

    def act(self, seen: Any) -> tuple[int, None]:
        return int(seen["action_mask"].argmax()), None


def test_a_game_in_a_file_is_played(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    assert "play.py" in write_files("board-games.md", tmp_path)
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr(sys, "path", list(sys.path))
    monkeypatch.setattr(sys, "argv", ["play.py", "nim.py:Nim"])
    monkeypatch.setattr(tuitrain, "load_policy", lambda run: FirstLegal())
    runpy.run_path("play.py", run_name="__main__")
    told = [line.split()[:2] for line in capsys.readouterr().out.splitlines()]
    assert told == [[who, seat] for who in ("learned", "random") for seat in ("first", "second")]
