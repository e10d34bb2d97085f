"""`tuitrain new`: a file that trains, or a reason and nothing left."""

from __future__ import annotations

import contextlib
import importlib.util
import os
import resource
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import psutil
import pytest

from tests.unit.cli.test_cli_training import in_tmp, tuitrain
from tuitrain.cli.errors import Refused
from tuitrain.cli.look import look_at
from tuitrain.cli.new import _write
from tuitrain.config.load import load_config
from tuitrain.config.schema import EnvConfig

__all__ = ["in_tmp"]

ENVS = """
import os, signal, subprocess, sys
import gymnasium, numpy as np

class Walk(gymnasium.Env):
    observation_space = gymnasium.spaces.Box(0, 1, (5,), np.float64)
    action_space = gymnasium.spaces.Discrete(2)
    def __init__(self, length=9): self.length = length
    def reset(self, *, seed=None, options=None):
        print("noise on stdout"); self.at = 0
        return np.zeros(5), {}
    def step(self, action):
        self.at += 1
        return np.zeros(5), 1.0, self.at == self.length, False, {}

class Dies(Walk):
    def step(self, action):
        print("last words", flush=True); os.kill(os.getpid(), signal.SIGKILL)

class Hangs(Walk):
    def reset(self, *, seed=None, options=None):
        with open("hanging", "w"):  # whoever waits for it opens the other end
            signal.pause()

class Starts(Walk):
    def __init__(self):
        command = [sys.executable, "-c", "import time; time.sleep(1000)"]
        child = subprocess.Popen(command, start_new_session=True)
        open("pids", "a").write(f"{child.pid}\\n"); super().__init__()
"""


@pytest.fixture(autouse=True)
def environments(in_tmp: None) -> Iterator[None]:
    Path("my_env.py").write_text(ENVS)
    Path("cp.toml").unlink()
    yield
    for process in left():  # of a test that has failed
        process.kill()


def left() -> list[psutil.Process]:
    """Processes, of anybody, that work in this test's folder."""
    found = []
    for process in psutil.process_iter():
        with contextlib.suppress(psutil.Error):
            if process.pid != os.getpid() and process.cwd() == os.getcwd():
                found.append(process)
    return found


def test_what_is_written_trains_and_is_never_overwritten() -> None:
    done = tuitrain("new", "my_env.py:Walk", "--kwarg", "length=7")
    assert done.returncode == 0, done.stderr.decode()
    assert b"noise" not in done.stdout + done.stderr
    assert b"observations float64[5], 2 actions" in done.stdout
    assert b"tuitrain launch walk.toml" in done.stdout
    text = Path("walk.toml").read_text()
    assert "random actions return 7 in 7 steps" in text
    assert b"random actions return 7 in 7 steps" in done.stdout
    assert b"tuitrain doctor walk.toml" in done.stdout
    config = load_config("walk.toml")
    assert (config.env.id, config.env.kwargs) == ("my_env.py:Walk", {"length": 7})

    again = tuitrain("new", "my_env.py:Walk")
    assert again.returncode == 2
    assert b"walk.toml exists and is not overwritten" in again.stderr
    assert Path("walk.toml").read_text() == text

    short = ["run.total_steps=2500", "eval.episodes=2", "run.schedule=sequential"]
    done = tuitrain("launch", "walk.toml", *(w for item in short for w in ("--set", item)))
    assert done.returncode == 0, done.stdout.decode() + done.stderr.decode()
    assert b"declared float64; they are kept" in done.stdout


@pytest.mark.parametrize(
    ("env", "told"),
    [
        ("my_env.py:Dies", b"random actions failed: its process ended: killed by SIGKILL"),
        ("my_env.py:Walks", b"has no 'Walks'; did you mean Walk?"),
        ("nowhere.py:make", b"there is no file"),
        ("my_env.py", b"is a file: write my_env.py:NAME; it has Walk, Dies, Hangs, Starts."),
        ("Pendulum-v1", b"its action space is Box"),
        ("ALE/Pong-v5", b"pip install 'tuitrain[atari]'"),
    ],
)
def test_what_does_not_work_is_told_and_leaves_nothing(env: str, told: bytes) -> None:
    if env.startswith("ALE") and importlib.util.find_spec("ale_py"):
        pytest.skip("ale-py is installed")
    before = set(os.listdir())
    done = tuitrain("new", env, "--name", "x")
    assert done.returncode == 2
    assert told in done.stderr, done.stderr.decode()
    assert b"Traceback" not in done.stderr
    assert (b"last words" in done.stderr) == ("Dies" in env)
    assert set(os.listdir()) - before <= {"__pycache__"}
    assert left() == []


def test_an_environment_that_hangs_is_given_up() -> None:
    Path("hanging").touch()
    with pytest.raises(Refused, match=r"has not come to an end within 2 s"):
        look_at(EnvConfig(id="my_env.py:Hangs"), deadline_s=2.0)
    assert left() == []


def test_a_look_does_not_outlive_who_looks() -> None:
    os.mkfifo("hanging")
    command = [sys.executable, "-m", "tuitrain.cli.main", "new", "my_env.py:Hangs"]
    environment = {**os.environ, "PYTHONPATH": str(Path(__file__).parents[3])}
    with subprocess.Popen(command, env=environment) as looking, open("hanging") as end:
        looking.kill()
        assert end.read() == "", "the end of the pipe is the end of the process"


def test_processes_that_an_environment_has_started_end_with_the_look() -> None:
    assert look_at(EnvConfig(id="my_env.py:Starts")).policies["default"].episodes > 0
    assert len(Path("pids").read_text().split()) == 3
    psutil.wait_procs(left(), timeout=10.0)  # init has yet to reap them
    assert left() == []


def test_a_file_is_written_whole_or_not_at_all() -> None:
    Path("there.toml").write_text("mine")
    with pytest.raises(Refused, match=r"there\.toml exists and is not overwritten"):
        _write(Path("there.toml"), "theirs")
    assert Path("there.toml").read_text() == "mine"
    with pytest.raises(Refused, match=r"cannot write no/such\.toml: No such file"):
        _write(Path("no/such.toml"), "x")
    soft, hard = resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, (10, hard))  # a disk with 10 bytes left
    try:
        with pytest.raises(Refused, match=r"cannot write new\.toml: File too large"):
            _write(Path("new.toml"), "long " * 10)
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, (soft, hard))
    assert not Path("new.toml").exists()


def test_help_teaches() -> None:
    done = tuitrain("new", "--help")
    assert done.returncode == 0
    for word in (b"file.py:factory", b"--kwarg size=12", b"never", b"def make("):
        assert word in done.stdout, word
    assert b"tuitrain new my_env.py:make" in tuitrain("--help").stdout
