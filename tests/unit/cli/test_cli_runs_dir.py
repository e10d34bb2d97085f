"""Where runs are made and looked for."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest

from tests.fake_plan import fake_config, fake_folder
from tests.unit.cli.calling import call
from tests.unit.supervisor.running import Started
from tuitrain import load_policy, train
from tuitrain.cli.attach import how_to_return
from tuitrain.cli.doctor import _runs_dir
from tuitrain.config.load import load_config
from tuitrain.config.resolve import with_runs_dir
from tuitrain.config.runs import RunFolder, RunFolderError
from tuitrain.config.schema import Config

pytestmark = pytest.mark.usefixtures("in_tmp")


def test_runs_are_made_where_they_are_looked_for(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("TUITRAIN_RUNS_DIR", str(tmp_path / "mine"))
    given = load_config(None, ["run.out_dir=theirs"])
    assert with_runs_dir(load_config(None)).run.out_dir == str(tmp_path / "mine")
    assert with_runs_dir(given).run.out_dir == "theirs"
    monkeypatch.delenv("TUITRAIN_RUNS_DIR")
    assert with_runs_dir(load_config(None)).run.out_dir == "runs"


def test_a_folder_of_runs_without_a_name_is_not_set(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("TUITRAIN_RUNS_DIR", "")
    folder = fake_folder(tmp_path / "runs", fake_config({}))
    assert "fake-0001" in call("ls").output
    assert "`tuitrain attach fake-0001`" in how_to_return(folder)
    assert _runs_dir(None) == Path("runs").absolute()


def test_launch_and_doctor_make_and_look_there(monkeypatch: pytest.MonkeyPatch) -> None:
    asked: list[str] = []

    def made(config: Config, **_: Any) -> RunFolder:
        asked.append(config.run.out_dir)
        raise RunFolderError("far enough")

    monkeypatch.setattr("tuitrain.config.runs.create_run", made)
    monkeypatch.setenv("TUITRAIN_RUNS_DIR", "mine")
    Path("good.toml").write_text("")
    assert "far enough" in call("launch", "good.toml").output
    assert asked == [str(Path("mine").absolute())]
    assert str(Path("mine").absolute()) in call("doctor", "--json").output


@pytest.mark.parametrize("kind", ["table", "config", "file"])
def test_python_makes_runs_where_the_command_line_does(
    kind: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    asked: list[str] = []

    def made(config: Config, **_: Any) -> RunFolder:
        asked.append(config.run.out_dir)
        raise RunFolderError("far enough")

    monkeypatch.setattr("tuitrain.config.runs.create_run", made)
    monkeypatch.setenv("TUITRAIN_RUNS_DIR", "mine")
    Path("good.toml").write_text("")
    given: Any = {"table": {}, "config": Config(), "file": "good.toml"}[kind]
    for overrides in ([], ["run.out_dir=theirs"]):
        with pytest.raises(RunFolderError, match="far enough"):
            train(given, overrides)
    assert asked == [str(Path(name).absolute()) for name in ("mine", "theirs")]
    with pytest.raises(RunFolderError, match=str(Path("mine").absolute())):
        load_policy()


def test_a_living_run_is_found_from_any_folder_by_name(
    live: Started, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    elsewhere = tmp_path / "elsewhere"
    elsewhere.mkdir()
    monkeypatch.chdir(elsewhere)
    assert json.loads(call("status", "fake-0001", "--json").output)["live"]
    assert json.loads(call("status", "--json").output)["live"]
    assert str(tmp_path / "runs") in call("ls").output  # which of two runs of one name it is
    folder = RunFolder(tmp_path / "runs" / "fake-0001")
    assert str(folder.path) in how_to_return(folder)
    monkeypatch.chdir(tmp_path)
    assert str(folder.path) not in how_to_return(folder)
    assert str(tmp_path) not in call("ls").output
    monkeypatch.chdir(elsewhere)
    # But where there are runs, `latest` is one of those.
    fake_folder(elsewhere / "runs", fake_config({}))
    assert call("pause").exit_code == 2


def test_the_runs_folder_may_be_elsewhere(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    fake_folder(tmp_path / "other", fake_config({}))
    assert "fake-0001" in call("ls", "--runs-dir", "other").output
    monkeypatch.setenv("TUITRAIN_RUNS_DIR", "other")
    assert "fake-0001" in call("ls").output
