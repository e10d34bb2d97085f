"""The world of fault runs: every observation says which step of which episode it is, with a sum.

Imported by workers as a file, so it must not need the repository on the path; see ``decoded``.
"""

from __future__ import annotations

import os
import subprocess
import time
from pathlib import Path
from typing import Any

import gymnasium
import numpy as np
from gymnasium import spaces


class Tagged(gymnasium.Env):
    """float32 [5]: world, episode, step, random number, checksum. Episodes end at random.

    Args:
        step_s: length of a step at least, so that many runs fit on one machine.
        child: keep a process (`cat`) that every step has to pass through, and one that has left the
            process group and would sleep on whoever ends.
        children: folder in which a file is made for each `cat`, named after its pid; beside it is
            `strays`, for the others.
    """

    def __init__(self, step_s: float = 0.001, child: bool = False, children: str = ""):
        self.observation_space = spaces.Box(0.0, 2.0**24, (5,), np.float32)
        self.action_space = spaces.Discrete(2)
        self.step_s = step_s
        self.world = self.steps = 0
        self.episode = -1
        self._child = self._stray = None
        if child:
            pipe = subprocess.PIPE
            cat = subprocess.Popen(["cat"], stdin=pipe, stdout=pipe, bufsize=0)
            self._child = _noted(cat, Path(children))
            sleep = subprocess.Popen(["sleep", "3600"], start_new_session=True)
            self._stray = _noted(sleep, Path(children).with_name("strays"))

    def reset(self, *, seed: int | None = None, options: dict[str, Any] | None = None):
        super().reset(seed=seed)
        if seed is not None:
            self.world, self.episode = seed % 2**20, -1
        self.episode += 1
        self.steps = 0
        return self._observe(), {}

    def step(self, action: int):
        time.sleep(self.step_s)
        if self._child is not None:
            self._through_child()
        self.steps += 1
        draws = self.np_random.random(2)
        terminated, truncated = bool(draws[0] < 0.06), bool(draws[1] < 0.04)
        return self._observe(), float(action), terminated, truncated, {}

    def close(self) -> None:
        for process in filter(None, (self._child, self._stray)):
            process.kill()
            process.wait()

    def state_dict(self) -> dict[str, Any]:
        return {
            "numbers": [self.world, self.episode, self.steps],
            "random": self.np_random.bit_generator.state,
        }

    def load_state_dict(self, state: dict[str, Any]) -> None:
        self.world, self.episode, self.steps = state["numbers"]
        self.np_random.bit_generator.state = state["random"]

    def _observe(self) -> np.ndarray:
        numbers = [self.world, self.episode, self.steps, int(self.np_random.integers(1000))]
        return np.array([*numbers, checksum(*numbers)], np.float32)

    def _through_child(self) -> None:
        child = self._child
        assert child is not None
        assert child.stdin is not None
        assert child.stdout is not None
        child.stdin.write(b"?")
        if child.stdout.read(1) != b"?":
            raise RuntimeError("the simulator has ended")


def _noted(process: subprocess.Popen[bytes], folder: Path) -> subprocess.Popen[bytes]:
    folder.mkdir(parents=True, exist_ok=True)
    (folder / str(process.pid)).write_text(str(os.getpid()))
    return process


def checksum(world: int, episode: int, step: int, draw: int) -> int:
    """Exact in float32, and different for numbers that do not belong together."""
    return (world * 31 + episode * 7919 + step * 104_729 + draw * 1_299_709) % 16_777_213
