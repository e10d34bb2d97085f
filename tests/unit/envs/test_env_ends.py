"""Ends of episodes are booleans: a text that says no is not taken for yes."""

from __future__ import annotations

from typing import Any

import gymnasium
import numpy as np
import pytest
from gymnasium import spaces

from tuitrain.envs.lanes.multi_agent import ParallelLanes
from tuitrain.envs.lanes.vector import GymLanes
from tuitrain.envs.spaces import EnvError

SEEN = np.zeros(2, np.float32)


class Alone(gymnasium.Env[Any, Any]):
    observation_space = spaces.Box(-1, 1, (2,), np.float32)
    action_space = spaces.Discrete(2)

    def __init__(self, end: Any):
        self.end = end

    def reset(self, *, seed: int | None = None, options: Any = None) -> Any:
        return SEEN, {}

    def step(self, action: Any) -> Any:
        return SEEN, 0.0, False, self.end, {}


class Several:
    possible_agents = ("a", "b")

    def __init__(self, end: Any):
        self.end = end

    def observation_space(self, agent: str) -> Any:
        return Alone.observation_space

    def action_space(self, agent: str) -> Any:
        return Alone.action_space

    def reset(self, seed: int | None = None, options: Any = None) -> Any:
        return dict.fromkeys("ab", SEEN), {}

    def step(self, actions: Any) -> Any:
        none, ends = dict.fromkeys("ab", False), dict.fromkeys("ab", self.end)
        return dict.fromkeys("ab", SEEN), dict.fromkeys("ab", 0.0), none, ends, {}


def lanes(kind: str, end: Any) -> Any:
    if kind == "alone":
        return GymLanes([lambda: Alone(end)], "x", 1)
    return ParallelLanes([lambda: Several(end)], "x", 1, "each")


def step(kind: str, end: Any) -> Any:
    made = lanes(kind, end)
    made.reset([7])
    return made.step({name: np.zeros(1, np.int64) for name in made.spec.policies})


@pytest.mark.parametrize("kind", ["alone", "several"])
@pytest.mark.parametrize("end", ["no", float("nan"), 2], ids=str)
def test_what_is_no_boolean_is_refused(kind: str, end: Any) -> None:
    with pytest.raises(EnvError, match=rf"'x'.*step\(\).*trunca.* is {end!r}, neither True nor"):
        step(kind, end)


@pytest.mark.parametrize("kind", ["alone", "several"])
@pytest.mark.parametrize("end", [np.True_, 1, np.int8(1), np.float32(1)], ids=repr)
def test_what_is_as_good_as_one_is_taken(kind: str, end: Any) -> None:
    assert all(told.truncated.all() for told in step(kind, end).values())
