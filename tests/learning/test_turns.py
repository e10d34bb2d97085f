"""Agents that take turns learn what they can only know in their own turn."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from tests.fleet import Fleet, Outcome
from tests.learning.test_short import SCHEDULES
from tuitrain.config.load import load_config
from tuitrain.config.schema import Config

pytestmark = pytest.mark.xdist_group("fleet")

TREASURE_HUNT = Path(__file__).parents[2] / "configs" / "treasurehunt.toml"
RANDOM = 52.5
"""What a random policy earns there, per agent and epoch."""


def relay(schedule: str, **kwargs: Any) -> Config:
    tables: dict[str, dict[str, Any]] = {
        "run": {"schedule": schedule, "total_steps": 3_000, "seed": 3},
        "env": {"id": "tests.envs:Relay", "kwargs": kwargs},
        "actors": {"count": 1, "envs_per_actor": 4, "chunk_steps": 9},
        "exploration": {"epsilon_decay_steps": 1_000, "epsilon_end": 0.05},
        "replay": {"capacity": 2_000, "learning_starts": 200},
        "learner": {
            "network_kwargs": {"hidden": [32]},
            "replay_ratio": 0.125,
            "batch_size": 32,
            "lr": 5e-3,
            "gamma": 0.5,
            "target_update_every_updates": 50,
        },
        "eval": {"every_steps": 100_000, "episodes": 20},
    }
    return Config.model_validate(tables)


def final_returns(outcome: Outcome) -> dict[str, float]:
    """Of every policy's last evaluation."""
    return {r["policy"]: r["return_mean"] for r in outcome.records if r["kind"] == "eval"}


@pytest.mark.parametrize("schedule", ["lockstep", "async"])
def test_both_learn_the_optimum(fleet: Fleet, schedule: str) -> None:
    returns = final_returns(fleet.run(relay(schedule)))
    assert min(returns.values()) > 7.5, returns


def test_who_looks_too_early_cannot_learn_it(fleet: Fleet) -> None:
    returns = final_returns(fleet.run(relay("lockstep", early=True)))
    assert returns["caller"] > 7.5, "the control must differ in nothing else"
    assert returns["answerer"] < 4.0


@pytest.mark.long
@pytest.mark.timeout(900)
@pytest.mark.parametrize("schedule", SCHEDULES)
def test_treasure_hunt_brings_nearly_twice_what_chance_does(fleet: Fleet, schedule: str) -> None:
    config = load_config(TREASURE_HUNT, [f"run.schedule={schedule}", "actors.count=2"])
    (earned,) = final_returns(fleet.run(config, timeout_s=800)).values()
    assert earned > 1.85 * RANDOM


@pytest.mark.long
@pytest.mark.timeout(900)
def test_treasure_hunt_is_not_learned_from_shuffled_returns(fleet: Fleet) -> None:
    config = load_config(TREASURE_HUNT, ["run.schedule=async", "actors.count=2"])
    entries = {"learner": "tests.learning.doubles:rewards_shuffled"}
    (earned,) = final_returns(fleet.run(config, entries=entries, timeout_s=800)).values()
    assert earned < 1.4 * RANDOM
