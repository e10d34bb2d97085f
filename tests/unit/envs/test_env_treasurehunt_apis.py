"""Treasure hunt under other libraries' APIs: their own checks, and the same game as ours."""

from __future__ import annotations

import warnings
from typing import Any

import gymnasium
import numpy as np
import pytest
from gymnasium.utils.env_checker import check_env

from tuitrain.envs.treasurehunt.world import TreasureHunt

pytest.importorskip("pettingzoo")

with warnings.catch_warnings():
    warnings.simplefilter("ignore", DeprecationWarning)  # it imports games by their old names
    from pettingzoo.test import api_test, parallel_api_test, parallel_seed_test, seed_test

from tuitrain.envs.treasurehunt.apis import LoneHunt, TogetherHunt, TurnsHunt

SMALL: dict[str, Any] = {"side": 6, "agents": 3, "turns": 9, "gem_chance": 0.1}
TURNS = 30


def test_gymnasium_finds_no_fault() -> None:
    gymnasium.register("LoneHunt-v0", LoneHunt)
    try:
        env = gymnasium.make("LoneHunt-v0", disable_env_checker=True, turns=20)
        check_env(env.unwrapped)
    finally:
        del gymnasium.registry["LoneHunt-v0"]


def test_only_one_agent_is_alone() -> None:
    with pytest.raises(ValueError, match="one agent"):
        LoneHunt(agents=2)


def test_pettingzoo_finds_no_fault(capsys: pytest.CaptureFixture[str]) -> None:
    api_test(TurnsHunt("rgb_array", **SMALL), num_cycles=60)
    parallel_api_test(TogetherHunt(**SMALL), num_cycles=60)
    seed_test(lambda: TurnsHunt(**SMALL), num_cycles=20)
    parallel_seed_test(lambda: TogetherHunt(**SMALL), num_cycles=20)
    capsys.readouterr()


def ours(seed: int, together: bool, actions: np.ndarray) -> list[tuple[list[int], float]]:
    """(what it saw, what it got) of every move, by the numpy worlds."""
    hunt, told = TreasureHunt(1, **SMALL), []
    hunt.seed(0, seed)
    hunt.reset([0])
    for turn in actions:
        hunt.begin_turn()
        seen = [hunt.look(agent).reshape(-1).tolist() for agent in range(hunt.agents)]
        for agent, action in enumerate(turn):
            if not together:
                seen[agent] = hunt.look(agent).reshape(-1).tolist()
            told.append((seen[agent], float(hunt.move(agent, np.array([action]))[0])))
        if hunt.end_turn()[0]:
            hunt.reset([0])
    return told


def actions() -> np.ndarray:
    return np.random.default_rng(5).integers(4, size=(TURNS, SMALL["agents"]))


def test_turns_are_the_same_game() -> None:
    env, told, rewards = TurnsHunt(**SMALL), [], []
    env.reset(seed=3)
    for turn in actions():
        if not env.agents:
            env.reset()
        for action in turn:
            agent = env.agent_selection
            told.append(env.observe(agent).tolist())
            env.step(int(action))
            rewards.append(env.rewards[agent])
        while env.agents and env.truncations[env.agent_selection]:
            env.step(None)
    assert list(zip(told, rewards, strict=True)) == ours(3, False, actions())
    assert max(rewards) == 10.0


def test_simultaneous_moves_are_the_same_game() -> None:
    env, told = TogetherHunt(**SMALL), []
    seen, _ = env.reset(seed=3)
    for turn in actions():
        if not env.agents:
            seen, _ = env.reset()
        names = list(env.agents)
        after, rewards, _, _, _ = env.step(dict(zip(names, map(int, turn), strict=True)))
        told += [(seen[name].tolist(), rewards[name]) for name in names]
        seen = after
    assert told == ours(3, True, actions())
