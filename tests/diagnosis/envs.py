"""A small task, and the same with one thing wrong.

Imports gymnasium and numpy only, so that it works as a file outside the repository too.
"""

from __future__ import annotations

import os
import time
from typing import Any

import gymnasium
import numpy as np
from gymnasium import spaces

MOVES = np.array([[0.2, 0.0], [-0.2, 0.0], [0.0, 0.2], [0.0, -0.2]], np.float32)


class Field(gymnasium.Env):
    """A point walks over a square to a goal, in four directions; each step costs a little.

    Observation: float32[4], where it is and where the goal is, in [-1, 1]. Reward 1 at the goal,
    which ends the episode, and -0.01 for every other step. After `limit` steps it is truncated.
    """

    def __init__(self, limit: int = 40) -> None:
        self.limit = limit
        self.observation_space = spaces.Box(-1.0, 1.0, (4,), np.float32)
        self.action_space = spaces.Discrete(4)
        self.at = np.zeros(2, np.float32)
        self.goal = np.zeros(2, np.float32)
        self.steps = 0

    def reset(self, *, seed: int | None = None, options: dict[str, Any] | None = None):
        super().reset(seed=seed)
        self.at = self.np_random.uniform(-1, 1, 2).astype(np.float32)
        self.goal = self.np_random.uniform(-1, 1, 2).astype(np.float32)
        self.steps = 0
        return self.seen(), {}

    def step(self, action: int):
        self.at = np.clip(self.at + MOVES[action], -1, 1)
        self.steps += 1
        there = bool(np.abs(self.at - self.goal).max() < 0.2)
        late = not there and self.steps >= self.limit
        return self.seen(), self.paid(there), there, late, {}

    def seen(self) -> np.ndarray:
        return np.concatenate([self.at, self.goal])

    def paid(self, there: bool) -> float:
        return 1.0 if there else -0.01


class Rich(Field):
    """Every step pays, and the goal pays more."""

    def paid(self, there: bool) -> float:
        return 5.0 if there else 0.5


class Constant(Field):
    """The same is seen at every step."""

    def seen(self) -> np.ndarray:
        return np.full(4, 0.5, np.float32)


class Zero(Field):
    """Nothing is seen at all."""

    def seen(self) -> np.ndarray:
        return np.zeros(4, np.float32)


class Still(Field):
    """What is seen is always what the episode has begun with."""

    first = np.zeros(4, np.float32)

    def seen(self) -> np.ndarray:
        if self.steps == 0:
            self.first = super().seen()
        return self.first


class Faint(Field):
    """What is seen is a hundred thousandth of what it was."""

    def seen(self) -> np.ndarray:
        return (1e-5 * super().seen()).astype(np.float32)


class Huge(Field):
    """Rewards are a million times too large."""

    def paid(self, there: bool) -> float:
        return 1e6 * super().paid(there)


class Unpaid(Field):
    """No step is ever paid."""

    def paid(self, there: bool) -> float:
        return 0.0


class Shuffled(Field):
    """What is done is not what was asked for."""

    def step(self, action: int):
        return super().step(int(self.np_random.integers(4)))


class NeverReset(Field):
    """An episode begins where the one before has ended."""

    def reset(self, *, seed: int | None = None, options: dict[str, Any] | None = None):
        if seed is not None:
            return super().reset(seed=seed)
        self.steps = 0
        return self.seen(), {}


class Adrift(gymnasium.Wrapper):
    """CartPole that falls once and for ever: after its first reset it goes on from where it was."""

    def __init__(self) -> None:
        super().__init__(gymnasium.make("CartPole-v1").unwrapped)
        self.last: np.ndarray | None = None

    def reset(self, *, seed: int | None = None, options: dict[str, Any] | None = None):
        if self.last is None:
            return self.env.reset(seed=seed)
        return self.last, {}

    def step(self, action: int):
        self.last, *more = self.env.step(action)
        return self.last, *more


class SeldomReset(Field):
    """One reset in four leaves the point where it was, with a new goal."""

    def reset(self, *, seed: int | None = None, options: dict[str, Any] | None = None):
        at = self.at
        super().reset(seed=seed)
        if seed is None and self.np_random.random() < 0.25:
            self.at = at
        return self.seen(), {}


