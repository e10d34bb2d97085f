"""Every config that is shipped trains: as it is, but for its length and the sizes of its tables."""

from __future__ import annotations

import math
from pathlib import Path
from typing import Any

import pytest

from tests.fleet import Fleet
from tuitrain.config.load import load_config

pytestmark = pytest.mark.xdist_group("fleet")

CONFIGS = sorted((Path(__file__).parents[2] / "configs").glob("*.toml"))
NEEDS = {"atari-pong": "ale_py", "lunarlander": "Box2D", "minatar-breakout": "minatar"}
LONG = {"atari-pong", "treasurehunt-original"}
"""Seconds; the one's environment and network have tests of their own, the other is in parity."""
SHORT = [
    "run.total_steps=450",
    "actors.count=1",
    "replay.capacity=2000",
    "replay.learning_starts=200",
    "learner.batch_size=32",
    "eval.every_steps=450",
    "eval.episodes=2",
    "eval.max_episode_steps=60",
]


def case(path: Path) -> Any:
    return pytest.param(path, id=path.stem, marks=[pytest.mark.long] * (path.stem in LONG))


@pytest.mark.parametrize("path", map(case, CONFIGS))
def test_a_shipped_config_trains(fleet: Fleet, path: Path) -> None:
    if path.stem in NEEDS:
        pytest.importorskip(NEEDS[path.stem])
    outcome = fleet.run(load_config(path, SHORT))
    assert min(outcome.totals.updates) > 0
    learned = [r for r in outcome.records if r["kind"] == "learner"]
    assert learned
    assert all(math.isfinite(r[name]) for r in learned for name in ("loss", "q_mean", "grad_norm"))
    assert outcome.evaluations()
