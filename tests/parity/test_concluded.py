"""Training that is concluded ends like training whose last step was made then, byte for byte."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pytest

from tests.fleet import Fleet, Outcome
from tuitrain.config.schema import Config
from tuitrain.schedules import asynchronous, lockstep, sequential
from tuitrain.workers.blueprint import Blueprint
from tuitrain.workers.child import ChildArgs
from tuitrain.workers.link import Link
from tuitrain.workers.messages import Conclude
from tuitrain.workers.stores import Stores

pytestmark = pytest.mark.xdist_group("fleet")

AFTER, TOTAL = 1_600, 1_000_000
ROLES = {"sequential": "trainer", "lockstep": "learner", "async": "learner"}


def concluding(module: Any, name: str, args: ChildArgs, link: Link) -> None:
    """The schedule's own function, told to conclude as soon as `AFTER` steps are committed."""
    on, tick, attached = link.on, link.tick, module.attached
    handlers: dict[str, Any] = {}
    seen: list[Stores] = []

    def note(kind: str, handler: Callable[[Any], dict[str, Any]]) -> None:
        handlers[kind] = handler
        on(kind, handler)

    def look() -> None:
        tick()
        if seen[0].limiter.totals().steps >= AFTER:
            handlers["conclude"](Conclude(command_id=1))

    def watched(args: ChildArgs, link: Link) -> tuple[Blueprint, Stores]:
        blueprint, stores = attached(args, link)
        seen.append(stores)
        return blueprint, stores

    link.on, link.tick, module.attached = note, look, watched
    try:
        getattr(module, name)(args, link)
    finally:
        module.attached = attached  # this process goes on with other tests
        seen.clear()


def run_sequential(args: ChildArgs, link: Link) -> None:
    concluding(sequential, "run", args, link)


def run_lockstep(args: ChildArgs, link: Link) -> None:
    concluding(lockstep, "run_learner", args, link)


def run_async(args: ChildArgs, link: Link) -> None:
    concluding(asynchronous, "run_learner", args, link)


def config(schedule: str, total_steps: int, processes: int = 1) -> Config:
    tables: dict[str, dict[str, Any]] = {
        "run": {"total_steps": total_steps, "schedule": schedule, "fingerprint": True},
        "env": {"id": "tests.envs:Chain"},
        "actors": {"count": 2, "envs_per_actor": 4, "chunk_steps": 10},
        "replay": {"capacity": 800, "learning_starts": 200},
        "learner": {
            "batch_size": 16,
            "replay_ratio": 0.25,
            "network_kwargs": {"hidden": [16]},
            "processes": processes,
            "publish_every_updates": 5,
        },
        "eval": {"every_steps": 800, "episodes": 4},
    }
    if processes > 1:
        tables["env"] = {"id": "tests.envs:TwoPolicies"}
    return Config.model_validate(tables)


def concluded(fleet: Fleet, schedule: str, processes: int = 1) -> Outcome:
    entry = f"{__name__}:run_{schedule}"
    return fleet.run(config(schedule, TOTAL, processes), entries={ROLES[schedule]: entry})


@pytest.mark.parametrize(
    ("schedule", "processes"),
    [("sequential", 1), ("lockstep", 2), pytest.param("lockstep", 1, marks=pytest.mark.long)],
)
def test_concluded_after_a_round_is_planned_to_end_there(
    fleet: Fleet, schedule: str, processes: int
) -> None:
    planned = fleet.run(config(schedule, AFTER, processes))
    early = concluded(fleet, schedule, processes)
    assert early.totals == planned.totals
    assert AFTER <= early.totals.steps < TOTAL
    assert early.fingerprint == planned.fingerprint
    assert early.evaluations() == planned.evaluations()


@pytest.mark.parametrize("processes", [2, pytest.param(1, marks=pytest.mark.long)])
def test_async_ends_soon_with_all_updates_and_a_last_evaluation(
    fleet: Fleet, processes: int
) -> None:
    early = concluded(fleet, "async", processes)
    assert AFTER <= early.totals.steps < TOTAL
    due = [(inserts - 200) // 4 + 1 for inserts in early.totals.inserts]
    assert list(early.totals.updates) == due
    assert early.totals.reserved_steps == 0
    assert [r[1:3] for r in early.evaluations()[-processes:]] == [
        (early.totals.steps, updates) for updates in due
    ]
