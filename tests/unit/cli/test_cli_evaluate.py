"""`tuitrain eval`: why nothing was evaluated is told, not taken for success."""

from __future__ import annotations

import os
import sys
from pathlib import Path
from typing import Any

import pytest
from click.testing import Result
from typer.testing import CliRunner

from tests.fake_plan import fake_config, fake_folder
from tuitrain.cli import aside
from tuitrain.cli import main as cli

PLAYER = """
import os, sys
from tuitrain.workers.asides import aside

def play(question, tell):
    tell(stage="reading the checkpoint")
    tell(played="ckpt-7", passed_over=["ckpt-9 is damaged"], updates={"default": 7})
    tell(stage="playing the environment")
    print("printed by the environment")
    {end}

aside.serve(play)
"""


def evaluated(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, end: str) -> Result:
    """`eval` with a player that ends like this."""
    (tmp_path / "player.py").write_text(PLAYER.replace("{end}", end))
    real = aside.ask

    def ask(module: str, *rest: Any) -> None:
        assert module == "tuitrain.workers.asides.play"
        path = os.pathsep.join([str(tmp_path), *sys.path])
        real("player", *rest, environment={"PYTHONPATH": path})

    monkeypatch.setattr(aside, "ask", ask)
    folder = fake_folder(tmp_path / "runs", fake_config({"learner": {"do": "work"}}))
    return CliRunner().invoke(cli.app, ["eval", str(folder.path), "--checkpoint", "./any"])


@pytest.mark.parametrize(
    ("end", "told"),
    [
        ("os._exit(0)", "playing the environment failed: its process ended: exit code 0"),
        ("sys.exit('bye')", "SystemExit: bye"),
        ("os.abort()", "killed by SIGABRT"),
        ("raise ValueError('why')", "ValueError: why"),
    ],
)
def test_an_environment_that_ends_the_process_has_not_been_evaluated(
    end: str, told: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    result = evaluated(tmp_path, monkeypatch, end)
    assert result.exit_code == 2
    assert result.stdout == ""
    assert "nothing was evaluated: " in result.stderr
    assert told in result.stderr
    assert "ckpt-9 is damaged; ckpt-7 is played instead" in result.stderr


def test_what_was_played_is_told(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    result = {"policy": "default", "episodes": 3, "return_mean": 1.5, "return_ci95": 0.25, "cut": 1}
    result |= {"return_min": 1.0, "return_max": 2.0, "length_mean": 8.0}
    end = f"tell(results=[{result}], film=None)"
    told = evaluated(tmp_path, monkeypatch, end)
    assert told.exit_code == 0
    assert "default: return 1.5 ± 0.25 (95 % CI, 3 episodes" in told.stdout
    assert "1 cut by eval.max_episode_steps" in told.stdout
    assert "played ckpt-7; updates made: default 7" in told.stdout
    assert "printed by the environment" not in told.stdout
