"""Faults between learner and actors that only whole runs show: stale or mixed weights, wake-ups."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest

from tests.fleet import Fleet, Outcome
from tuitrain.config.checks import ChecksConfig
from tuitrain.config.schema import Config
from tuitrain.diagnosis.checks import replay
from tuitrain.learning.weights_layout import sha256
from tuitrain.protocol import PolicyView, ProcessView, Snapshot, WeightsHeld
from tuitrain.workers.stores import Stores

pytestmark = pytest.mark.xdist_group("fleet")

STARTS, CAPACITY, RATIO, CHUNK = 100, 400, 0.5, 4 * 4
BAND = 1 + CHUNK * RATIO
ROLES = {"sequential": "trainer", "lockstep": "learner", "async": "learner"}


def config(schedule: str, **tables: dict[str, Any]) -> Config:
    base: dict[str, dict[str, Any]] = {
        "run": {"total_steps": 2_400, "schedule": schedule, "fingerprint": True},
        "env": {"id": "tests.envs:Chain"},
        "actors": {"count": 1, "envs_per_actor": 4, "chunk_steps": 4},
        "replay": {"capacity": CAPACITY, "learning_starts": STARTS, "max_lead": 1.0},
        "learner": {"batch_size": 16, "replay_ratio": RATIO, "network_kwargs": {"hidden": [16]}},
        "eval": {"enabled": False},
    }
    for table, values in tables.items():
        base[table] = base.get(table, {}) | values
    return Config.model_validate(base)


def snapshot(**changes: Any) -> Snapshot:
    return Snapshot(
        **{
            "seq": 1,
            "time_s": 0.0,
            "run_id": "0123abcd",
            "run_dir": "/r",
            "name": "n",
            "schedule": "async",
            "state": "running",
            "elapsed_s": 1.0,
            "supervisor_pid": 1,
            **changes,
        }
    )


# ---- 3.1: stale policies -----------------------------------------------------------------------


def lag_check(outcome: Outcome) -> str:
    """State of the check that a user sees, from the run's last measurement."""
    last = [r for r in outcome.records if r["kind"] == "learner"][-1]
    policy = PolicyView(
        name="default",
        transitions=outcome.totals.inserts[0],
        capacity=CAPACITY,
        learning_starts=STARTS,
        updates=outcome.totals.updates[0],
        ratio_target=RATIO,
        ratio_band_updates=BAND,
        lag_updates_p95=last["lag_updates_p95"],
    )
    return replay.policy_lag.run(snapshot(policies=[policy]), ChecksConfig()).state


@pytest.mark.parametrize("schedule", ROLES)
def test_weights_that_are_not_published_any_more_show_as_policy_lag(
    fleet: Fleet, schedule: str
) -> None:
    doubles = "tests.e2e.doubles"
    for double, state in (("honest", "ok"), ("never_publishes", "warn")):
        entries = {ROLES[schedule]: f"{doubles}:{double}"}
        assert lag_check(fleet.run(config(schedule), entries=entries)) == state


# ---- 3.3: weights of two moments -----------------------------------------------------------------


@pytest.mark.parametrize("schedule", ROLES)
def test_weights_published_in_the_middle_of_an_update_show_as_their_hash(
    fleet: Fleet, schedule: str
) -> None:
    """What an actor pulls last is, or is not, what the learner ended with."""
    pulled: list[str] = []

    def pull(shared: Stores) -> None:
        store = shared.weights["default"]
        out = np.empty(store.layout.nbytes, np.uint8)
        store.pull(0, out)
        pulled.append(sha256(out))

    for double, state in (("honest", "ok"), ("publishes_mid_update", "fail")):
        entries = {ROLES[schedule]: f"tests.e2e.doubles:{double}"}
        outcome = fleet.run(config(schedule), entries=entries, look=pull)
        held = {"learner": outcome.fingerprint["default"]["weights"], "a0": pulled.pop()}
        processes = [
            ProcessView(
                name=name,
                role="actor",
                state="running",
                weights={"default": WeightsHeld(version=9, sha256=value)},
            )
            for name, value in held.items()
        ]
        assert replay.weights_hash.run(snapshot(processes=processes), ChecksConfig()).state == state


# ---- X.4: waits are woken, not polled ------------------------------------------------------------


def test_a_learner_with_nothing_to_do_wakes_for_its_heartbeats_only(fleet: Fleet) -> None:
    """Nearly all of the run is warm-up: about 250 chunks, none of which makes an update due."""
    after = 4 * CHUNK
    case = config(
        "async",
        run={"total_steps": 4_000},
        actors={"count": 2},
        replay={"capacity": 4_000, "learning_starts": 4_000 - after},
    )
    outcome = fleet.run(case, entries={"learner": "tests.e2e.doubles:counts_wake_ups"})
    (counted,) = [r for r in outcome.records if r["kind"] == "wake-ups"]
    assert outcome.totals.updates[0] > 1
    # after warm-up chunks make updates due, at least one each; the end is said by each actor
    assert counted["wakeups"] <= counted["beats"] + outcome.totals.updates[0] + 2
