"""What a case is: a run, what is wrong with it, and what the checks must say of it."""

from __future__ import annotations

import fcntl
import os
import signal
import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from tests.e2e.harness import ROOT, Run
from tuitrain.diagnosis.checks import CHECKS
from tuitrain.replay.turnstile import BYTES

HERE = Path(__file__).parent
FILES = ("envs.py", "networks.py")
"""What configs of cases name by ``file.py:name``; a copy lies where such a run is started from."""
CONFIGS = ROOT / "configs"

Tables = Mapping[str, Mapping[str, Any]]

BASE: Tables = {
    "run": {"name": "t", "total_steps": 200_000},
    "env": {"id": "envs.py:Field"},
    "actors": {"count": 1, "envs_per_actor": 8, "chunk_steps": 8},
    "exploration": {"epsilon_decay_steps": 10_000},
    "replay": {"capacity": 10_000, "learning_starts": 500},
    "learner": {
        "network_kwargs": {"hidden": [32]},
        "batch_size": 32,
        "replay_ratio": 0.1,
        "gamma": 0.95,
        "lr": 1e-3,
        "target_update_every_updates": 50,
        "device": "cpu",
    },
    "eval": {"every_steps": 5_000, "episodes": 8},
    "supervisor": {"heartbeat_s": 0.1, "max_restarts": 0},
}
"""A run in which nothing is wrong: clean cases have it too."""


@dataclass(frozen=True)
class Case:
    """A run and what its checks must say.

    Attributes:
        fault: what is wrong with it, in words; empty: nothing.
        check: id of the check that is there for the fault; empty: none may be raised.
        names: what `tuitrain diagnose` must say of the first cause, besides the check.
        rows: ids of the catalogue that the fault belongs to.
        tables: laid over ``BASE``, or over `file`.
        file: a config to begin with, in the place of ``BASE``.
        double: function of ``doubles`` that is put in place.
        act: what is done to the run once it has made updates.
        stop_steps: it is stopped when it has made so many; None: it goes to its end.
        to_end: it goes there though its check has been raised, and must be named even then.
        symptoms: checks that may be raised besides, and besides those that `check` explains.
        deadline_s: until then its check must have been raised, or the clean run have ended.
    """

    name: str
    fault: str = ""
    check: str = ""
    rows: str = ""
    tables: Tables = field(default_factory=dict)
    file: Path | None = None
    double: str = ""
    act: Callable[[Run], None] | None = None
    stop_steps: int | None = None
    to_end: bool = False
    symptoms: tuple[str, ...] = ()
    names: str = ""
    deadline_s: float = 60.0
    resumed: Mapping[str, Any] = field(default_factory=dict)
    """A clean run that has ended goes on with these keys of `[run]` set."""

    @property
    def declared(self) -> set[str]:
        """Checks that may be raised: its own and all that may follow from it."""
        return explained(self.check) | {self.check, *self.symptoms} - {""}


def explained(check: str) -> set[str]:
    """Ids of all checks whose failing may follow from this one's, at whatever remove."""
    explains = {one.id: set(one.explains) for one in CHECKS}
    found, new = set(), {check}
    while new:
        found |= new
        new = {more for one in new for more in explains.get(one, ())} - found
    return found - {check}


HELD_S = 3.0
"""Longer than anybody should wait for a lock."""

# ---- what is done to a living run ---------------------------------------------------------------


def resync(run: Run) -> None:
    """Ask everybody for the hash of the weights held."""
    run.ask("resync")


def stop_actor(run: Run) -> None:
    """SIGSTOP, as by a debugger."""
    os.kill(run.workers()["a0"]["pid"], signal.SIGSTOP)


def hold_lock(run: Run) -> None:
    """Hold the lock of the first shard, the second of all, as a process that hangs would."""
    house = Path(run.read("runtime.json")["socket_path"]).parent
    with (house / "lock").open("r+b") as file:
        fcntl.lockf(file, fcntl.LOCK_EX, BYTES, BYTES)
        time.sleep(HELD_S)


def edit_environment(run: Run) -> None:
    """Add a line to the environment's file, which lies beside the runs."""
    with (run.path.parents[1] / "envs.py").open("a") as file:
        file.write("\n# edited while the run goes on\n")


def lose_metrics(run: Run) -> None:
    """Put a folder where metrics.jsonl was, so that no line can be written."""
    path = run.path / "metrics.jsonl"
    path.rename(run.path / "metrics-until-then.jsonl")
    path.mkdir()
