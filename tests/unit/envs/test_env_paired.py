"""What another setting does to a game is told from what seeds, copies and chance do."""

from __future__ import annotations

import itertools
from collections.abc import Callable
from typing import Any

import gymnasium
import numpy as np
import pytest
from gymnasium import spaces

from tests.envs import TwoPolicies
from tuitrain.config.schema import EnvConfig
from tuitrain.envs.lanes.vector import GymLanes
from tuitrain.envs.paired import MAX_STEPS, Paired, paired
from tuitrain.envs.plays import different
from tuitrain.loading import load_object

HERE = "tests.unit.envs.test_env_paired"


class Walk(gymnasium.Env):
    """Left or right from the middle, by steps that chance makes longer.

    Args:
        drift: added to every step.
        pay: for every step.
        limit: steps until it is truncated.
        unseeded: how likely chance is another one than the seed's, in every step.
        odd: which of all copies ever built begins elsewhere.
    """

    built = 0

    def __init__(
        self,
        drift: float = 0.0,
        pay: float = 1.0,
        limit: int = 20,
        unseeded: float = 0.0,
        odd: int = 0,
    ) -> None:
        type(self).built += 1
        self.observation_space = spaces.Box(-np.inf, np.inf, (2,), np.float32)
        self.action_space = spaces.Discrete(2)
        self._drift, self._pay, self._limit, self._unseeded = drift, pay, limit, unseeded
        self._odd = type(self).built == odd
        self._chance = np.random.default_rng()

    def reset(self, *, seed: int | None = None, options: Any = None) -> Any:
        super().reset(seed=seed)
        self._at, self._steps = float(self._odd), 0
        return self._seen(), {}

    def step(self, action: int) -> Any:
        self._steps += 1
        self._at += (2 * action - 1) * self.np_random.random() + self._drift
        if self._chance.random() < self._unseeded:
            self._at += 1.0
        return self._seen(), self._pay, False, self._steps >= self._limit, {}

    def _seen(self) -> Any:
        return np.array([self._at, self._steps], np.float32)


class Paying(TwoPolicies):
    """Of several agents; `more` is paid to everybody."""

    def __init__(self, more: float = 0.0) -> None:
        super().__init__()
        self._more = more

    def step(self, actions: Any) -> Any:
        seen, paid, *rest = super().step(actions)
        return seen, {agent: value + self._more for agent, value in paid.items()}, *rest


@pytest.fixture(autouse=True)
def walks() -> Any:
    """The class as it is loaded by name, of which none has been built."""
    loaded = load_object(f"{HERE}:Walk")
    loaded.built = 0
    return loaded


def compared(
    other: dict[str, Any], clock: Callable[[], float] = lambda: 0.0, name: str = f"{HERE}:Walk"
) -> Paired | None:
    env = EnvConfig(id=name, kwargs={}, eval_kwargs=other)
    return paired(env, env.of_evaluations, clock=clock)


@pytest.mark.parametrize(
    ("env_id", "other"),
    [
        (f"{HERE}:Walk", {"drift": 0.0}),
        (f"{HERE}:Paying", {"more": 0.0}),
        ("CartPole-v1", {"render_mode": "rgb_array"}),
        ("tests.envs:Relay", {}),
        ("tests.envs:GlobalRandomEnv", {}),
        ("tests.envs.aec:TicTacToe", {}),
    ],
)
def test_the_same_is_told_as_the_same(env_id: str, other: dict[str, Any]) -> None:
    assert compared(other, name=env_id) == Paired(MAX_STEPS)


@pytest.mark.parametrize(
    ("name", "other", "step", "what", "paid"),
    [
        ("Walk", {"drift": 1e-3}, 1, "observation", False),
        ("Walk", {"limit": 7}, 7, "truncated False and True", False),
        ("Walk", {"pay": 2.0}, 1, "reward 1 and 2", True),
        # what is seen says more than what is paid, though that comes first
        ("Walk", {"pay": 2.0, "limit": 7}, 7, "truncated", False),
        ("Paying", {"more": 0.5}, 1, ": reward", True),
    ],
)
def test_what_is_different_is_named(
    name: str, other: dict[str, Any], step: int, what: str, paid: bool
) -> None:
    found = compared(other, name=f"{HERE}:{name}")
    assert found is not None
    assert (found.step, found.paid) == (step, paid)
    assert what in found.what
    assert "default" not in found.what, "the only policy's name reads as if it were a default"


def test_numbers_are_told_as_short_as_they_differ_and_shapes_as_they_are() -> None:
    def told(one: Any, other: Any) -> str:
        return different([("x", np.array(one))], [("x", np.array(other))])

    assert told(np.float32([-0.02]), np.float32([0.0])) == "x -0.02 and 0"
    assert told([0.1], [0.1 + 1e-12]) == "x 0.1 and 0.10000000000100001"
    assert told([[1, 2]], [[1, 2, 3]]) == "x of shape (1, 2) and (1, 3)"


@pytest.mark.parametrize(("pay", "signs"), [(0.5, True), (0.0, False), (-1.0, False)])
def test_rewards_of_another_size_are_told_from_others(pay: float, signs: bool) -> None:
    found = compared({"pay": pay})
    assert found is not None
    assert (found.paid, found.signs) == (True, signs)
    also = compared({"pay": pay, "drift": 1.0})
    assert also is not None
    assert not also.signs, "more than rewards"


@pytest.mark.parametrize("unseeded", [0.5, 0.05])
def test_of_chance_without_a_seed_nothing_is_said(unseeded: float) -> None:
    env = EnvConfig(id=f"{HERE}:Walk", kwargs={"unseeded": unseeded}, eval_kwargs={"drift": 1.0})
    assert paired(env, env.of_evaluations, clock=lambda: 0.0) is None


@pytest.mark.parametrize("odd", [1, 2, 3, 4])
def test_a_copy_that_is_otherwise_is_no_setting(odd: int, walks: Any) -> None:
    """▣ Whichever of the four it is, by chance or by how many there were before."""
    env = EnvConfig(id=f"{HERE}:Walk", kwargs={"odd": odd}, eval_kwargs={"pay": 1.0})
    assert paired(env, env.of_evaluations, clock=lambda: 0.0) is None
    assert walks.built == 4


def test_a_slow_environment_takes_few_steps() -> None:
    seconds = itertools.count(0, 0.1)
    found = compared({"drift": 0.0}, lambda: next(seconds))
    assert found is not None
    assert found.step is None
    assert 1 <= found.steps <= 4


def test_all_are_closed(monkeypatch: pytest.MonkeyPatch, walks: Any) -> None:
    closed: list[object] = []
    monkeypatch.setattr(GymLanes, "close", lambda lanes: closed.append(lanes))
    compared({"drift": 1.0})
    assert len(closed) == 4
    monkeypatch.setattr(walks, "step", lambda *given: 1 / 0)
    with pytest.raises(ZeroDivisionError):
        compared({"drift": 1.0})
    assert len(closed) == 5
