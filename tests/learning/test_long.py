"""configs/cartpole.toml solves CartPole-v1 in every schedule, and does not without learning.

About ten minutes: `make learn`. Solved is what the README promises: the last greedy evaluation of
20 episodes has a mean of at least 475.
"""

from __future__ import annotations

from pathlib import Path

import pytest

from tests.fleet import Fleet
from tests.learning.test_short import CONTROLS, SCHEDULES, final_return
from tuitrain.config.load import load_config
from tuitrain.config.schema import Config

pytestmark = [pytest.mark.long, pytest.mark.xdist_group("fleet"), pytest.mark.timeout(900)]

CONFIG = Path(__file__).parents[2] / "configs" / "cartpole.toml"
SOLVED = 475.0


def cartpole(schedule: str, seed: int) -> Config:
    return load_config(CONFIG, [f"run.schedule={schedule}", f"run.seed={seed}", "actors.count=3"])


@pytest.mark.parametrize("seed", [1, 2])
@pytest.mark.parametrize("schedule", SCHEDULES)
def test_solves_cartpole(fleet: Fleet, schedule: str, seed: int) -> None:
    outcome = fleet.run(cartpole(schedule, seed), timeout_s=800)
    assert final_return(outcome) >= SOLVED


@pytest.mark.parametrize("control", CONTROLS)
@pytest.mark.parametrize("schedule", SCHEDULES)
def test_controls_do_not(fleet: Fleet, schedule: str, control: str) -> None:
    role = "trainer" if schedule == "sequential" else "learner"
    entries = {role: f"tests.learning.doubles:{control}"}
    outcome = fleet.run(cartpole(schedule, 1), entries=entries, timeout_s=800)
    assert final_return(outcome) < SOLVED / 2
