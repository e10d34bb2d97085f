"""What a learner says of what it has drawn: no reward, nothing to see, and the honest case."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import gymnasium
import numpy as np
import pytest
from gymnasium import spaces

from tests.unit.workers.one_actor import CHUNK_STEPS, one_actor
from tuitrain.replay.limiter import Ticket
from tuitrain.schedules.acting import build_actor
from tuitrain.workers.learners.batch_figures import (
    LOOK_EVERY_UPDATES,
    LOOKED_NUMBERS,
    ReturnFigures,
    observation_figures,
)
from tuitrain.workers.learners.learner import Learner


class Numbers(gymnasium.Env):
    """Observations of four numbers and rewards, either of which can be taken away."""

    def __init__(self, seen: float = 1.0, reward: float = 1.0) -> None:
        self.observation_space = spaces.Box(-9, 9, (4,), np.float32)
        self.action_space = spaces.Discrete(2)
        self._seen, self._reward = seen, reward

    def _see(self) -> Any:
        # the last number is always the same
        return np.append(self.np_random.normal(size=3) * self._seen, 2.0).astype(np.float32)

    def reset(self, *, seed: int | None = None, options: Any = None) -> Any:
        super().reset(seed=seed)
        return self._see(), {}

    def step(self, action: int) -> Any:
        ends = self.np_random.random() < 0.1
        return self._see(), self._reward * float(ends), bool(ends), False, {}


def measured(folder: Path, unmeasured: bool = False, **kwargs: Any) -> dict[str, Any]:
    """A `learner` record of a short run on ``Numbers``."""
    with one_actor(folder, env={"id": f"{__file__}:Numbers", "kwargs": kwargs}) as run:
        blueprint, stores = run
        actor = build_actor(blueprint, stores, 0)
        actor.pull()
        for _ in range(8):
            actor.begin(Ticket(0, (0,)), CHUNK_STEPS)
            actor.rollout(CHUNK_STEPS, lambda: None)
            actor.commit()
        actor.close()
        learner = Learner(blueprint, stores)
        if unmeasured:
            (part,) = learner.policies.values()
            part.figures = part.dqn.flow = None
        for _ in range(20):
            learner.step("default", sure=5)
        (record,) = learner.records(0.0)
        assert learner.records(0.0) == []
        return record


def test_of_an_honest_environment(tmp_path: Path) -> None:
    record = measured(tmp_path, reward=3.0)
    assert record["returns_abs_max"] == 3.0
    assert 0.02 < record["returns_nonzero_share"] < 0.4
    assert record["observation_spread"] == 0.75
    assert record["observation_abs_max"] >= 2.0
    assert record["grad_zero_share"] == 0.0


def test_no_reward(tmp_path: Path) -> None:
    record = measured(tmp_path, reward=0.0)
    assert record["returns_abs_max"] == record["returns_nonzero_share"] == 0.0


def test_nothing_to_see(tmp_path: Path) -> None:
    record = measured(tmp_path, seen=0.0)
    assert record["observation_spread"] == 0.0
    assert record["observation_abs_max"] == 2.0


def test_who_measures_nothing_tells_nothing(tmp_path: Path) -> None:
    record = measured(tmp_path, unmeasured=True)
    wanted = {"returns_abs_max", "observation_spread", "grad_zero_share"}
    assert wanted.isdisjoint(record)
    assert record["loss"] > 0


# ---- the arithmetic ------------------------------------------------------------------------------


def test_returns_since_the_last_report() -> None:
    figures = ReturnFigures()
    assert figures.take() == {}
    figures.look(np.array([0, -7, 2, 0], np.float32), 0, 1)
    figures.look(np.array([100], np.float32), LOOK_EVERY_UPDATES - 2, 2)  # none of them is due
    figures.look(np.array([0, 0, 0, 0], np.float32), LOOK_EVERY_UPDATES - 2, 3)
    assert figures.take() == {"returns_abs_max": 7.0, "returns_nonzero_share": 0.25}
    assert figures.take() == {}


@pytest.mark.parametrize("dtype", [np.uint8, np.float32])
def test_images(dtype: Any) -> None:
    states = np.full((500, 2, 4, 4), 200, dtype)
    assert observation_figures(states) == {
        "observation_spread": 0.0,
        "observation_abs_max": 200.0,
        "observation_size": 0.0 if dtype == np.uint8 else 200.0,
    }
    states[::2, 0, 1, 1] = 7
    states[:, 1, 3, 3] = np.arange(500) % 256
    figures = observation_figures(states)
    # every second row is not looked at, for one of 64 is: what changes with it is not seen
    assert figures["observation_spread"] == 1 / 32
    assert figures["observation_abs_max"] > 200
    assert observation_figures(np.zeros((3, 1, 2), dtype))["observation_abs_max"] == 0.0


def test_numbers_that_are_usually_huge() -> None:
    states = np.random.default_rng(0).normal(size=(128, 2, 4)).astype(np.float32)
    usual = observation_figures(states)["observation_size"]
    assert 0 < usual < 10
    states[:4, 0, 3] = -1e9
    assert observation_figures(states)["observation_size"] < 10, "now and then"
    states[:, 1, 2] -= 1e5
    size = observation_figures(states)["observation_size"]
    assert size == pytest.approx(1e5, rel=1e-3), "one number of eight is enough"


def test_large_and_few_states() -> None:
    large = np.zeros((5, 1, LOOKED_NUMBERS), np.uint8)
    large[4, 0, 0] = 1
    assert observation_figures(large)["observation_spread"] == 0.0, "of two rows, 0 and 3"
    large[3, 0, 0] = 1
    assert observation_figures(large)["observation_spread"] == 1 / LOOKED_NUMBERS
    assert observation_figures(np.ones((1, 1, 4), np.float32)) == {}
