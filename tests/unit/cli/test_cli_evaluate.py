"""`tuitrain eval`: an environment that ends the process is told of, not taken for success."""

from __future__ import annotations

import sys
from pathlib import Path
from types import SimpleNamespace
from typing import Any, NoReturn

import pytest
from click.testing import Result
from typer.testing import CliRunner

from tests.fake_workers import fake_config, fake_folder
from tuitrain import video
from tuitrain.cli import main as cli
from tuitrain.workers import filming, trained


@pytest.mark.parametrize("options", [(), ("--video", "clip.mp4")])
@pytest.mark.parametrize("code", [0, "bye"])
def test_an_environment_that_ends_the_process_has_not_been_evaluated(
    code: Any, options: tuple[str, ...], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def leave(*_: Any) -> NoReturn:
        sys.exit(code)

    monkeypatch.chdir(tmp_path)
    loaded = SimpleNamespace(checkpoint=Path("any"), passed_over=())
    monkeypatch.setattr(trained, "load_trained", lambda *_: loaded)
    monkeypatch.setattr(trained, "evaluate_run", leave)
    monkeypatch.setattr(filming, "film_run", leave)
    monkeypatch.setattr(video, "ready", lambda _: None)
    folder = fake_folder(tmp_path / "runs", fake_config({"learner": {"do": "work"}}))
    result: Result = CliRunner().invoke(
        cli.app, ["eval", str(folder.path), "--checkpoint", "./any", *options]
    )
    assert result.exit_code == 2
    assert result.stdout == ""
    assert f"SystemExit({code!r}) in {__file__}, line " in result.stderr
