"""`tuitrain see`: one picture, in ASCII where there is no terminal."""

from __future__ import annotations

import json
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import numpy as np
import pytest
from typer.testing import CliRunner

from tests.tui.test_sight import packed
from tuitrain.cli import client
from tuitrain.cli import see as seeing
from tuitrain.cli.main import app
from tuitrain.protocol import Reply
from tuitrain.tui.widgets.sight import HALF

STRIPES = np.zeros((4, 6, 3), np.uint8)
STRIPES[:, ::2] = 255


@pytest.fixture
def asked(monkeypatch: pytest.MonkeyPatch) -> list[dict[str, Any]]:
    """A run whose actor sees stripes; what it was asked for."""
    questions: list[dict[str, Any]] = []

    class Client:
        def __init__(self, path: Path, name: str) -> None: ...

        def __enter__(self) -> Client:
            return self

        def __exit__(self, *_: object) -> None: ...

        def ask(self, command: str, **args: Any) -> Reply:
            questions.append({"command": command, **args})
            ok = args["policy"] != "blind"
            return Reply(id=1, ok=ok, message="stripes", result=packed(STRIPES) if ok else {})

    run = SimpleNamespace(folder=SimpleNamespace(name="r"), socket_path=Path("s"))
    monkeypatch.setattr(seeing, "living", lambda run_, runs_dir: run)
    monkeypatch.setattr(client, "BlockingClient", Client)
    return questions


def test_a_picture_in_ascii(asked: list[dict[str, Any]]) -> None:
    result = CliRunner().invoke(app, ["see", "r", "--policy", "left"])
    assert result.exit_code == 0
    assert asked == [{"command": "see", "policy": "left"}]
    assert "@@@" in result.stdout
    assert result.stdout.isascii()
    assert "r: stripes" in result.stderr


@pytest.mark.parametrize("no_color", [False, True])
def test_a_terminal_without_colours_gets_characters(
    asked: list[dict[str, Any]], no_color: bool, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("FORCE_COLOR", "1")
    if no_color:
        monkeypatch.setenv("NO_COLOR", "1")
    monkeypatch.setattr(seeing, "sys", SimpleNamespace(stdout=SimpleNamespace(isatty=lambda: True)))
    result = CliRunner().invoke(app, ["see", "r"])
    assert ("@@@" in result.stdout) is no_color
    assert (HALF in result.stdout) is not no_color


def test_the_whole_answer_as_json(asked: list[dict[str, Any]]) -> None:
    answer = json.loads(CliRunner().invoke(app, ["see", "r", "--json"]).stdout)
    assert (answer["ok"], answer["result"]["width"]) == (True, 6)


def test_nothing_to_see(asked: list[dict[str, Any]]) -> None:
    result = CliRunner().invoke(app, ["see", "r", "--policy", "blind"])
    assert result.exit_code == 1
    assert result.stdout == ""
    assert "stripes" in result.stderr
