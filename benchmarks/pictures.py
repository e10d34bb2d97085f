"""Worlds that show noise and cost next to nothing, so that all else weighs as much as it can."""

from __future__ import annotations

from typing import Any

import gymnasium
import numpy as np

PICTURES = 64
STEPS = 200


class Noise(gymnasium.Env[Any, Any]):
    """One picture of a few after the other; an episode has 200 steps.

    Args:
        shape: of a picture.
        pays: the first action is rewarded; else nothing depends on what is done.
    """

    action_space = gymnasium.spaces.Discrete(6)

    def __init__(self, shape: tuple[int, ...] = (84, 84), pays: bool = True) -> None:
        self.observation_space = gymnasium.spaces.Box(0, 255, tuple(shape), np.uint8)
        pictures = np.random.default_rng(0).integers(0, 256, (PICTURES, *shape), np.uint8)
        self._pictures, self._pays = pictures, pays
        self._shown = self._step = 0

    def reset(self, *, seed: int | None = None, options: Any = None) -> tuple[Any, dict[str, Any]]:
        """See gymnasium."""
        super().reset(seed=seed)
        self._shown += 1
        return self._pictures[self._shown % PICTURES], {}

    def step(self, action: Any) -> tuple[Any, float, bool, bool, dict[str, Any]]:
        """See gymnasium."""
        self._shown += 1
        self._step += 1
        seen, reward = self._pictures[self._shown % PICTURES], float(self._pays and action == 0)
        return seen, reward, self._step % STEPS == 0, False, {}
