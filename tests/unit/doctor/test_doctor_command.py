"""The command itself, where no process has to be started, and what looking at a machine gives."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from pathlib import Path

import pytest
from click.testing import Result
from typer.testing import CliRunner

from tuitrain.cli import doctor as command
from tuitrain.cli import main as cli
from tuitrain.config.load import config_from
from tuitrain.doctor import gather
from tuitrain.doctor.facts import Torch
from tuitrain.replay import segment


@pytest.fixture(autouse=True)
def quick(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr(command, "_build", lambda config, tell: (Torch("2.13.0"), None, "crashed"))


def call(*arguments: str) -> Result:
    return CliRunner().invoke(cli.app, ["doctor", *arguments])


def test_the_machine_alone() -> None:
    result = call("--json")
    told = json.loads(result.output)
    assert result.exit_code == (1 if told["state"] == "fail" else 0)
    assert {row["group"] for row in told["checks"]} == {"Machine", "Places", "Terminal"}
    assert "\x1b" not in call().output


def test_a_wrong_config_is_shown_with_every_problem() -> None:
    Path("bad.toml").write_text("[learner]\nlr = 7\nbatch_size = -1\n")
    result = call("bad.toml")
    assert result.exit_code == 1
    assert "learner.lr" in result.output
    assert "learner.batch_size" in result.output
    assert "shared memory" in result.output  # the machine is examined all the same


def test_what_could_not_be_built_fails_and_is_not_run(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(command, "_smoke", lambda *_: pytest.fail("it was run"))
    Path("good.toml").write_text("")
    result = call("good.toml", "--json")
    assert result.exit_code == 1
    rows = {row["id"]: row for row in json.loads(result.output)["checks"]}
    assert (rows["environment"]["state"], rows["environment"]["found"]) == ("fail", "crashed")
    assert "env & network" in rows["training"]["found"]


def test_how_long_trying_takes_is_told_first() -> None:
    Path("good.toml").write_text("")
    assert call("good.toml", "--learn", "--learn-s", "7").output.startswith(
        "--learn takes about 7 s"
    )


def test_an_override_needs_a_config() -> None:
    assert call("--set", "run.seed=2").exit_code == 2


def test_a_runtime_directory_that_is_open_to_others(runtime_dir: Path) -> None:
    (runtime_dir / "tuitrain").mkdir(mode=0o755)
    result = call("--json")
    assert result.exit_code == 1
    (row,) = [r for r in json.loads(result.output)["checks"] if r["id"] == "runtime_dir"]
    assert row["state"] == "fail"
    assert "chmod 700" in row["found"]


def test_looking_at_this_machine() -> None:
    machine = gather.machine()
    assert 1 <= machine.cores <= machine.cores_there
    assert machine.shm is None or machine.shm.total_bytes == segment.total_bytes()
    clock = gather.clock_watch()()
    assert clock.watched_s >= 0
    assert abs(clock.jumped_s) < 60


def test_thread_variables_are_seen(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("OMP_NUM_THREADS", "64")
    assert gather.machine().thread_variables["OMP_NUM_THREADS"] == "64"


@pytest.mark.skipif(os.getuid() == 0, reason="root may write everywhere")
def test_a_folder_that_is_closed(tmp_path: Path) -> None:
    (tmp_path / "closed").mkdir(mode=0o500)
    assert "cannot be written to" in gather.place(tmp_path / "closed" / "runs").out_error


def test_where_runs_are_made(tmp_path: Path) -> None:
    found = gather.place(tmp_path / "not" / "there" / "yet")
    assert found.out_error == ""
    assert found.disk is not None
    assert list(tmp_path.iterdir()) == []
    (tmp_path / "file").write_text("")
    assert "is no folder" in gather.place(tmp_path / "file" / "runs").out_error


def test_the_packages_that_a_config_names() -> None:
    def names(env_id: str, **run: bool) -> list[str]:
        return [p.name for p in gather.packages(config_from({"env": {"id": env_id}, "run": run}))]

    assert names("CartPole-v1") == []
    assert names("MinAtar/Breakout-v1") == ["minatar"]
    assert names("ALE/Pong-v5") == ["ale-py", "opencv"]
    assert names("LunarLander-v3", tensorboard=True) == ["box2d", "tensorboard"]


def test_looking_imports_no_torch() -> None:
    program = (
        "import sys, tuitrain.cli.doctor, tuitrain.cli.smoke, tuitrain.cli.aside\n"
        "from tuitrain.doctor import examination, gather, report\n"
        "from tuitrain.workers import blueprint, stores\n"
        "print([m for m in ('torch', 'textual', 'gymnasium') if m in sys.modules])\n"
    )
    done = subprocess.run(
        [sys.executable, "-c", program], capture_output=True, text=True, check=True
    )
    assert done.stdout.strip() == "[]"
