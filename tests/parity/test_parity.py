"""`sequential` and `lockstep` give the same bytes: replay columns, weights, evaluations."""

from __future__ import annotations

import itertools
from typing import Any

import pytest

from tests.fleet import Fleet
from tests.parity.cases import ENVIRONMENTS, config

pytestmark = pytest.mark.xdist_group("fleet")

ACTORS = (1, 2, 3)
ENVS_PER_ACTOR = (1, 4)
WINDOWS = ((1, 1), (4, 3))  # (n_frames, n_step)
SEEDS = (1, 2)
EVERY = list(itertools.product(ENVIRONMENTS, ACTORS, ENVS_PER_ACTOR, WINDOWS, SEEDS))


def in_turn(case: tuple[Any, ...]) -> bool:
    """Every environment meets every value, and some environment every three values together."""
    environment, actors, envs, window, seed = case
    turn = (actors + list(ENVIRONMENTS).index(environment)) % 4
    return seed == SEEDS[0] and turn == 2 * ENVS_PER_ACTOR.index(envs) + WINDOWS.index(window)


MATRIX = [pytest.param(*case, marks=[] if in_turn(case) else pytest.mark.long) for case in EVERY]


@pytest.mark.parametrize(("environment", "actors", "envs", "window", "seed"), MATRIX)
def test_lockstep_is_sequential(
    fleet: Fleet,
    environment: str,
    actors: int,
    envs: int,
    window: tuple[int, int],
    seed: int,
) -> None:
    outcomes = {
        schedule: fleet.run(
            config(
                environment,
                schedule,
                actors=actors,
                envs_per_actor=envs,
                n_frames=window[0],
                n_step=window[1],
                seed=seed,
            )
        )
        for schedule in ("sequential", "lockstep")
    }
    one, two = outcomes["sequential"], outcomes["lockstep"]
    assert one.totals == two.totals
    assert min(one.totals.updates) > 0, "the case learns nothing, so it proves nothing"
    assert min(one.tails) > 0, "no ring has wrapped, so the case proves too little"
    assert one.fingerprint == two.fingerprint
    assert one.evaluations() == two.evaluations()
    assert len(one.evaluations()) >= 2


@pytest.mark.parametrize(
    ("environment", "window"),
    [
        ("cartpole", WINDOWS[1]),
        ("two-policies", WINDOWS[0]),
        pytest.param("cartpole", WINDOWS[0], marks=pytest.mark.long),
        pytest.param("two-policies", WINDOWS[1], marks=pytest.mark.long),
    ],
)
def test_prioritized_replay_keeps_parity(
    fleet: Fleet, environment: str, window: tuple[int, int]
) -> None:
    """Draws then depend on every earlier TD error, so one different bit would spread."""
    one, two, uniform = (
        fleet.run(
            config(
                environment,
                schedule,
                n_frames=window[0],
                n_step=window[1],
                replay={"prioritized": prioritized},
            )
        ).fingerprint
        for schedule, prioritized in (
            ("sequential", True),
            ("lockstep", True),
            ("sequential", False),
        )
    )
    assert one == two
    assert one != uniform


@pytest.mark.parametrize(
    "tables",
    [
        {"algorithm": {"name": "c51", "noisy": True}, "replay": {"prioritized": True}},
        pytest.param({"algorithm": {"name": "qr-dqn", "quantiles": 8}}, marks=pytest.mark.long),
        {"algorithm": {"name": "iqn", "noisy": True, "munchausen": True}},
    ],
    ids=["rainbow", "qr-dqn", "noisy-m-iqn"],
)
def test_every_algorithm_keeps_parity(fleet: Fleet, tables: dict[str, Any]) -> None:
    """Fractions and noise are drawn from streams that belong to learner and actors."""
    one, two = (
        fleet.run(config("two-policies", schedule, **tables)).fingerprint
        for schedule in ("sequential", "lockstep")
    )
    assert one == two


def test_another_seed_gives_other_bytes(fleet: Fleet) -> None:
    prints = [
        fleet.run(config("cartpole", "sequential", seed=seed)).fingerprint["default"]
        for seed in (1, 2)
    ]
    assert prints[0]["weights"] != prints[1]["weights"]
    assert prints[0]["replay"] != prints[1]["replay"]


def test_async_is_not_lockstep(fleet: Fleet) -> None:
    """The comparison sees staleness: `async` runs the same algorithm with other data."""
    prints = [
        fleet.run(config("cartpole", schedule)).fingerprint["default"]
        for schedule in ("sequential", "async")
    ]
    assert prints[0]["weights"] != prints[1]["weights"]
