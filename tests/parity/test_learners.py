"""Several learner processes learn what one process learns, byte for byte."""

from __future__ import annotations

from typing import Any

import pytest

from tests.fleet import Fleet, Outcome
from tests.parity.cases import config
from tuitrain.config.problems import ConfigError

pytestmark = pytest.mark.xdist_group("fleet")

HUNT: dict[str, Any] = {
    "id": "tuitrain.envs.treasurehunt:make",
    "kwargs": {"agents": 3, "turns": 12},
}
FEW = {"name": "iqn", "quantiles": 4, "target_quantiles": 4, "acting_quantiles": 4}
DRAWING: dict[str, Any] = {
    "algorithm": {**FEW, "noisy": True},
    "learner": {"processes": 2},
}


def outcome(fleet: Fleet, schedule: str, **tables: dict[str, Any]) -> Outcome:
    return fleet.run(config("two-policies", schedule, **tables))


@pytest.fixture(scope="module")
def drawn(fleet: Fleet) -> Outcome:
    """Two policies that draw from torch's generators while they learn, in one process."""
    return outcome(fleet, "sequential", **DRAWING)


def same(one: Outcome, two: Outcome) -> None:
    assert one.totals == two.totals
    assert min(one.totals.updates) > 0
    assert one.fingerprint == two.fingerprint
    assert sorted(one.evaluations()) == sorted(two.evaluations())
    assert len(one.evaluations()) >= 4


@pytest.mark.parametrize(
    "tables",
    [
        {"learner": {"processes": "per-policy"}},
        {"learner": {"processes": 2}, "replay": {"prioritized": True}},
    ],
    ids=["dqn", "prioritized"],
)
def test_two_learners_are_sequential(fleet: Fleet, tables: dict[str, Any]) -> None:
    same(outcome(fleet, "sequential", **tables), outcome(fleet, "lockstep", **tables))


def test_two_learners_that_draw_are_sequential(fleet: Fleet, drawn: Outcome) -> None:
    same(drawn, outcome(fleet, "lockstep", **DRAWING))


@pytest.mark.parametrize(
    "processes", [*(pytest.param(n, marks=pytest.mark.long) for n in (1, 2)), 3]
)
def test_any_number_of_learners_is_sequential(fleet: Fleet, processes: int) -> None:
    """Three policies whose networks draw, dealt to one, two or three processes."""
    tables = {
        "env": HUNT,
        "algorithm": FEW,
        "learner": {"processes": processes},
    }
    one = fleet.run(config("two-policies", "sequential", actors=1, **tables))
    two = fleet.run(config("two-policies", "lockstep", actors=1, **tables))
    assert len(one.fingerprint) == 3
    same(one, two)


def test_every_learner_does_its_own_policies_in_async(fleet: Fleet) -> None:
    end = outcome(fleet, "async", learner={"processes": 2, "publish_every_updates": 3})
    rule_of = 0.3
    for inserts, updates in zip(end.totals.inserts, end.totals.updates, strict=True):
        assert updates == int((inserts - 41) * rule_of) + 1
    seen = {
        name: {key for key in counters if key.startswith("updates/")}
        for name, counters in end.counters.items()
        if name.startswith("learner")
    }
    assert len(seen) == 2
    assert all(len(keys) == 1 for keys in seen.values())
    assert len(set.union(*seen.values())) == 2
    *_, last = end.evaluations()
    assert last[2] in end.totals.updates, "the last evaluation is of the last weights"


@pytest.mark.parametrize("fault", ["shared_stream", "others_pin_late", "others_publish_late"])
def test_a_fault_breaks_parity(fleet: Fleet, drawn: Outcome, fault: str) -> None:
    tables = {**DRAWING, "learner": {"processes": 1}} if fault == "shared_stream" else DRAWING
    case = config("two-policies", "lockstep", **tables)
    entries = {"learner": f"tests.parity.learner_mutants:{fault}"}
    broken = fleet.run(case, entries=entries)
    assert broken.fingerprint != drawn.fingerprint


