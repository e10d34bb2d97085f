"""A world that nobody can compress: every observation is 84 × 84 pixels of noise."""

from __future__ import annotations

from typing import Any

import gymnasium
import numpy as np
from numpy.typing import NDArray

SIDE = 84
STEPS = 200


class Noise(gymnasium.Env[NDArray[np.uint8], int]):
    """Grey noise, or noise in colours; an episode has 200 steps, all rewarded by nothing."""

    def __init__(self, *, colours: bool = True) -> None:
        shape = (SIDE, SIDE, 3) if colours else (SIDE, SIDE)
        self.observation_space = gymnasium.spaces.Box(0, 255, shape, np.uint8)
        self.action_space = gymnasium.spaces.Discrete(2)
        self._step = 0

    def reset(
        self, *, seed: int | None = None, options: dict[str, Any] | None = None
    ) -> tuple[NDArray[np.uint8], dict[str, Any]]:
        """Begin an episode."""
        super().reset(seed=seed)
        self._step = 0
        return self._seen(), {}

    def step(self, action: int) -> tuple[NDArray[np.uint8], float, bool, bool, dict[str, Any]]:
        """Whatever is done, something else is seen."""
        self._step += 1
        return self._seen(), 0.0, False, self._step >= STEPS, {}

    def _seen(self) -> NDArray[np.uint8]:
        shape = self.observation_space.shape
        assert shape is not None
        return self.np_random.integers(0, 256, shape, np.uint8)
