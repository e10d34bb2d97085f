"""Evaluations count episodes, not agents."""

from __future__ import annotations

from types import SimpleNamespace
from typing import Any

import gymnasium
import numpy as np
import pytest
from gymnasium import spaces

from tuitrain.config.schema import Config
from tuitrain.envs.make import inspect, make_lanes
from tuitrain.learning.weights import Published
from tuitrain.loading import load_object
from tuitrain.metrics.counters import Counters
from tuitrain.schedules.evaluation import run_evaluation
from tuitrain.workers.build import policies_for
from tuitrain.workers.evaluating.evaluator import Evaluator


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


@pytest.mark.parametrize("ends", [True, False])
def test_how_far_an_evaluation_is_can_be_seen_while_it_goes_on(ends: bool) -> None:
    """Who trains in the same process does nothing else: where nothing ends, that must be told."""
    evaluator = evaluator_of(
        {
            "env": {"id": SHORT_AND_LONG, "kwargs": {"ends": ends}},
            "eval": {"episodes": 4, "max_episode_steps": 30},
        }
    )
    seen: list[tuple[float, float]] = []
    counters = Counters()
    values = counters.values
    evaluator.held["default"] = Published(1, 0, 0, 0.0)
    link: Any = SimpleNamespace(
        counters=counters,
        record=lambda _: None,
        advance=lambda: seen.append((values["eval_rows"], values["eval_over"])),
    )
    best: Any = SimpleNamespace(consider=lambda *_: None)
    run_evaluation(evaluator, best, link, 1, 0)
    evaluator.close()
    assert [rows for rows, _ in seen] == list(range(1, len(seen) + 1))
    assert [over for _, over in (seen[0], seen[-1])] == ([0, 4] if ends else [0, 0])
    assert len(seen) >= (2 if ends else 30)
    assert values["eval_rows"] == 0, "over"


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


class Leaves:
    """Of two agents that act together; `a` goes after 2 steps, `b` after 4. A step is worth 1."""

    possible_agents = ("a", "b")

    def observation_space(self, agent: str) -> spaces.Box:
        return spaces.Box(0, 1, (1,), np.float32)

    def action_space(self, agent: str) -> spaces.Discrete:
        return spaces.Discrete(2)

    def reset(self, seed: int | None = None, options: Any = None) -> Any:
        self._steps, self.agents = 0, ["a", "b"]
        return {agent: np.zeros(1, np.float32) for agent in self.agents}, {}

    def step(self, actions: dict[str, int]) -> Any:
        self._steps += 1
        told = self.agents
        ends = {agent: self._steps == {"a": 2, "b": 4}[agent] for agent in told}
        self.agents = [agent for agent in told if not ends[agent]]
        seen = {agent: np.zeros(1, np.float32) for agent in told}
        return seen, dict.fromkeys(told, 1.0), ends, dict.fromkeys(told, False), {}


def test_an_episode_ends_once_when_the_last_agent_has_gone() -> None:
    evaluator = evaluator_of({"env": {"id": f"{__file__}:Leaves"}, "eval": {"episodes": 40}})
    a, b = evaluator.evaluate(1, lambda: None)
    evaluator.close()
    for result, returned in ((a, 2.0), (b, 4.0)):
        assert (result.episodes, result.return_min, result.return_max) == (40, returned, returned)
        assert (result.length_mean, result.cut) == (4, 0)


class OneWay(gymnasium.Env):
    """Looks always the same, so a network always prefers one action; another is legal each time."""

    observation_space = spaces.Box(0, 1, (1,), np.float32)
    action_space = spaces.Discrete(3)

    def reset(self, *, seed: int | None = None, options: Any = None) -> Any:
        self._steps = 0
        return self._told()

    def step(self, action: int) -> Any:
        assert action == self._steps % 3, "not legal"
        self._steps += 1
        seen, info = self._told()
        return seen, 1.0, self._steps == 6, False, info

    def _told(self) -> Any:
        return np.zeros(1, np.float32), {"action_mask": np.arange(3) == self._steps % 3}


class OneWayTurns:
    """The same of two agents in turn; what is legal for one is not for the other."""

    possible_agents = ("a", "b")

    def observation_space(self, agent: str) -> spaces.Box:
        return spaces.Box(0, 1, (1,), np.float32)

    def action_space(self, agent: str) -> spaces.Discrete:
        return spaces.Discrete(3)

    def reset(self, seed: int | None = None) -> None:
        self._turn = 0

    def begin_turn(self) -> None:
        pass

    def pov(self, agent: str) -> Any:
        return np.zeros(1, np.float32)

    def legal(self, agent: str) -> Any:
        return np.arange(3) == (self._turn + "ab".index(agent)) % 3

    def act(self, agent: str, action: int) -> float:
        assert self.legal(agent)[action], "not legal"
        return 1.0

    def end_turn(self) -> tuple[bool, bool]:
        self._turn += 1
        return self._turn == 6, False


@pytest.mark.parametrize("name", ["OneWay", "OneWayTurns"])
def test_only_what_is_legal_is_done(name: str) -> None:
    evaluator = evaluator_of(
        {
            "env": {"id": f"{__file__}:{name}"},
            "policies": {"map": "shared"} if name == "OneWayTurns" else {},
            "eval": {"episodes": 20},
        }
    )
    (result,) = evaluator.evaluate(1, lambda: None)
    evaluator.close()
    assert (result.episodes, result.return_min, result.return_max) == (20, 6.0, 6.0)
