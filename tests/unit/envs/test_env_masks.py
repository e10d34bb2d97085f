"""Legal actions: each mask beside the observation it belongs to, and what is no mask is refused."""

from __future__ import annotations

import random
from typing import Any

import gymnasium
import numpy as np
import pytest
from gymnasium import spaces

from tests.unit.envs.legal import SEEDS, N, legal_at
from tuitrain.config.schema import EnvConfig
from tuitrain.envs.lanes.turns import TurnLanes
from tuitrain.envs.lanes.vector import empty_step
from tuitrain.envs.make import EnvError, inspect, make_lanes


class Masked(gymnasium.Env[Any, Any]):
    """Says what is legal in its infos, or in its observation; ends after 4 steps, by turns.

    Args:
        where: "info" or "observation".
        break_how, break_at: what is wrong with the mask of which step; -1 is the first reset.
        dtype: of the masks.
    """

    action_space = spaces.Discrete(N)

    def __init__(
        self, where: str = "info", break_how: str = "", break_at: int = 0, dtype: str = "int8"
    ):
        self.where, self.break_how, self.break_at = where, break_how, break_at
        self.dtype = dtype
        seen = spaces.Box(0, 99, (2,), np.float32)
        self.observation_space: Any = seen
        if where == "observation":
            mask = spaces.Box(0, 1, (N,), np.dtype(dtype))
            self.observation_space = spaces.Dict({"observation": seen, "action_mask": mask})
        self.episode, self.resets, self.total = -1, 0, 0

    def reset(self, *, seed: int | None = None, options: Any = None) -> Any:
        if seed is not None:
            self.episode = -1
        self.resets += 1
        self.episode += 1
        self.steps = 0
        return self._tell(-1)

    def step(self, action: int) -> Any:
        self.steps += 1
        self.total += 1
        over = self.steps == 4
        ends = over and self.episode % 2 == 0
        observation, info = self._tell(self.total)
        return observation, 0.0, ends, over and not ends, info

    def _tell(self, number: int) -> Any:
        observation: Any = np.array([self.episode, self.steps], np.float32)
        mask: Any = legal_at(self.episode, self.steps).astype(self.dtype)
        if self.steps == 4 and self.episode % 2 == 0:
            mask[:] = 0  # nothing can be done at the end
        if self.break_how and number == self.break_at:
            mask = {
                "none": None,
                "nothing": np.zeros(N, np.int8),
                "long": np.ones(N + 1, np.int8),
                "float": np.ones(N, np.float32),
                "list": [1] * N,
            }[self.break_how]
        if self.where == "info":
            return observation, ({} if mask is None else {"action_mask": mask})
        parts = {"observation": observation}
        return parts | ({} if mask is None else {"action_mask": mask}), {}


def config(name: str = "Masked", **kwargs: Any) -> EnvConfig:
    return EnvConfig(id=f"{__file__}:{name}", kwargs=kwargs)


@pytest.mark.parametrize("in_place", [False, True])
@pytest.mark.parametrize("dtype", ["int8", "bool", "int64"])
@pytest.mark.parametrize("where", ["info", "observation"])
def test_each_row_has_the_mask_of_what_it_observes(where: str, dtype: str, in_place: bool) -> None:
    lanes = make_lanes(config(where=where, dtype=dtype), 2)
    policy = lanes.spec.policies["default"]
    assert (policy.masked, policy.observation_shape) == (True, (2,))
    assert not isinstance(lanes, TurnLanes)
    step = lanes.reset(SEEDS)["default"]
    out = {"default": empty_step(policy, 2)}
    ends = 0
    for k in range(40):
        assert step.legal is not None
        for lane in range(2):
            episode, steps = (int(number) for number in step.observation[lane])
            over = steps == 4 and episode % 2 == 0
            wanted = np.ones(N, bool) if over else legal_at(episode, steps)
            np.testing.assert_array_equal(step.legal[lane], wanted, strict=True)
            ends += over
        for array in out["default"].arrays():
            array.fill(k % 2)  # what a slot of the ring held before
        step = lanes.step({"default": np.zeros(2, np.int64)}, out if in_place else None)["default"]
    assert ends > 5


@pytest.mark.parametrize("where", ["info", "observation"])
@pytest.mark.parametrize(
    ("how", "message"),
    [
        ("none", "no 'action_mask', though there was one before"),
        ("nothing", "no action is legal. A state in which nothing can be done must be a terminal"),
        ("long", r"'action_mask' is an array of shape \(6,\), dtype int8, but there are 5 actions"),
        ("float", r"is an array of shape \(5,\), dtype float32"),
        ("list", "is a list, but there are 5 actions, and a mask is a numpy array of bool"),
    ],
)
@pytest.mark.parametrize("at", [-1, 2, 8], ids=["reset", "step", "cut"])
def test_a_mask_that_is_none_is_refused(where: str, how: str, message: str, at: int) -> None:
    """Also where an episode is cut: that state is bootstrapped from (step 8 ends the second)."""
    call = "reset" if at < 0 else "step"
    # an info's mask that is not there at the first reset is no mask, see below
    told = make_lanes(config(where=where), 1).spec
    lanes = make_lanes(config(where=where, break_how=how, break_at=at), 1, told=told)

    def play() -> None:
        lanes.reset([0])
        for _ in range(9):
            lanes.step({"default": np.zeros(1, np.int64)})

    with pytest.raises(EnvError, match=rf"Masked', {call}\(\): .*{message}"):
        play()


@pytest.mark.parametrize("how", ["none", "nothing", "long"])
def test_what_is_said_of_a_terminal_state_does_not_matter(how: str) -> None:
    lanes = make_lanes(config(break_how=how, break_at=4), 1)
    lanes.reset([0])
    for _ in range(4):
        step = lanes.step({"default": np.zeros(1, np.int64)})["default"]
    assert step.terminated[0]
    assert step.legal is not None
    assert step.legal.all()


class Late(Masked):
    """Says nothing of masks at its first resets."""

    def reset(self, **kwargs: Any) -> Any:
        observation, info = super().reset(**kwargs)
        return observation, info if self.episode >= 1 else {}


def test_masks_that_begin_later_are_refused() -> None:
    lanes = make_lanes(config("Late"), 1)
    assert not any(policy.masked for policy in lanes.spec.policies.values())
    lanes.reset([0])
    with pytest.raises(EnvError, match=r"step\(\): info\['action_mask'\] says which actions"):
        lanes.step({name: np.zeros(1, np.int64) for name in lanes.spec.policies})


def test_who_is_told_what_to_expect_resets_nothing() -> None:
    """And who looks does not touch the global random state."""
    probed = inspect(config())
    before = random.getstate(), np.random.get_state()[1].tolist()
    looked = make_lanes(config("Draws"), 1)
    assert (random.getstate(), np.random.get_state()[1].tolist()) == before
    told = make_lanes(config(), 1, told=probed)
    assert told.spec == probed
    assert [lanes._envs[0].resets for lanes in (looked, told)] == [1, 0]


class Draws(Masked):
    def reset(self, **kwargs: Any) -> Any:
        random.random()
        np.random.random()
        return super().reset(**kwargs)
