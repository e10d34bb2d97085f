"""The command line before there is a run: help, configs, launches that are refused or warn."""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path

import pytest
import typer

import tuitrain
from tests.unit.cli.calling import call
from tuitrain.cli import main as cli
from tuitrain.cli import start
from tuitrain.cli.lazy import COMMANDS
from tuitrain.config.runs import RunFolder
from tuitrain.supervisor.house import house as houses

pytestmark = pytest.mark.usefixtures("in_tmp")


@pytest.mark.parametrize("arguments", [["--help"], ["launch", "--help"], ["config", "--help"]])
def test_help_teaches(arguments: list[str]) -> None:
    result = call(*arguments)
    assert result.exit_code == 0
    assert "\x1b" not in result.output


def test_the_version_needs_no_command() -> None:
    done = call("--version")
    assert (done.exit_code, done.output) == (0, f"{tuitrain.__version__}\n")


def test_help_imports_nothing_heavy() -> None:
    program = (
        "import sys\n"
        "from typer.testing import CliRunner\n"
        "from tuitrain.cli.main import app\n"
        "assert CliRunner().invoke(app, ['--help']).exit_code == 0\n"
        "assert CliRunner().invoke(app, ['ls']).exit_code == 0\n"
        "print([m for m in ('torch', 'textual', 'gymnasium') if m in sys.modules])\n"
    )
    done = subprocess.run(
        [sys.executable, "-c", program], capture_output=True, text=True, check=True
    )
    assert done.stdout.strip() == "[]"


def test_a_command_imports_no_other_and_who_only_looks_no_schema() -> None:
    program = (
        "import sys\n"
        "from typer.testing import CliRunner\n"
        "from tuitrain.cli.main import app\n"
        "assert CliRunner().invoke(app, ['attach', 'none']).exit_code == 2\n"
        "import tuitrain.tui.terminal\n"
        "others = ('tuitrain.cli.launch', 'tuitrain.cli.doctor')\n"
        "heavy = ('torch', 'tuitrain.config.schema', *others)\n"
        "print([m for m in heavy if m in sys.modules])\n"
    )
    done = subprocess.run(
        [sys.executable, "-c", program], capture_output=True, text=True, check=True
    )
    assert done.stdout.strip() == "[]"


@pytest.mark.parametrize("name", COMMANDS)
def test_every_command_is_there_under_its_name(name: str) -> None:
    done = call(name, "--help")
    assert done.exit_code == 0
    assert f"{name} [OPTIONS]" in done.output


def test_every_config_problem_is_shown_and_nothing_is_created(tmp_path: Path) -> None:
    Path("bad.toml").write_text("[learner]\nlr = 7\nbatch_sise = 3\n")
    before = sorted(tmp_path.iterdir())
    result = call("launch", "bad.toml", "--set", "run.seed=x y", "--schedule", "fast")
    assert result.exit_code == 2
    for word in ("learner.lr", "batch_sise", "batch_size", "run.seed", "run.schedule"):
        assert word in result.output
    assert sorted(tmp_path.iterdir()) == before
    assert houses.tenants() == []


def test_a_missing_config_is_said_plainly() -> None:
    result = call("launch", "nowhere.toml")
    assert result.exit_code == 2
    assert "nowhere.toml" in result.output
    assert "Traceback" not in result.output


def test_an_unusable_runtime_directory_stops_a_launch_before_it_creates_anything(
    tmp_path: Path, runtime_dir: Path
) -> None:
    Path("good.toml").write_text("")
    (runtime_dir / "tuitrain").mkdir(mode=0o755)
    before = sorted(tmp_path.iterdir())
    result = call("launch", "good.toml", "--headless")
    assert result.exit_code == 2
    assert "chmod 700" in result.output
    assert sorted(tmp_path.iterdir()) == before


def test_config_check_and_schema() -> None:
    Path("good.toml").write_text("[run]\nseed = 3\n")
    assert "good.toml: fine" in call("config", "check", "good.toml").output
    shown = call("config", "check", "good.toml", "--show", "--set", "run.name=x").output
    assert "seed = 3" in shown
    assert 'name = "x"' in shown
    assert call("config", "check", "good.toml", "--set", "run.seed=-1").exit_code == 2
    assert "properties" in json.loads(call("config", "schema").output)


def test_windows_is_refused_in_words(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setattr(sys, "platform", "win32")
    with pytest.raises(SystemExit) as ended:
        cli.main()
    assert ended.value.code == 2
    assert "WSL" in capsys.readouterr().err


def test_what_a_start_warns_of_is_on_the_terminal(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    """▣ Also of a run that is left alone: its events are read when it is too late."""
    said = [
        {"event": "warning", "text": "logging out will kill this \x1b[31mrun"},
        {"event": "failed", "text": "it ended"},
    ]
    lines = b"".join(json.dumps(line).encode() + b"\n" for line in said)
    program = f"import os, sys; os.write(int(sys.argv[1]), {lines!r})"
    monkeypatch.setattr(
        start, "command_line", lambda path, *options: [sys.executable, "-c", program, options[2]]
    )
    (tmp_path / "logs").mkdir()
    with pytest.raises(typer.Exit):
        start.start_detached(RunFolder(tmp_path), lambda text: None)
    warned, ended, _ = capsys.readouterr().err.splitlines()
    assert warned == "warning: logging out will kill this �[31mrun"
    assert ended == "tuitrain: it ended"
