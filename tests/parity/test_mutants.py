"""Parity can fail: each fault in the parallel version changes bytes."""

from __future__ import annotations

import pytest

from tests.fleet import Fleet
from tests.parity.cases import config

pytestmark = pytest.mark.xdist_group("fleet")

MUTANTS = {
    "double_target_update": "learner",
    "shifted_stack": "actor",
    "older_weights": "actor",
    "stale_epsilon": "actor",
    "window_too_long": "learner",
    "samples_past_window": "learner",
}


def _config(schedule: str):
    return config("cartpole", schedule, n_frames=4, n_step=3)


@pytest.fixture(scope="module")
def sequential(fleet: Fleet) -> dict[str, dict[str, str]]:
    return fleet.run(_config("sequential")).fingerprint


@pytest.mark.parametrize("mutant", MUTANTS)
def test_a_fault_breaks_parity(
    fleet: Fleet, sequential: dict[str, dict[str, str]], mutant: str
) -> None:
    entries = {MUTANTS[mutant]: f"tests.parity.mutants:{mutant}"}
    outcome = fleet.run(_config("lockstep"), entries=entries)
    assert outcome.fingerprint["default"]["weights"] != sequential["default"]["weights"]


def test_the_doubles_themselves_do_not(fleet: Fleet, sequential: dict[str, dict[str, str]]) -> None:
    entries = {role: f"tests.parity.mutants:honest_{role}" for role in ("learner", "actor")}
    assert fleet.run(_config("lockstep"), entries=entries).fingerprint == sequential


def test_late_priorities_break_parity(fleet: Fleet) -> None:
    replay = {"prioritized": True}
    honest = fleet.run(config("cartpole", "sequential", replay=replay)).fingerprint
    entries = {"learner": "tests.parity.mutants:late_priorities"}
    late = fleet.run(config("cartpole", "lockstep", replay=replay), entries=entries).fingerprint
    assert late != honest


def test_unfenced_global_random_state_breaks_parity(fleet: Fleet) -> None:
    cases = {s: config("global-random", s) for s in ("sequential", "lockstep")}
    honest = fleet.run(cases["sequential"]).fingerprint
    assert fleet.run(cases["lockstep"]).fingerprint == honest
    entries = {"actor": "tests.parity.mutants:no_fence"}
    assert fleet.run(cases["lockstep"], entries=entries).fingerprint != honest
