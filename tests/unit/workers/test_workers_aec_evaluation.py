"""Evaluations of games in which one agent moves at a time: whole games, and what each was paid."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
from gymnasium import spaces

from tests.envs.aec import Moves
from tests.unit.workers.moves import ENV, TEAM, tags
from tuitrain.config.schema import Config
from tuitrain.envs.make import inspect, make_lanes
from tuitrain.workers.build import policies_for
from tuitrain.workers.evaluating.evaluator import Evaluator


def seeing_ones_own_past(act: Any) -> Any:
    def looking(stack: Any, *args: Any) -> Any:
        for frames in stack:
            now, own = tags(frames)[-1], tags(frames)[-1].own
            assert [tag.own for tag in tags(frames)] == [max(0, own - k) for k in (2, 1, 0)]
            assert {tag[:3] for tag in tags(frames)} == {now[:3]}
        return act(stack, *args)

    return looking


def test_an_evaluation_plays_whole_games_and_counts_what_each_agent_was_paid() -> None:
    config = Config.model_validate(
        {
            "run": {"seed": 5},
            "env": ENV | {"kwargs": {"p_leave": 0.05, "masked": True}, "n_frames": 3},
            "policies": {"map": TEAM},
            "learner": {"network_kwargs": {"hidden": [16], "input_scale": 1.0}},
            "eval": {"episodes": 7, "epsilon": 0.5},
        }
    )
    spec = inspect(config.env, config.policies.map)
    policies = policies_for(config, spec, "cpu")
    evaluator = Evaluator(
        config, spec, policies, lambda n: make_lanes(config.env, n, config.policies.map)
    )
    for policy in evaluator.policies.values():
        policy.act = seeing_ones_own_past(policy.act)
    Moves.log.clear()
    by_name = {r.policy: r for r in evaluator.evaluate(1, lambda: None)}
    evaluator.close()
    games = {key[:2] for key in Moves.log if key[1] == 0}
    assert len(games) == 7
    for policy, agents in (("team", "ac"), ("b", "b")):
        means = []
        for instance, game in games:
            pasts = [Moves.log[instance, game, agent] for agent in agents]
            # in these games everybody who stays until its turn is paid something before it
            means.append(
                [sum(past.paid, past.before) for past in pasts if past.actions or past.before]
            )
        means = [np.mean(of) for of in means if of]
        assert by_name[policy].episodes == len(means)
        assert by_name[policy].return_mean == pytest.approx(np.mean(means))
    longest = [max(len(Moves.log[*key, a].actions) for a in "abc") for key in games]
    assert by_name["b"].length_mean == pytest.approx(np.mean(longest), abs=0.5)


class Dealt:
    """One player; the game numbered k has `moves[k]` moves, and then pays k + 1.

    One of 0 moves is over before the player's first turn, and pays it all the same.
    """

    possible_agents = ("player",)

    def __init__(self, moves: tuple[int, ...]) -> None:
        self._moves = moves

    def observation_space(self, agent: str) -> spaces.Box:
        return spaces.Box(0, 1, (1,), np.float32)

    def action_space(self, agent: str) -> spaces.Discrete:
        return spaces.Discrete(2)

    def reset(self, seed: int | None = None, options: Any = None) -> None:
        self._game = 0 if seed is not None else (self._game + 1) % len(self._moves)
        self._left = self._moves[self._game]
        self.agents, self.agent_selection = ["player"], "player"
        self.truncations = {"player": False}

    @property
    def terminations(self) -> dict[str, bool]:
        return {"player": not self._left}

    def last(self) -> Any:
        paid = 0.0 if self._left else self._game + 1.0
        return np.zeros(1, np.float32), paid, not self._left, False, {}

    def step(self, action: int | None) -> None:
        if action is None:
            self.agents = []
        else:
            self._left -= 1


@pytest.mark.parametrize("moves", [(0,), (0, 0, 2), (1, 0, 3, 0, 0), (2, 0, 6, 1)])
def test_games_that_are_over_before_the_first_move_are_games(moves: tuple[int, ...]) -> None:
    longest = 4
    config = Config.model_validate(
        {
            "env": {"id": f"{__file__}:Dealt", "kwargs": {"moves": moves}},
            "eval": {"episodes": 50, "max_episode_steps": longest},
        }
    )
    spec = inspect(config.env)
    policies = policies_for(config, spec, "cpu")
    evaluator = Evaluator(config, spec, policies, lambda n: make_lanes(config.env, n))
    (result,) = evaluator.evaluate(1, lambda: None)
    evaluator.close()
    returns, lengths = [], []
    for env in range(16):
        game = 0
        for _ in range(4 if env < 50 % 16 else 3):
            cut = moves[game] > longest  # unpaid, and the next one is the first after a seed
            returns.append(0.0 if cut else game + 1.0)
            lengths.append(min(moves[game], longest))
            game = 0 if cut else (game + 1) % len(moves)
    assert (result.episodes, result.cut) == (50, sum(returned == 0 for returned in returns))
    assert result.return_mean == pytest.approx(np.mean(returns))
    assert (result.return_min, result.return_max) == (min(returns), max(returns))
    assert result.length_mean == pytest.approx(np.mean(lengths))
