"""Whether an environment's state can be saved is asked where nothing it does can end the run."""

from __future__ import annotations

import errno
import json
import os
import signal
import threading
from collections.abc import Iterator
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import psutil
import pytest

from tuitrain.config.load import config_from
from tuitrain.config.resolve import resolve
from tuitrain.envs.make import inspect
from tuitrain.workers.asides.forked import MAX_ANSWER_BYTES, asked
from tuitrain.workers.asides.probe import run
from tuitrain.workers.asides.savable import why_unsaved
from tuitrain.workers.blueprint import REPORT_NAME

ENVS = Path(__file__).parents[1] / "envs" / "state_envs.py"


def reason(env_id: str, limit_s: float = 60.0, **kwargs: Any) -> str:
    config = config_from({"env": {"id": env_id, "kwargs": kwargs}})
    return why_unsaved(config, inspect(config.env), limit_s)


@pytest.fixture
def no_child_is_left() -> Iterator[None]:
    """The test's process may have children of other tests, which are theirs to wait for."""
    before = set(psutil.Process().children())
    yield
    assert set(psutil.Process().children()) <= before


@pytest.mark.usefixtures("no_child_is_left")
def test_the_answer_comes_from_a_process_that_is_gone() -> None:
    assert reason("CartPole-v1") == ""
    assert "behaved differently" in reason(f"{ENVS}:Closure")


@pytest.mark.parametrize(
    ("trial", "said"),
    [
        (lambda: os.kill(os.getpid(), signal.SIGKILL), "trying it out ended with SIGKILL"),
        (lambda: os._exit(0), "trying it out ended the process with exit code 0"),
        (lambda: os._exit(3), "trying it out ended the process with exit code 3"),
        (lambda: 1 / 0, "trying it out ended the process with exit code 1"),
        (lambda: "é" * 5_000, "é" * (MAX_ANSWER_BYTES // 2)),
    ],
)
@pytest.mark.usefixtures("watching")
def test_whatever_becomes_of_it_is_a_reason(trial: Any, said: str) -> None:
    assert asked(trial, 60.0) == said


@pytest.fixture(params=["pidfd", "without", "refused"])
def watching(request: pytest.FixtureRequest, monkeypatch: pytest.MonkeyPatch) -> None:
    """With what Linux has, as where there is none of it, and as in a sandbox that refuses it."""

    def refuse(pid: int) -> int:
        raise OSError(errno.ENOSYS, "Function not implemented")

    if request.param == "without":
        monkeypatch.delattr(os, "pidfd_open", raising=False)
    elif request.param == "refused":
        monkeypatch.setattr(os, "pidfd_open", refuse, raising=False)


@pytest.mark.usefixtures("no_child_is_left", "watching")
def test_one_that_hangs_is_ended() -> None:
    assert asked(threading.Event().wait, 0.05) == ("trying it out took longer than 0.05 s")


def test_a_child_of_the_environments_that_stays_does_not_keep_the_answer() -> None:
    """It holds the pipe's other end."""

    def trial() -> str:
        if not os.fork():
            signal.signal(signal.SIGALRM, signal.SIG_DFL)
            signal.alarm(20)
            signal.pause()
        return "yes"

    began = os.times().elapsed
    assert asked(trial, 60.0) == "yes"
    assert os.times().elapsed - began < 19


class SilentLink:
    """Nobody is told anything."""

    def notice(self, *given: Any) -> None:
        pass

    def ready(self, **fields: Any) -> None:
        pass


LOCKED = "attribute env.gate is a _thread.lock"


@pytest.mark.parametrize(
    ("tables", "env_id", "why"),
    [
        ({"run": {"schedule": "lockstep"}}, "CartPole-v1", ""),
        ({"run": {"schedule": "lockstep"}}, f"{ENVS}:Locked", LOCKED),
        ({"run": {"schedule": "sequential"}}, f"{ENVS}:Locked", LOCKED),
        # where no checkpoint would hold it nobody asks
        ({"run": {"schedule": "async"}}, f"{ENVS}:Locked", ""),
        ({"run": {"schedule": "lockstep", "checkpoint_replay": False}}, f"{ENVS}:Locked", ""),
        (
            {"run": {"schedule": "lockstep"}, "replay": {"capacity": 40_000_000}},
            f"{ENVS}:Locked",
            "",
        ),
    ],
)
def test_the_probe_reports_it(
    tables: dict[str, Any], env_id: str, why: str, tmp_path: Path
) -> None:
    config = resolve(config_from({"env": {"id": env_id}} | tables), cores=2)
    link: Any = SilentLink()
    args: Any = SimpleNamespace(config=config, run_dir=str(tmp_path))
    run(args, link)
    report = json.loads((tmp_path / REPORT_NAME).read_text())
    assert report["unsaved_environment"] == why
