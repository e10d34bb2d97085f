"""Lanes that save their state: what comes after it is the same, to the last bit."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest

from tuitrain.config.schema import EnvConfig
from tuitrain.envs.leaves import plain_copy
from tuitrain.envs.make import make_lanes
from tuitrain.envs.state import CannotRestore

SINGLE = [
    ("CartPole-v1", {}),
    ("Acrobot-v1", {}),
    ("MountainCar-v0", {}),
    ("FrozenLake-v1", {}),
    ("tests.envs:Catch", {}),
    ("tests.envs:Chain", {}),
    ("tests.envs:SequenceEnv", {"image": True}),
]


def lanes_of(name: str, kwargs: dict[str, Any], seeds: list[int]) -> Any:
    lanes = make_lanes(EnvConfig(id=name, kwargs=kwargs), len(seeds))
    lanes.reset(seeds)
    return lanes


@pytest.mark.parametrize(("name", "kwargs"), SINGLE)
@pytest.mark.parametrize("before", [1, 40])
def test_what_follows_a_restored_state_is_the_same(
    name: str, kwargs: dict[str, Any], before: int
) -> None:
    first, second = lanes_of(name, kwargs, [1, 2, 3]), lanes_of(name, kwargs, [4, 5, 6])
    rng = np.random.default_rng(0)
    n_actions = first.spec.policies["default"].n_actions

    def actions() -> dict[str, Any]:
        return {"default": rng.integers(0, n_actions, 3)}

    for _ in range(before):
        first.step(actions())
    second.restore(plain_copy(first.state()))
    for _ in range(300):
        given = actions()
        ours, theirs = first.step(given)["default"], second.step(given)["default"]
        for one, other in zip(ours.arrays(), theirs.arrays(), strict=True):
            assert one.tobytes() == other.tobytes()


def test_a_state_of_other_lanes_is_refused() -> None:
    two, three = (lanes_of("CartPole-v1", {}, list(range(n))) for n in (2, 3))
    with pytest.raises(CannotRestore, match="the state is of 2 environments, here are 3"):
        three.restore(two.state())
    with pytest.raises(CannotRestore, match="cartpole"):
        lanes_of("Acrobot-v1", {}, [0, 1]).restore(two.state())
