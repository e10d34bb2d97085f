"""What every schedule must do around training itself."""

from __future__ import annotations

from pathlib import Path

import pytest

from tests.fleet import Fleet
from tests.parity.cases import config

pytestmark = pytest.mark.xdist_group("fleet")


@pytest.mark.parametrize("schedule", ["sequential", "lockstep", "async"])
def test_every_environment_is_closed(fleet: Fleet, schedule: str, tmp_path: Path) -> None:
    env = {"id": "tests.envs:ClosingEnv", "kwargs": {"folder": str(tmp_path)}}
    case = config("cartpole", schedule, actors=2, envs_per_actor=4, env=env)
    fleet.run(case)
    # the probe, which the fleet plays itself, closes one more
    assert len(list(tmp_path.iterdir())) == 2 * 4 + case.eval.episodes + 1


def test_networks_that_draw_while_they_learn_are_bit_identical_too(fleet: Fleet) -> None:
    learner = {"network": "tests.envs:dropout_network", "network_kwargs": {}, "dueling": False}

    def weights(schedule: str, seed: int) -> str:
        case = config("cartpole", schedule, seed=seed, learner=learner)
        return fleet.run(case).fingerprint["default"]["weights"]

    assert weights("sequential", 1) == weights("lockstep", 1)
