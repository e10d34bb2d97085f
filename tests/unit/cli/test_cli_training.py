"""Real training through the command line: launch, stop, resume, evaluate."""

from __future__ import annotations

import json
import os
import shlex
import subprocess
import sys
from pathlib import Path

import pytest

from tuitrain.replay import segment
from tuitrain.supervisor.house import house as houses

CONFIG = """
[run]
name = "cp"
total_steps = 3000
[env]
id = "CartPole-v1"
[actors]
count = 1
envs_per_actor = 4
[replay]
capacity = 4000
learning_starts = 500
[learner]
batch_size = 32
replay_ratio = 0.05
[eval]
every_steps = 1500
episodes = 2
max_episode_steps = 200
"""


@pytest.fixture(autouse=True)
def in_tmp(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    Path("cp.toml").write_text(CONFIG)


def tuitrain(*arguments: str) -> subprocess.CompletedProcess[bytes]:
    return subprocess.run(
        [sys.executable, "-m", "tuitrain.cli.main", *arguments],
        capture_output=True,
        stdin=subprocess.DEVNULL,
        timeout=200,
        check=False,
        env={**os.environ, "PYTHONPATH": str(Path(__file__).parents[3])},
    )


def test_without_a_terminal_launch_prints_plain_lines_to_the_end() -> None:
    """And files of the working folder shadow nothing."""
    Path("queue.py").write_text("raise SystemExit('shadowed')")
    Path("my_env.py").write_text(
        "import gymnasium\ndef make(): return gymnasium.make('CartPole-v1')"
    )
    done = tuitrain("launch", "cp.toml", "--schedule", "sequential", "--set", "env.id=my_env:make")
    assert done.returncode == 0, done.stderr.decode()
    text = done.stdout.decode()
    assert "finished: training has reached its last step" in text
    assert "\x1b" not in text
    summary = json.loads(Path("runs/cp-0001/summary.json").read_text())
    assert summary["steps"] >= 3000
    assert summary["policies"]["default"]["target_updates"] is not None
    assert {c["id"]: c["state"] for c in summary["checks"]}["target_updates"] == "ok"
    done = tuitrain("eval", "--episodes", "2", "--json")
    assert done.returncode == 0, done.stderr.decode()
    assert json.loads(done.stdout)[0]["episodes"] == 2
    done = tuitrain("eval", "--checkpoint", "cp.toml")
    assert done.returncode == 2
    assert done.stderr.startswith(b"tuitrain: nothing was evaluated: checkpoint cp.toml")


def test_a_run_starts_without_standard_streams() -> None:
    command = f"exec {shlex.quote(sys.executable)} -m tuitrain.cli.main launch cp.toml -d"
    command += " --schedule sequential"
    environment = {**os.environ, "PYTHONPATH": str(Path(__file__).parents[3])}
    done = subprocess.run(
        ["sh", "-c", f"{command} --set run.total_steps=50_000_000 <&- >&- 2>&-"],
        env=environment,
        check=False,
        timeout=200,
    )
    assert done.returncode == 0
    assert '"event"' not in Path("runs/cp-0001/logs/supervisor.log").read_text()
    assert tuitrain("kill", "latest", "--yes").returncode == 0


def test_a_working_folder_that_is_gone_is_said_plainly(tmp_path: Path) -> None:
    Path("gone").mkdir()
    os.chdir("gone")
    Path("../gone").rmdir()
    done = tuitrain("ls")
    os.chdir(tmp_path)
    assert done.returncode == 2
    assert b"the working folder does not exist" in done.stderr


@pytest.mark.long
def test_a_detached_run_is_commanded_stopped_and_resumed() -> None:
    done = tuitrain("launch", "cp.toml", "--set", "run.total_steps=50_000_000", "-d")
    assert done.returncode == 0, done.stderr.decode()
    assert b"tuitrain attach cp-0001" in done.stdout
    for command in ("pause", "resync", "checkpoint", "unpause"):
        done = tuitrain(command)
        assert done.returncode == 0, (command, done.stdout, done.stderr)
    done = tuitrain("stop", "--json")
    assert done.returncode == 0, done.stderr.decode()
    saved = json.loads(done.stdout)["result"]["checkpoint"]
    assert Path(saved).exists()
    assert houses.tenants() == []
    before = json.loads(Path("runs/cp-0001/summary.json").read_text())
    assert segment.list_names(f"tuitrain-{before['run_id']}-") == []

    done = tuitrain("resume", "-d")
    assert done.returncode == 0, done.stderr.decode()
    assert tuitrain("stop").returncode == 0
    after = json.loads(Path("runs/cp-0001/summary.json").read_text())
    assert after["run_id"] == before["run_id"]
    assert after["base_steps"] >= before["steps"]
    assert after["steps"] >= after["base_steps"]


@pytest.mark.parametrize(
    "wrong", ["env.n_frames=3", pytest.param("env.id=NoSuchEnv-v0", marks=pytest.mark.long)]
)
def test_a_finished_run_is_resumed_only_to_go_further(wrong: str) -> None:
    done = tuitrain("launch", "cp.toml", "--headless", "--schedule", "sequential")
    assert done.returncode == 0, done.stderr.decode()
    before = json.loads(Path("runs/cp-0001/summary.json").read_text())
    done = tuitrain("resume", "--headless")
    assert done.returncode == 2
    assert b"has done its" in done.stderr
    assert f"--set run.total_steps={2 * before['total_steps']}`".encode() in done.stderr
    stored = Path("runs/cp-0001/config.toml").read_text()
    done = tuitrain("resume", "--headless", "--set", wrong, "--set", "run.total_steps=9000")
    assert done.returncode == 3, done.stderr.decode()
    assert Path("runs/cp-0001/config.toml").read_text() == stored
    assert not Path("runs/cp-0001/config.before.toml").exists()
    further = before["steps"] + 1000
    done = tuitrain("resume", "--headless", "--set", f"run.total_steps={further}")
    assert done.returncode == 0, done.stderr.decode()
    after = json.loads(Path("runs/cp-0001/summary.json").read_text())
    assert after["base_steps"] == before["steps"]
    assert after["steps"] >= further
    assert f"total_steps = {further}" in Path("runs/cp-0001/config.toml").read_text()
    assert not Path("runs/cp-0001/config.before.toml").exists()


def test_a_wrong_environment_is_explained_where_it_was_launched() -> None:
    done = tuitrain("launch", "cp.toml", "--set", 'env.id="NoSuchEnv-v0"', "-d")
    assert done.returncode == 3
    assert b"NoSuchEnv" in done.stderr
    assert b"supervisor.log" in done.stderr
    assert houses.tenants() == []
