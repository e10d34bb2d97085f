"""What is hard for a trainer: hidden global randomness, and having to be closed."""

from __future__ import annotations

import os
import random
from pathlib import Path
from typing import Any

import gymnasium
import numpy as np
from gymnasium import spaces

from tests.envs.learned import Chain


class GlobalRandomEnv(gymnasium.Env):
    """Draws from the global states of `random` and `numpy.random`, as real environments do.

    Observation: float32[2], the two draws. Never seeds anything. Episodes end at random.
    """

    def __init__(self, p_terminate: float = 0.1):
        self.p_terminate = p_terminate
        self.observation_space = spaces.Box(0.0, 1.0, (2,), np.float32)
        self.action_space = spaces.Discrete(2)

    def reset(self, *, seed: int | None = None, options: dict[str, Any] | None = None):
        return self._draw(), {}

    def step(self, action: int):
        terminated = bool(np.random.random() < self.p_terminate)
        return self._draw(), random.random() + float(action), terminated, False, {}

    def _draw(self) -> np.ndarray:
        return np.array([random.random(), np.random.random()], np.float32)


class ClosingEnv(Chain):
    """A ``Chain`` that leaves a file in `folder` when it is closed."""

    def __init__(self, folder: str, **kwargs: Any):
        super().__init__(**kwargs)
        self.folder = folder

    def close(self) -> None:
        Path(self.folder, f"{os.getpid()}-{id(self)}").touch()


def dropout_network(input_shape: tuple[int, ...], n_actions: int) -> Any:
    """A network that draws from torch's global state whenever it learns."""
    from torch import nn

    inputs = int(np.prod(input_shape))
    return nn.Sequential(
        nn.Flatten(), nn.Linear(inputs, 32), nn.Dropout(0.5), nn.ReLU(), nn.Linear(32, n_actions)
    )
