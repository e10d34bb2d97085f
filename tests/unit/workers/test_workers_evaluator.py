"""Evaluations count episodes, not agents."""

from __future__ import annotations

from typing import Any

import gymnasium
import numpy as np
import pytest
from gymnasium import spaces

from tuitrain.config.schema import Config
from tuitrain.envs.make import inspect, make_lanes
from tuitrain.loading import load_object
from tuitrain.workers.build import policies_for
from tuitrain.workers.evaluator import Evaluator


def test_agents_that_share_a_policy_play_one_episode_together() -> None:
    given: dict[str, Any] = {
        "env": {
            "id": "tests.envs:SequenceAgents",
        },
        "policies": {"map": {"*": "team"}},
        "eval": {"episodes": 6},
    }
    config = Config.model_validate(given)
    spec = inspect(config.env, config.policies.map)
    assert len(spec.policies["team"].agents) == 3
    policies = policies_for(config, spec, "cpu")
    evaluator = Evaluator(
        config, spec, policies, lambda n: make_lanes(config.env, n, config.policies.map, told=spec)
    )
    (result,) = evaluator.evaluate(1, lambda: None)
    assert result.episodes == 6
    evaluator.close()


def evaluator_of(tables: dict[str, Any]) -> Evaluator:
    config = Config.model_validate(tables)
    spec = inspect(config.env, config.policies.map)
    policies = policies_for(config, spec, "cpu")
    return Evaluator(
        config, spec, policies, lambda n: make_lanes(config.env, n, config.policies.map, told=spec)
    )


SHORT_AND_LONG = f"{__file__}:ShortAndLong"


class ShortAndLong(gymnasium.Env):
    """Every second episode is of 2 steps, the others of 10; a step is worth 1."""

    def __init__(self, ends: bool = True) -> None:
        self.observation_space = spaces.Box(0, 1, (1,), np.float32)
        self.action_space = spaces.Discrete(2)
        self._episodes, self._ends = 0, ends

    def reset(self, *, seed: int | None = None, options: Any = None) -> Any:
        BEGUN.append(seed)
        self._episodes += 1
        self._steps = 0
        return np.zeros(1, np.float32), {}

    def step(self, action: int) -> Any:
        self._steps += 1
        over = self._ends and self._steps == (2 if self._episodes % 2 else 10)
        return np.zeros(1, np.float32), 1.0, over, False, {}


BEGUN: list[int | None] = []
"""Seeds of all episodes that have begun."""


def begun() -> list[int | None]:
    """Of the module as the environment's reference loads it."""
    found: list[int | None] = load_object(f"{__file__}:BEGUN")
    return found


@pytest.mark.parametrize("episodes", [2, 5, 16, 20, 50])
def test_a_cut_episode_is_one_with_its_return_so_far_and_others_follow(episodes: int) -> None:
    """Of n environments; each first ends an episode of 2 steps, then has one cut after 4."""
    evaluator = evaluator_of(
        {
            "env": {"id": SHORT_AND_LONG},
            "eval": {"episodes": episodes, "max_episode_steps": 4},
        }
    )
    (result,) = evaluator.evaluate(1, lambda: None)
    rounds = [(episodes + 15 - env) // 16 for env in range(16)]
    # after a cut the next one is short again: begun, ended, begun, cut, begun, ...
    short, cut = sum((n + 1) // 2 for n in rounds), sum(n // 2 for n in rounds)
    assert (result.episodes, result.cut) == (episodes, cut)
    assert result.return_mean == pytest.approx((2 * short + 4 * cut) / episodes)
    assert result.length_mean == pytest.approx(result.return_mean)
    evaluator.close()


def test_episodes_that_never_end_are_all_cut_and_begin_with_new_seeds() -> None:
    evaluator = evaluator_of(
        {
            "env": {"id": SHORT_AND_LONG, "kwargs": {"ends": False}},
            "eval": {"episodes": 40, "max_episode_steps": 5},
        }
    )
    begun().clear()
    ticks: list[int] = []
    (result,) = evaluator.evaluate(1, lambda: ticks.append(1))
    assert (result.episodes, result.cut, result.return_mean, result.return_max) == (40, 40, 5, 5)
    assert len(ticks) == 3 * (1 + 5), "no step more than is needed"
    seeds = list(begun())
    assert len(seeds) == len(set(seeds)) == 3 * 16
    begun().clear()
    evaluator.evaluate(1, lambda: None)
    assert begun() == seeds, "the same evaluation again is the same"
    evaluator.close()


def test_what_is_played_after_a_cut_does_not_count() -> None:
    """Half of the environments end after 3 steps, again and again, while the others go on."""
    evaluator = evaluator_of(
        {
            "env": {"id": f"{__file__}:short_or_endless"},
            "eval": {"episodes": 48, "max_episode_steps": 5},
        }
    )
    (result,) = evaluator.evaluate(1, lambda: None)
    assert (result.episodes, result.cut) == (48, 24)
    assert (result.return_mean, result.return_max) == (4.0, 5.0)
    evaluator.close()


def short_or_endless() -> gymnasium.Env:
    """In turn."""
    MADE.append(1)
    env = ShortAndLong(ends=False)
    return env if len(MADE) % 2 else gymnasium.wrappers.TimeLimit(env, 3)


MADE: list[int] = []


def test_where_nothing_is_cut_nothing_begins_anew() -> None:
    evaluator = evaluator_of({"env": {"id": SHORT_AND_LONG}, "eval": {"episodes": 40}})
    begun().clear()
    (result,) = evaluator.evaluate(1, lambda: None)
    assert (result.episodes, result.cut) == (40, 0)
    assert sum(seed is not None for seed in begun()) == 16
    evaluator.close()
