"""The replay ratio asked for is the one achieved, whoever is the slower side.

▣ Within 1 % in every schedule, judged once the limiter's band is under 1 % of the updates; and at
every moment before that within the band.
"""

from __future__ import annotations

import itertools
from collections.abc import Iterator
from typing import Any

import pytest

from tests.e2e.harness import THINGS
from tests.fleet import Fleet
from tuitrain.config.schema import Config

RATIO = 0.5
STARTS = 100
CHUNK = 4 * 4
SLOW: dict[str, dict[str, Any]] = {
    "actor": {"env": {"id": f"{THINGS}:Slow", "kwargs": {"step_s": 0.0005}}},
    "learner": {
        "env": {"id": f"{THINGS}:Chain"},
        "learner": {
            "network": f"{THINGS}:LearnersOnly",
            "network_kwargs": {"batch_size": 16, "sleep_s": 0.0005},
        },
    },
    "neither, two policies": {"env": {"id": "tests.envs:TwoPolicies"}},
}


def cases() -> Iterator[Any]:
    """In `async` every case, in the others one: there rounds decide, whoever is slow."""
    for schedule, slow in itertools.product(("sequential", "lockstep", "async"), SLOW):
        often = schedule == "async" or slow == "neither, two policies"
        yield pytest.param(schedule, slow, marks=[] if often else pytest.mark.long)


@pytest.mark.xdist_group("fleet")
@pytest.mark.parametrize(("schedule", "slow"), cases())
def test_ratio(fleet: Fleet, schedule: str, slow: str) -> None:
    base: dict[str, dict[str, Any]] = {
        "run": {"total_steps": 2_400, "schedule": schedule},
        "actors": {"count": 1, "envs_per_actor": 4, "chunk_steps": 4},
        "replay": {"capacity": 1_000, "learning_starts": STARTS, "max_lead": 1.0},
        "learner": {"batch_size": 16, "replay_ratio": RATIO, "network_kwargs": {"hidden": [16]}},
        "eval": {"enabled": False},
    }
    for table, values in SLOW[slow].items():
        base[table] = base.get(table, {}) | values
    outcome = fleet.run(Config.model_validate(base))

    band = 1 + CHUNK * RATIO
    for updates, inserts in zip(outcome.totals.updates, outcome.totals.inserts, strict=True):
        assert band < 0.01 * updates
        assert updates / (inserts - STARTS) == pytest.approx(RATIO, rel=0.01)
    seen = [r for r in outcome.records if r["kind"] == "learner"]
    assert len(seen) >= 2
    for record in seen:
        earned = (record["steps"] - STARTS) * RATIO
        # a round's updates are made in the round after, and the record may lie in between
        assert -1 <= earned - record["updates"] <= band + CHUNK * RATIO + 10
