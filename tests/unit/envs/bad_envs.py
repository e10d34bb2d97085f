"""Environments that break the rules, one each. Named by file in test_env_make.py."""

from __future__ import annotations

from typing import Any

import gymnasium
import numpy as np
from gymnasium import spaces


class Configurable(gymnasium.Env):
    """Declares one thing and returns another."""

    def __init__(self, space: spaces.Space, actions: spaces.Space, observation: Any):
        self.observation_space = space
        self.action_space = actions
        self._observation = observation
        self.closed = False

    def reset(self, *, seed: int | None = None, options: dict[str, Any] | None = None):
        return self._observation, {}

    def step(self, action: int):
        return self._observation, 0.0, False, False, {}

    def close(self) -> None:
        self.closed = True


SPACES: dict[str, spaces.Space] = {
    "vector": spaces.Box(-1, 1, (4,), np.float32),
    "image": spaces.Box(0, 255, (3, 8, 8), np.uint8),
    "float64": spaces.Box(-1, 1, (4,), np.float64),
    "bool": spaces.Box(0, 1, (4,), np.bool_),
    "longdouble": spaces.Box(-1, 1, (4,), np.longdouble),
    "int64": spaces.Box(-1, 1, (4,), np.int64),
    "scalar": spaces.Box(-1, 1, (), np.float32),
    "video": spaces.Box(0, 255, (2, 8, 8, 3), np.uint8),
    "empty": spaces.Box(-1, 1, (0,), np.float32),
    "discrete": spaces.Discrete(5),
    "text": spaces.Text(5),
    "dict": spaces.Dict({"a": spaces.Discrete(2), "b": spaces.Tuple((spaces.Text(5),))}),
    "wide": spaces.Dict({"a": spaces.Box(-1, 1, (4,), np.longdouble)}),
    "nothing": spaces.Tuple(()),
    "only_mask": spaces.Dict({"action_mask": spaces.MultiBinary(5)}),
    "from_one": spaces.Discrete(3, start=1),
    "continuous": spaces.Box(-1, 1, (2,), np.float32),
    "many": spaces.MultiDiscrete([2, 2]),
}

OBSERVATIONS: dict[str, Any] = {
    "right": np.zeros(4, np.float32),
    "row": np.zeros((1, 4), np.float32),
    "column": np.zeros((4, 1), np.float32),
    "float64": np.zeros(4, np.float64),
    "bool": np.zeros(4, np.bool_),
    "list": [0.0, 0.0, 0.0, 0.0],
}

built: list[Configurable] = []


def make(space: str = "vector", actions: str = "discrete", observation: str = "right"):
    built.append(Configurable(SPACES[space], SPACES[actions], OBSERVATIONS[observation]))
    return built[-1]


_only = Configurable(SPACES["vector"], SPACES["discrete"], OBSERVATIONS["right"])


def same_every_time():
    return _only


def old_step_api():
    env = make()
    env.step = lambda action: (OBSERVATIONS["right"], 0.0, False, {})
    return env


def pays(reward: Any):
    env = make()
    env.step = lambda action: (OBSERVATIONS["right"], reward, False, False, {})
    return env


def old_reset_api():
    env = make()
    env.reset = lambda **_: OBSERVATIONS["right"]
    return env


_calls = {"n": 0}


def grows():
    _calls["n"] += 1
    space = spaces.Box(-1, 1, (_calls["n"],), np.float32)
    return Configurable(space, SPACES["discrete"], np.zeros(_calls["n"], np.float32))


_shared: list[list[int]] = []


def edits_its_kwargs(items: list[int]):
    _shared.append(items)
    items.append(0)
    if len(items) > 2:
        raise ValueError("somebody else's list")
    return make()


def fails(**kwargs: Any):
    raise OSError("the level file is missing")


def a_vector():
    return gymnasium.make_vec("CartPole-v1", num_envs=2)


def an_aec():
    class Turns:
        possible_agents = ("a",)

        def agent_iter(self) -> None: ...

    return Turns()


def lacks_a_return():
    make()


def a_number():
    return 3


not_callable = 3
