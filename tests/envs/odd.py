"""Tasks in which nothing is wrong, though something that most have is missing.

Imports gymnasium and numpy only, so that it works as a file outside the repository too.
"""

from __future__ import annotations

from typing import Any

import gymnasium
import numpy as np
from gymnasium import spaces


class Orbit(gymnasium.Env):
    """Something goes round a ring, either way, and 1 is paid for saying which; cut after 50 steps.

    One frame does not tell, nor does any sum of two. With `shuffled` what is done is not what was
    asked for.
    """

    def __init__(self, shuffled: bool = False) -> None:
        self.observation_space = spaces.Box(0, 1, (9,), np.float32)
        self.action_space = spaces.Discrete(2)
        self._shuffled, self._place, self._way, self._steps = shuffled, 0, 0, 0

    def reset(self, *, seed: int | None = None, options: dict[str, Any] | None = None):
        super().reset(seed=seed)
        self._place, self._way = (int(n) for n in self.np_random.integers(0, [9, 2]))
        self._steps = 0
        return self._seen(), {}

    def step(self, action: int):
        if self._shuffled:
            action = int(self.np_random.integers(2))
        paid = float(action == self._way)
        self._place = (self._place + 2 * self._way - 1) % 9
        self._way ^= int(self.np_random.random() < 0.2)
        self._steps += 1
        return self._seen(), paid, False, self._steps == 50, {}

    def _seen(self) -> np.ndarray:
        return np.eye(9, dtype=np.float32)[self._place]


class Levers(gymnasium.Env):
    """One state, one step: five levers, of which the last pays best, all with much noise."""

    def __init__(self) -> None:
        self.observation_space = spaces.Box(0, 1, (1,), np.float32)
        self.action_space = spaces.Discrete(5)

    def reset(self, *, seed: int | None = None, options: dict[str, Any] | None = None):
        super().reset(seed=seed)
        return np.ones(1, np.float32), {}

    def step(self, action: int):
        paid = float(self.np_random.normal(action / 5, 1))
        return np.ones(1, np.float32), paid, True, False, {}


class Queues(gymnasium.Env):
    """Two queues grow, one of them can be served at a time, and this goes on for ever."""

    def __init__(self) -> None:
        self.observation_space = spaces.Box(0, 1, (2,), np.float32)
        self.action_space = spaces.Discrete(3)
        self._waiting = np.zeros(2)

    def reset(self, *, seed: int | None = None, options: dict[str, Any] | None = None):
        super().reset(seed=seed)
        self._waiting = np.zeros(2)
        return self._seen(), {}

    def step(self, action: int):
        self._waiting += self.np_random.random(2) < (0.45, 0.4)
        if action < 2:
            self._waiting[action] = max(0, self._waiting[action] - 1)
        self._waiting = np.minimum(self._waiting, 20)
        return self._seen(), -float(self._waiting.sum()) / 10, False, False, {}

    def _seen(self) -> np.ndarray:
        return (self._waiting / 20).astype(np.float32)
