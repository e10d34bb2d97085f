"""Environments with a known optimum that is learned in seconds.

Imports gymnasium and numpy only, so that it works as a file outside the repository too.
"""

from __future__ import annotations

from typing import Any, ClassVar

import gymnasium
import numpy as np
from gymnasium import spaces


class Chain(gymnasium.Env):
    """Walk right along `length` cells; the last one ends the episode with reward 1.

    Observation: one-hot float32[length]. Actions: 0 left, 1 right. Every other step costs
    `step_cost`; after `max_steps` (default 4 × length) the episode is truncated.
    """

    def __init__(self, length: int = 6, step_cost: float = 0.1, max_steps: int | None = None):
        self.length = length
        self.step_cost = step_cost
        self.max_steps = 4 * length if max_steps is None else max_steps
        self.observation_space = spaces.Box(0.0, 1.0, (length,), np.float32)
        self.action_space = spaces.Discrete(2)
        self._cell = 0
        self._steps = 0

    def reset(self, *, seed: int | None = None, options: dict[str, Any] | None = None):
        super().reset(seed=seed)
        self._cell = 0
        self._steps = 0
        return self._observe(), {}

    def step(self, action: int):
        self._cell = max(0, self._cell - 1) if action == 0 else self._cell + 1
        self._steps += 1
        terminated = self._cell == self.length - 1
        truncated = not terminated and self._steps >= self.max_steps
        return self._observe(), 1.0 if terminated else -self.step_cost, terminated, truncated, {}

    def _observe(self) -> np.ndarray:
        observation = np.zeros(self.length, np.float32)
        observation[self._cell] = 1.0
        return observation


class Catch(gymnasium.Env):
    """A ball falls one row a step; the paddle on the last row must be under it. Optimum 1.

    Observation: uint8 image, 255 for ball and paddle; `layout` is "HW", "HWC" or "CHW" with
    `channels` equal planes. Actions: left, stay, right. Reward 1 or -1 at the end, `size` - 1
    steps.
    """

    def __init__(self, size: int = 8, layout: str = "HW", channels: int = 1):
        self.size = size
        self.layout = layout
        self.channels = channels
        shape = {
            "HW": (size, size),
            "HWC": (size, size, channels),
            "CHW": (channels, size, size),
        }[layout]
        self.observation_space = spaces.Box(0, 255, shape, np.uint8)
        self.action_space = spaces.Discrete(3)
        self._row = self._column = self._paddle = 0

    def reset(self, *, seed: int | None = None, options: dict[str, Any] | None = None):
        super().reset(seed=seed)
        self._row = 0
        self._column = int(self.np_random.integers(self.size))
        self._paddle = self.size // 2
        return self._observe(), {}

    def step(self, action: int):
        self._paddle = min(max(self._paddle + int(action) - 1, 0), self.size - 1)
        self._row += 1
        over = self._row == self.size - 1
        reward = 0.0 if not over else (1.0 if self._paddle == self._column else -1.0)
        return self._observe(), reward, over, False, {}

    def _observe(self) -> np.ndarray:
        image = np.zeros((self.size, self.size), np.uint8)
        image[self._row, self._column] = 255
        image[self.size - 1, self._paddle] = 255
        if self.layout == "HWC":
            return np.repeat(image[:, :, None], self.channels, axis=2)
        if self.layout == "CHW":
            return np.repeat(image[None], self.channels, axis=0)
        return image


class TwoPolicies:
    """Two agents that differ in everything; each is paid 1 for naming the target it sees.

    `scout` sees float32[3] (one-hot) and has 3 actions; `digger` sees uint8[4, 4] (one bright
    quarter of two: left or right half) and has 2. Episodes are truncated after `length` steps, or
    terminated with chance `p_terminate`, always together. Optimum: 1 per step and agent.
    """

    metadata: ClassVar[dict[str, Any]] = {"name": "two_policies"}
    possible_agents = ("scout", "digger")

    def __init__(self, length: int = 10, p_terminate: float = 0.0):
        self.length = length
        self.p_terminate = p_terminate
        self.agents: list[str] = []
        self._rng = np.random.default_rng()
        self._targets = {"scout": 0, "digger": 0}
        self._steps = 0

    def observation_space(self, agent: str) -> spaces.Space:
        if agent == "scout":
            return spaces.Box(0.0, 1.0, (3,), np.float32)
        return spaces.Box(0, 255, (4, 4), np.uint8)

    def action_space(self, agent: str) -> spaces.Discrete:
        return spaces.Discrete(3 if agent == "scout" else 2)

    def reset(self, seed: int | None = None, options: dict[str, Any] | None = None):
        if seed is not None:
            self._rng = np.random.default_rng(seed)
        self.agents = list(self.possible_agents)
        self._steps = 0
        return self._observe(), {agent: {} for agent in self.agents}

    def step(self, actions: dict[str, int]):
        rewards = {a: float(actions[a] == self._targets[a]) for a in self.possible_agents}
        self._steps += 1
        terminated = bool(self._rng.random() < self.p_terminate)
        truncated = not terminated and self._steps >= self.length
        infos: dict[str, dict[str, Any]] = {a: {} for a in self.possible_agents}
        if terminated or truncated:
            self.agents = []
        return (
            self._observe(),
            rewards,
            dict.fromkeys(self.possible_agents, terminated),
            dict.fromkeys(self.possible_agents, truncated),
            infos,
        )

    def close(self) -> None:
        pass

    def _observe(self) -> dict[str, np.ndarray]:
        self._targets = {"scout": int(self._rng.integers(3)), "digger": int(self._rng.integers(2))}
        scout = np.zeros(3, np.float32)
        scout[self._targets["scout"]] = 1.0
        digger = np.zeros((4, 4), np.uint8)
        digger[:, 2 * self._targets["digger"] : 2 * self._targets["digger"] + 2] = 255
        return {"scout": scout, "digger": digger}


class Relay:
    """`caller` sees a target and is paid 1 for naming it; `answerer` for repeating what it named.

    They take turns, so the answerer sees the call of the same turn. Observations: float32[4],
    one-hot. An episode is cut after `turns`. Optimum: 1 per turn and agent.

    Args:
        early: the answerer sees the world as it was when the turn began, and cannot know.
    """

    possible_agents = ("caller", "answerer")

    def __init__(self, turns: int = 8, early: bool = False):
        self.turns = turns
        self.early = early
        self._rng = np.random.default_rng()
        self._turn = self._target = self._called = self._called_before = 0

    def observation_space(self, agent: str) -> spaces.Box:
        return spaces.Box(0.0, 1.0, (4,), np.float32)

    def action_space(self, agent: str) -> spaces.Discrete:
        return spaces.Discrete(4)

    def reset(self, seed: int | None = None) -> None:
        if seed is not None:
            self._rng = np.random.default_rng(seed)
        self._turn = self._called = 0

    def begin_turn(self) -> None:
        self._target = int(self._rng.integers(4))
        self._called_before = self._called

    def pov(self, agent: str) -> np.ndarray:
        answers = self._called_before if self.early else self._called
        view = np.zeros(4, np.float32)
        view[self._target if agent == "caller" else answers] = 1.0
        return view

    def act(self, agent: str, action: int) -> float:
        if agent == "caller":
            self._called = action
            return float(action == self._target)
        return float(action == self._called)

    def end_turn(self) -> tuple[bool, bool]:
        self._turn += 1
        return False, self._turn == self.turns