def test_the_doubles_themselves_do_not(fleet: Fleet, drawn: Outcome) -> None:
    case = config("two-policies", "lockstep", **DRAWING)
    honest = fleet.run(case, entries={"learner": "tests.parity.learner_mutants:honest"})
    same(drawn, honest)


def test_more_learners_than_policies_are_refused(fleet: Fleet) -> None:
    with pytest.raises(ConfigError, match=r"learner.processes = 3: must be at most 2"):
        outcome(fleet, "sequential", learner={"processes": 3})


# ---- policies that are updated as one ------------------------------------------------------------


def hunt(schedule: str, *, stacked: bool, processes: int = 1, **tables: dict[str, Any]) -> Any:
    learner = {"stacked": stacked, "processes": processes} | tables.pop("learner", {})
    return config("two-policies", schedule, actors=1, env=HUNT, learner=learner, **tables)


@pytest.mark.parametrize(
    ("processes", "tables"),
    [
        (1, {"learner": {"n_step": 3, "grad_accumulation": 2}}),
        (1, {"replay": {"prioritized": True}}),
        (2, {}),
    ],
    ids=["one process", "prioritized", "two processes"],
)
def test_stacked_learners_are_sequential(
    fleet: Fleet, processes: int, tables: dict[str, Any]
) -> None:
    one, two = (
        fleet.run(hunt(schedule, stacked=True, processes=processes, **tables))
        for schedule in ("sequential", "lockstep")
    )
    assert len(one.fingerprint) == 3
    same(one, two)


@pytest.mark.parametrize("schedule", ["lockstep", "async"])
def test_who_has_less_data_than_others_in_the_stack_holds_up_nobody(
    fleet: Fleet, schedule: str
) -> None:
    """Agents that leave early and act masked: due counts differ, and all updates are made."""
    one, two = (
        fleet.run(
            config(
                "cartpole",
                which,
                env={
                    "id": "tests.envs.aec:Moves",
                    "kwargs": {"turns": "random", "p_leave": 0.05, "masked": True},
                },
                policies={"map": "each"},
                learner={"stacked": True},
                replay={"capacity": 300},
            )
        )
        for which in ("sequential", schedule)
    )
    assert len(set(one.totals.updates)) > 1, "all had the same data"
    for run in (one, two):
        for inserts, updates in zip(run.totals.inserts, run.totals.updates, strict=True):
            assert updates == int((inserts - 41) * 0.3) + 1
    if schedule == "lockstep":
        same(one, two)


def test_stacked_learners_make_every_update_in_async(fleet: Fleet) -> None:
    end = fleet.run(hunt("async", stacked=True))
    learned = {r["policy"] for r in end.records if r["kind"] == "learner"}
    assert len(learned) == 3
    for inserts, updates in zip(end.totals.inserts, end.totals.updates, strict=True):
        assert updates == int((inserts - 21) * 0.3) + 1


def test_stacking_is_not_nothing(fleet: Fleet) -> None:
    """Products of a stack are rounded otherwise: what is proven above is proven of stacks."""
    one, two = (fleet.run(hunt("sequential", stacked=stacked)) for stacked in (True, False))
    assert one.fingerprint != two.fingerprint
    assert one.totals == two.totals


@pytest.mark.parametrize(
    ("tables", "why"),
    [
        ({"algorithm": FEW}, 'algorithm.name is "iqn"'),
        ({}, "no two policies of one learner process have networks of the same form"),
    ],
)
def test_what_cannot_be_stacked_is_refused(fleet: Fleet, tables: dict[str, Any], why: str) -> None:
    with pytest.raises(ConfigError, match=f"learner.stacked = true: cannot be: {why}"):
        outcome(fleet, "sequential", learner={"stacked": True}, **tables)