class EndsAreCuts(Field):
    """Done flags, wrong: the goal is told as a time limit, so that its value is bootstrapped."""

    def step(self, action: int):
        seen, paid, there, late, info = super().step(action)
        return seen, paid, False, there or late, info


class Swapped(gymnasium.Env):
    """Goes on while the lamp that is lit is pressed, and the two flags of an end are swapped.

    By chance nobody gets to the limit; who has learned it does. Each right one is paid 1.
    """

    def __init__(self, limit: int = 40) -> None:
        self.limit = limit
        self.observation_space = spaces.Box(0.0, 1.0, (2,), np.float32)
        self.action_space = spaces.Discrete(2)
        self.lit = self.steps = 0

    def reset(self, *, seed: int | None = None, options: dict[str, Any] | None = None):
        super().reset(seed=seed)
        self.steps = 0
        return self.lamps(), {}

    def step(self, action: int):
        over = bool(action != self.lit)
        self.steps += 1
        late = not over and self.steps >= self.limit
        return self.lamps(), float(not over), late, over, {}

    def lamps(self) -> np.ndarray:
        self.lit = int(self.np_random.integers(2))
        return np.eye(2, dtype=np.float32)[self.lit]


class CountsOn(Field):
    """A reset forgets to count anew, so that all after the first time limit are cut at once."""

    def reset(self, *, seed: int | None = None, options: dict[str, Any] | None = None):
        steps = self.steps
        super().reset(seed=seed)
        self.steps = steps
        return self.seen(), {}


class Mirrored(Field):
    """With `mirrored`, other dynamics: every action does what its opposite was to do."""

    def __init__(self, limit: int = 40, mirrored: bool = False) -> None:
        super().__init__(limit)
        self.mirrored = mirrored

    def step(self, action: int):
        return super().step(action ^ self.mirrored)


class Elsewhere(Field):
    """With `evaluating`, another game: everything lies in another corner, and pays otherwise."""

    def __init__(self, limit: int = 40, evaluating: bool = False) -> None:
        super().__init__(limit)
        self.evaluating = evaluating

    def reset(self, *, seed: int | None = None, options: dict[str, Any] | None = None):
        super().reset(seed=seed)
        if self.evaluating:
            self.at, self.goal = 0.1 * self.at + 0.5, 0.1 * self.goal - 0.9
        return self.seen(), {}


class Dies(Field):
    """Ends its process after so many steps of its own, without a word."""

    def __init__(self, after: int = 300, limit: int = 40) -> None:
        super().__init__(limit)
        self.left = after

    def step(self, action: int):
        self.left -= 1
        if self.left < 0:
            os._exit(7)
        return super().step(action)


class Slow(Field):
    """Every step takes `seconds`."""

    def __init__(self, seconds: float, limit: int = 40) -> None:
        super().__init__(limit)
        self.seconds = seconds

    def step(self, action: int):
        time.sleep(self.seconds)
        return super().step(action)


class Blocks(Field):
    """The step after `after` others takes `seconds`."""

    def __init__(self, after: int, seconds: float, limit: int = 40) -> None:
        super().__init__(limit)
        self.left, self.seconds = after, seconds

    def step(self, action: int):
        self.left -= 1
        if self.left == 0:
            time.sleep(self.seconds)
        return super().step(action)


class SeldomThere:
    """Of two agents the second is never there, so its policy never learns."""

    possible_agents = ("always", "never")

    def __init__(self, limit: int = 40) -> None:
        self.field = Field(limit)
        self.agents: list[str] = []

    def observation_space(self, agent: str) -> spaces.Space:
        return self.field.observation_space

    def action_space(self, agent: str) -> spaces.Space:
        return self.field.action_space

    def reset(self, seed: int | None = None, options: dict[str, Any] | None = None):
        self.agents = ["always"]
        seen, _ = self.field.reset(seed=seed)
        return {"always": seen}, {"always": {}}

    def step(self, actions: dict[str, int]):
        seen, paid, there, late, _ = self.field.step(actions["always"])
        if there or late:
            self.agents = []
        return (
            {"always": seen},
            {"always": paid},
            {"always": there},
            {"always": late},
            {"always": {}},
        )

    def close(self) -> None:
        pass
