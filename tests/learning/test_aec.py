"""A policy that plays itself at tic-tac-toe learns to win, and not to lose."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pytest

from tests.envs.aec import TicTacToe
from tests.fleet import Fleet
from tests.guide import write_files
from tuitrain import api
from tuitrain.config.load import load_config
from tuitrain.config.resolve import resolve
from tuitrain.config.schema import Config
from tuitrain.envs.make import inspect
from tuitrain.envs.spec import PolicySpec
from tuitrain.learning.policy import Policy
from tuitrain.loading import load_object
from tuitrain.workers.build import policies_for
from tuitrain.workers.stores import Stores

pytestmark = pytest.mark.xdist_group("fleet")

GAMES = 200
"""Against chance, half of them with the first move."""


def tictactoe(schedule: str) -> Config:
    tables: dict[str, dict[str, Any]] = {
        "run": {"schedule": schedule, "total_steps": 8_000, "seed": 1},
        "env": {"id": "tests.envs.aec:TicTacToe"},
        "policies": {"map": "shared"},
        "actors": {"count": 1, "envs_per_actor": 16, "chunk_steps": 10},
        "exploration": {"epsilon_decay_steps": 4_000, "epsilon_end": 0.1},
        "replay": {"capacity": 10_000, "learning_starts": 1_000},
        "learner": {
            "network_kwargs": {"hidden": [64, 64]},
            "replay_ratio": 0.1,
            "batch_size": 64,
            "lr": 2e-3,
            "gamma": 0.95,
            "double": True,
            "target_update_every_updates": 100,
        },
        "eval": {"every_steps": 100_000, "episodes": 4},
    }
    return Config.model_validate(tables)


def learned(config: Config, shared: Stores) -> tuple[Policy, PolicySpec]:
    """A policy with the newest weights of a run."""
    spec = inspect(config.env, config.policies.map)
    (policy,) = policies_for(resolve(config, cores=4), spec, "cpu").values()
    policy.load(shared.weights["shared"].newest(), 0)
    return policy, spec.policies["shared"]


def against_chance(config: Config, shared: Stores) -> float:
    """What the newest weights earn in a game against random moves: 1 won, 0 drawn, -1 lost."""
    policy, _ = learned(config, shared)
    rng = np.random.default_rng(0)
    return float(np.mean([play("xo"[game % 2], policy, rng) for game in range(GAMES)]))


def play(mine: str, policy: Policy, rng: np.random.Generator) -> float:
    game = TicTacToe()
    game.reset()
    paid = dict.fromkeys("xo", 0.0)
    while game.agents:
        agent = game.agent_selection
        seen, reward, *gone, _ = game.last()
        paid[agent] += reward
        if any(gone):
            game.step(None)
            continue
        epsilon = 0.0 if agent == mine else 1.0
        legal = seen["action_mask"][None] != 0
        game.step(int(policy.act(seen["observation"][None, None], epsilon, rng, legal)[0]))
    return paid[mine]


@pytest.mark.parametrize(
    ("schedule", "learner"),
    [
        ("lockstep", None),
        pytest.param("async", None, marks=pytest.mark.long),
        ("lockstep", "tests.learning.doubles:rewards_shuffled"),
    ],
    ids=["lockstep", "async", "shuffled"],
)
def test_self_play_beats_chance(fleet: Fleet, schedule: str, learner: str | None) -> None:
    earned: list[float] = []
    config = tictactoe(schedule)
    entries = {"learner": learner} if learner else {}
    fleet.run(
        config, entries=entries, look=lambda shared: earned.append(against_chance(config, shared))
    )
    assert earned[0] > 0.7 if learner is None else earned[0] < 0.4, earned


def test_the_guides_game_is_learned_to_perfection(fleet: Fleet, tmp_path: Path) -> None:
    write_files("board-games.md", tmp_path)
    nim = f"{tmp_path}/nim.py:Nim"
    given = load_config(
        tmp_path / "nim.toml", ["run.schedule=lockstep", "actors.count=1", f"env.id={nim}"]
    )
    shares: list[dict[str, list[float]]] = []

    def look(shared: Stores) -> None:
        loaded = api.Policy(*learned(given, shared), 1)
        match = load_object(f"{tmp_path}/play.py:match")
        shares.append(match(load_object(nim)(), lambda seen: loaded.act(seen)[0], games=50))

    fleet.run(given, look=look)
    assert shares[0]["first"] == [1.0, 0.0, 0.0]
    assert shares[0]["second"][0] > 0.9
