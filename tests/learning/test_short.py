"""Every schedule reaches the known optimum of a small task; trainers that can't learn don't.

Catch: a ball falls through a grid of pixels, a paddle of one cell must be under it at the end.
Every episode returns +1 or -1, so the optimum is 1 and a policy that has learned nothing is far
below. `make learn` has the long version on CartPole.
"""

from __future__ import annotations

from typing import Any

import pytest

from tests.fleet import Fleet, Outcome
from tuitrain.config.schema import Config

pytestmark = pytest.mark.xdist_group("fleet")

SCHEDULES = ("sequential", "lockstep", "async")
CONTROLS = ("learner_off", "publishing_frozen", "rewards_shuffled")
OPTIMUM = 1.0
LEARNED = 0.9
"""Mean return over 40 greedy episodes; two misses are the most."""
NOT_LEARNED = 0.5


def long(*values: str) -> Any:
    return pytest.param(*values, marks=pytest.mark.long)


def catch(schedule: str, **replay: Any) -> Config:
    tables: dict[str, dict[str, Any]] = {
        "run": {"schedule": schedule, "total_steps": 12_000, "seed": 3},
        "env": {"id": "tests.envs:Catch", "kwargs": {"size": 5}},
        "actors": {"count": 2, "envs_per_actor": 4, "chunk_steps": 8},
        "exploration": {"epsilon_decay_steps": 4_000, "epsilon_end": 0.05},
        "replay": {"capacity": 10_000, "learning_starts": 500} | replay,
        "learner": {
            "network_kwargs": {"hidden": [64]},
            "replay_ratio": 0.125,
            "batch_size": 64,
            "lr": 2e-3,
            "gamma": 0.9,
            "target_update_every_updates": 50,
        },
        "eval": {"every_steps": 100_000, "episodes": 40},
    }
    return Config.model_validate(tables)


def final_return(outcome: Outcome) -> float:
    return float([r for r in outcome.records if r["kind"] == "eval"][-1]["return_mean"])


@pytest.mark.parametrize("schedule", SCHEDULES)
def test_learns_the_optimum(fleet: Fleet, schedule: str) -> None:
    outcome = fleet.run(catch(schedule))
    assert LEARNED <= final_return(outcome) <= OPTIMUM


ALGORITHMS: dict[str, dict[str, dict[str, Any]]] = {
    "c51": {"algorithm": {"name": "c51", "v_min": -1.0, "v_max": 1.0, "atoms": 21}},
    "qr-dqn": {"algorithm": {"name": "qr-dqn", "quantiles": 20}},
    "iqn": {"algorithm": {"name": "iqn", "quantiles": 8, "target_quantiles": 8}},
    "m-iqn": {
        "algorithm": {"name": "iqn", "quantiles": 8, "target_quantiles": 8, "munchausen": True},
    },
    "rainbow": {
        "algorithm": {"name": "c51", "v_min": -1.0, "v_max": 1.0, "atoms": 21, "noisy": True},
        "exploration": {"epsilon_start": 0.0, "epsilon_end": 0.0},
        "learner": {"n_step": 3, "dueling": True},
        "replay": {"prioritized": True},
    },
}


def with_algorithm(name: str, schedule: str) -> Config:
    tables = catch(schedule).model_dump(mode="python")
    for table, values in ALGORITHMS[name].items():
        tables[table] |= values
    return Config.model_validate(tables)


@pytest.mark.parametrize(
    "algorithm", [long("c51"), long("qr-dqn"), long("iqn"), long("m-iqn"), "rainbow"]
)
def test_every_algorithm_learns_the_optimum(fleet: Fleet, algorithm: str) -> None:
    outcome = fleet.run(with_algorithm(algorithm, "async"))
    assert LEARNED <= final_return(outcome) <= OPTIMUM


@pytest.mark.parametrize("algorithm", [long("iqn"), "rainbow"])
def test_no_algorithm_learns_from_shuffled_returns(fleet: Fleet, algorithm: str) -> None:
    entries = {"learner": "tests.learning.doubles:rewards_shuffled"}
    outcome = fleet.run(with_algorithm(algorithm, "async"), entries=entries)
    assert final_return(outcome) < NOT_LEARNED


def test_learns_with_prioritized_replay(fleet: Fleet) -> None:
    outcome = fleet.run(catch("async", prioritized=True))
    assert LEARNED <= final_return(outcome) <= OPTIMUM
    control = fleet.run(
        catch("async", prioritized=True),
        entries={"learner": "tests.learning.doubles:rewards_shuffled"},
    )
    assert final_return(control) < NOT_LEARNED


@pytest.mark.parametrize(
    ("schedule", "control"),
    [
        (schedule, control) if SCHEDULES.index(schedule) == at else long(schedule, control)
        for schedule in SCHEDULES
        for at, control in enumerate(CONTROLS)
    ],
)
def test_does_not_learn_without_learning(fleet: Fleet, schedule: str, control: str) -> None:
    role = "trainer" if schedule == "sequential" else "learner"
    outcome = fleet.run(catch(schedule), entries={role: f"tests.learning.doubles:{control}"})
    assert outcome.totals.updates[0] > 1_000, "the control must differ in nothing else"
    assert final_return(outcome) < NOT_LEARNED
