"""Environments that can be rendered, and some that cannot; by `film_envs.py:name`.

Each episode has `steps` steps. A picture has `5 + steps` columns; of these one is lit, and one more
for each step of the episode.
"""

from __future__ import annotations

from typing import Any, ClassVar

import gymnasium
import numpy as np
from gymnasium import spaces

PLAYED: list[str] = []
"""Every step and turn that has been played in this process."""


def drawn(steps: int, width: int) -> np.ndarray:
    picture = np.zeros((6, width, 3), np.uint8)
    picture[:, : steps + 1] = 255
    return picture


class Lit(gymnasium.Env):
    """Of one agent."""

    metadata: ClassVar[dict[str, Any]] = {"render_modes": ["rgb_array"], "render_fps": 20}

    def __init__(self, steps: int = 3, render_mode: str | None = None, fault: str = ""):
        self.observation_space = spaces.Box(0, 1, (2,), np.float32)
        self.action_space = spaces.Discrete(2)
        self.render_mode = render_mode
        self._steps, self._fault = steps, fault
        self._done: int | None = None

    def reset(self, *, seed: int | None = None, options: dict[str, Any] | None = None):
        self._done = 0
        return np.zeros(2, np.float32), {}

    def step(self, action: int):
        PLAYED.append("step")
        self._done += 1
        return np.zeros(2, np.float32), 1.0, self._done == self._steps, False, {}

    def render(self):
        if self.render_mode != "rgb_array":
            return None
        assert self._done is not None, "render() before reset()"
        picture = drawn(self._done, 5 + self._steps)
        if self._fault == "grows" and self._done:
            return np.vstack([picture, picture])
        faults = {"raises": lambda: 1 / 0, "floats": lambda: picture / 255.0, "list": lambda: [1]}
        return faults[self._fault]() if self._fault in faults else picture


def by_keywords(**kwargs: Any) -> Lit:
    return Lit(**kwargs)


def without_mode(steps: int = 3) -> Lit:
    return Lit(steps)


def dark(**kwargs: Any) -> gymnasium.Env:
    """Takes any keyword, but no render mode, and has no picture."""
    if kwargs:
        raise TypeError(f"unknown: {sorted(kwargs)}")
    from tests.envs import Chain

    return Chain()


class Pair:
    """Of two agents that act together (PettingZoo's parallel API)."""

    possible_agents = ("a", "b")

    def __init__(self, render_mode: str | None = None):
        self._lit = Lit(render_mode=render_mode)
        self.metadata = self._lit.metadata
        self.render = self._lit.render

    def observation_space(self, agent: str) -> Any:
        return self._lit.observation_space

    def action_space(self, agent: str) -> Any:
        return self._lit.action_space

    def reset(self, seed: int | None = None, options: Any = None):
        observation, _ = self._lit.reset()
        return dict.fromkeys(self.possible_agents, observation), {}

    def step(self, actions: dict[str, int]):
        told = self._lit.step(0)
        return tuple(dict.fromkeys(self.possible_agents, part) for part in told)


class Turns:
    """Of one agent that takes turns; always ready to be drawn, and has no pace of its own."""

    possible_agents = ("a",)

    def observation_space(self, agent: str) -> Any:
        return spaces.Box(0, 1, (2,), np.float32)

    def action_space(self, agent: str) -> Any:
        return spaces.Discrete(2)

    def reset(self, seed: int | None = None) -> None:
        self._done = 0

    def begin_turn(self) -> None:
        PLAYED.append("turn")

    def pov(self, agent: str) -> np.ndarray:
        return np.zeros(2, np.float32)

    def act(self, agent: str, action: int) -> float:
        return 1.0

    def end_turn(self) -> tuple[bool, bool]:
        self._done += 1
        return False, self._done == 3

    def render(self) -> np.ndarray:
        return drawn(self._done, 8)


class Drawn(Lit):
    """What a step is worth is drawn when it is built, from numpy's global state."""

    def __init__(self, render_mode: str | None = None):
        super().__init__(render_mode=render_mode)
        self._worth = float(np.random.random())

    def step(self, action: int):
        seen, _, *rest = super().step(action)
        return seen, self._worth, *rest
