"""Environments and networks for whole runs, by `things.py:name`.

Each misbehaves in one way, and where it matters only in one worker, which it knows by the name of
its process. Imported by workers as a file, so it must not need the repository on the path.
"""

from __future__ import annotations

import ctypes
import multiprocessing
import os
import signal
import subprocess
import sys
import time
from pathlib import Path
from typing import Any

import gymnasium
import numpy as np
import torch
from gymnasium import spaces

sys.path.append(str(Path(__file__).parents[2]))

from tests.envs import Chain, TwoPolicies


def fail(how: str) -> None:
    """End this process, or raise, in one of the ways in which workers end."""
    print(f"about to {how}", flush=True)
    if how == "raise":
        raise RuntimeError("failed, as asked")
    if how == "exit":
        os._exit(7)
    if how == "segfault":
        ctypes.string_at(0)
    os.kill(os.getpid(), signal.SIGKILL)


def in_worker(name: str) -> bool:
    """Whether this is that worker."""
    return multiprocessing.current_process().name == name


def running() -> bool:
    """Whether the run in the working folder has said that all its workers are up."""
    return any("running with" in path.read_text() for path in Path("runs").glob("*/events.jsonl"))


class Slow(Chain):
    """A ``Chain`` whose every step takes at least `step_s` seconds.

    Args:
        waits: before its first step until all workers are up: a short run may be over before.
    """

    def __init__(self, step_s: float = 0.001, waits: bool = False) -> None:
        super().__init__()
        self.step_s = step_s
        self.waits = waits

    def step(self, action: int):
        while self.waits and not running():
            time.sleep(0.05)
        self.waits = False
        time.sleep(self.step_s)
        return super().step(action)


class Bursts(Slow):
    """Pays 1e30 a step as long as a file `burst` lies in the working folder."""

    def step(self, action: int):
        observation, reward, *rest = super().step(action)
        return observation, 1e30 if Path("burst").exists() else reward, *rest


class Unrestored(Slow):
    """Does not take its state back while a file `broken` lies in the working folder."""

    def state_dict(self) -> dict[str, Any]:
        return {"cell": self._cell, "steps": self._steps}

    def load_state_dict(self, state: dict[str, Any]) -> None:
        if Path("broken").exists():
            raise RuntimeError("the simulator is another one")
        self._cell, self._steps = state["cell"], state["steps"]


class SlowPolicies(TwoPolicies):
    """``TwoPolicies`` of which every step takes at least a millisecond."""

    def step(self, actions: dict[str, int]):
        time.sleep(0.001)
        return super().step(actions)


class FailsIn(Chain):
    """A ``Chain`` that fails after `after_steps` steps, in one worker only, once all are up.

    A worker that fails before that is a failed start, of which there is nothing to save.
    """

    def __init__(self, worker: str, how: str, after_steps: int = 20) -> None:
        super().__init__()
        self.left = after_steps if in_worker(worker) else -1
        self.how = how

    def step(self, action: int):
        self.left -= 1
        if self.left == 0:
            if running():
                fail(self.how)
            self.left = 100
        return super().step(action)


class Noisy(Slow):
    """Prints from Python, from C and from a child, and starts a process that outlives it."""

    def __init__(self) -> None:
        super().__init__()
        print("printed by the environment")
        os.write(1, b"written to descriptor 1\n")
        subprocess.run(["sh", "-c", "echo said by a child >&2"], check=True)
        self.child = subprocess.Popen(["sleep", "86400"])


class Daemonic(Slow):
    """Forks a process that leaves its group and session, heeds no signal and never ends."""

    def __init__(self) -> None:
        super().__init__()
        pid = os.fork()
        if pid == 0:
            os.setsid()
            for number in (signal.SIGTERM, signal.SIGHUP, signal.SIGINT):
                signal.signal(number, signal.SIG_IGN)
            while True:
                time.sleep(86400)
        while os.getsid(pid) != pid:
            time.sleep(0.001)
        print(f"daemon {pid}", flush=True)


class Broken(Chain):
    """Cannot be built."""

    def __init__(self) -> None:
        super().__init__()
        raise FileNotFoundError("the ROM is missing")


class Continuous(Chain):
    """Has an action space that is not supported."""

    def __init__(self) -> None:
        super().__init__()
        self.action_space = spaces.Box(-1.0, 1.0, (2,), np.float32)


class Big(gymnasium.Env):
    """64 KiB an observation."""

    def __init__(self) -> None:
        self.observation_space = spaces.Box(0, 255, (256, 256), np.uint8)
        self.action_space = spaces.Discrete(2)

    def reset(self, *, seed: int | None = None, options: dict[str, Any] | None = None):
        return np.zeros((256, 256), np.uint8), {}

    def step(self, action: int):
        return np.zeros((256, 256), np.uint8), 0.0, False, False, {}


class LearnersOnly(torch.nn.Module):
    """A small network that does something else with batches of the learner's size.

    Args:
        how: a way to `fail`, after `after` such batches; "" for never.
        sleep_s: how long each such batch takes at least.
    """

    def __init__(
        self,
        input_shape: tuple[int, ...],
        n_actions: int,
        batch_size: int,
        how: str = "",
        after: int = 20,
        sleep_s: float = 0.0,
    ) -> None:
        super().__init__()
        size = int(np.prod(input_shape))
        self.body = torch.nn.Sequential(
            torch.nn.Flatten(), torch.nn.Linear(size, 16), torch.nn.Linear(16, n_actions)
        )
        self.batch_size, self.how, self.left, self.sleep_s = batch_size, how, after, sleep_s

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        if len(x) == self.batch_size:
            self.left -= 1
            if self.how and self.left == 0:
                fail(self.how)
            time.sleep(self.sleep_s)
        return self.body(x.float())
