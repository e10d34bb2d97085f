"""Keys that are changed in the midst of a run: who goes by them when, and what is remembered."""

from __future__ import annotations

from itertools import pairwise
from pathlib import Path
from typing import Any

import pytest

from tests.fleet import Fleet
from tests.parity.cases import config
from tests.parity.resumption import Session, every_record, session
from tuitrain.checkpoint.payload import load, load_whole
from tuitrain.config.live import with_values
from tuitrain.config.resolve import resolve
from tuitrain.config.schema import Config
from tuitrain.schedules.rounds import learn_half, open_round
from tuitrain.workers.asides.probe import probe
from tuitrain.workers.blueprint import Blueprint

__all__ = ["every_record"]

pytestmark = pytest.mark.usefixtures("every_record")

PRIORITIZED: dict[str, Any] = {"replay": {"prioritized": True}}
CASE = config("cartpole", "sequential", run={"total_steps": 22 * 40}, **PRIORITIZED)
"""Of a few rounds more than any test here makes."""
VALUES = {
    "learner.lr": 3e-3,
    "learner.replay_ratio": 0.7,
    "exploration.epsilon_end": 0.3,
    "eval.every_steps": 40,
}
OTHER = with_values(resolve(CASE, cores=2), VALUES)
N = 8


def change(run: Session, values: dict[str, Any]) -> None:
    """As a worker does that has been told, at the boundary between two rounds."""
    blueprint = run.trainer.blueprint
    run.trainer.retune(blueprint.changed(with_values(blueprint.config, values)))


def changed_and_saved(folder: Path) -> Session:
    """N rounds, a change, N rounds, a checkpoint."""
    with session(CASE, folder) as run:
        run.go(N)
        change(run, VALUES)
        run.go(N)
        run.save()
    return run


def test_a_change_holds_at_once_and_leaves_no_debt(tmp_path: Path) -> None:
    with session(CASE, tmp_path) as run:
        limiter = run.trainer.stores.limiter
        run.go(N)
        before = limiter.totals()
        change(run, VALUES)
        run.go(N)
        after = limiter.totals()
    made = after.updates[0] - before.updates[0]
    brought = after.inserts[0] - before.inserts[0]
    # in rounds the learner is a round behind
    per_round = brought / N
    assert abs(made - 0.7 * brought) <= 0.7 * per_round + 1
    records = run.link.records
    rates = [r["lr"] for r in records if r["kind"] == "learner"]
    assert rates[0] == CASE.learner.lr
    assert rates[-1] == 3e-3
    epsilons = [r["epsilon"] for r in records if r["kind"] == "train"]
    assert epsilons[-1] == pytest.approx(0.3)
    steps = [r["steps"] for r in records if r["kind"] == "eval"]
    passed = after.steps // 40 - before.steps // 40
    assert sum(s > before.steps for s in steps) == passed >= N - 1


@pytest.mark.parametrize("forgotten", ["", "ratios", "laid_out"])
def test_a_resumed_run_goes_on_with_what_was_changed(
    tmp_path: Path, forgotten: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    """▣ Byte for byte as the one that was not interrupted; and each thing forgotten shows."""
    with session(CASE, tmp_path / "whole") as whole:
        whole.go(N)
        change(whole, VALUES)
        whole.go(N)
        at = len(whole.link.records)
        whole.go(N // 2)
        expected = whole.left()
    changed_and_saved(tmp_path / "cut")
    if forgotten:
        read = load_whole

        def without(path: Path) -> dict[str, Any]:
            return {k: v for k, v in read(path).items() if k != forgotten}

        monkeypatch.setattr("tuitrain.checkpoint.payload.load_whole", without)
    with session(OTHER, tmp_path / "cut") as resumed:
        base = resumed.blueprint.base
        resumed.go(N // 2)
        found = resumed.left()
    assert base.exact == (forgotten != "laid_out"), "else it has other memory than it had"
    assert not base.reproducible
    same = (found.fingerprint, found.counts) == (expected.fingerprint, expected.counts)
    assert same == (not forgotten)
    if not forgotten:
        assert found.records == expected.records[at:]


OWN = {"scout": "scout", "digger": "digger"}
OPEN = config(
    "two-policies", "sequential", learner={"lr_schedule": "linear"}, policies={"map": OWN}
)


RATIO = {"learner.replay_ratio": 1.5}


@pytest.mark.parametrize("kept", [True, False])
def test_an_open_schedule_goes_on_from_where_it_is(tmp_path: Path, kept: bool) -> None:
    """▣ Also in a resumed run, with the replay it had or with a new one."""
    with session(OPEN, tmp_path) as run:
        run.go(N)
        change(run, RATIO)
        run.go(N)
        run.save()
    rates = scouted(run)
    falls = [a - b for a, b in pairwise(rates)]
    assert min(falls) > 0, "never back"
    assert max(falls) < 3 * min(falls), "as far in each round as ever, whatever the ratio"
    later: dict[str, Any] = dict(RATIO)
    if not kept:  # rows are not where they were
        later["replay.capacity"] = 2 * OPEN.replay.capacity
    with session(with_values(resolve(OPEN, cores=2), later), tmp_path) as resumed:
        assert bool(resumed.blueprint.base.states) == kept
        resumed.go(N // 2)
    assert 0 < rates[-1] - scouted(resumed)[0] < 3 * min(falls)


def scouted(run: Session) -> list[float]:
    """Learning rates of one policy, by round."""
    found = [r for r in run.link.records if r["kind"] == "learner" and r["policy"] == "scout"]
    return [r["lr"] for r in found if "lr" in r]


@pytest.mark.parametrize("case", [OPEN, config("two-policies", "sequential", **PRIORITIZED)])
def test_who_pins_its_windows_before_changes_at_the_same_round(
    tmp_path: Path, case: Config
) -> None:
    """▣ A learner that does not conduct: the same bytes as in `sequential`."""
    found = []
    for pins_before in (False, True):
        with session(case, tmp_path / str(pins_before)) as run:
            run.go(N)
            link: Any = run.link
            learner = run.trainer.learner
            if pins_before:
                opened = open_round(learner)
                change(run, RATIO)
            else:
                change(run, RATIO)
                opened = open_round(learner)
            assert opened is not None
            learn_half(learner, opened.due, link)
            found.append(run.left().fingerprint)
    assert found[0] == found[1]


def test_what_was_changed_back_was_changed(tmp_path: Path) -> None:
    with session(CASE, tmp_path) as run:
        run.go(N)
        change(run, {"learner.lr": 1e-4})
        run.go(1)
        change(run, {"learner.lr": CASE.learner.lr})
        payload = load_saved(run)
    assert payload["changes"] == {"learner.lr": CASE.learner.lr}
    with session(CASE, tmp_path) as resumed:
        assert (resumed.blueprint.base.exact, resumed.blueprint.base.reproducible) == (True, False)


def test_a_log_level_changes_nothing_that_is_trained(tmp_path: Path) -> None:
    with session(CASE, tmp_path) as run:
        run.go(N)
        change(run, {"run.log_level": "debug"})
        assert run.trainer.blueprint.reproducible
        run.save()
    with session(CASE, tmp_path) as resumed:
        assert resumed.blueprint.base.reproducible


def test_a_change_that_was_not_saved_is_named(tmp_path: Path) -> None:
    """As after a death before the next checkpoint: all is made again by the changed config."""
    with session(CASE, tmp_path) as run:
        run.go(N)
        run.save()
    blueprint = run.blueprint.changed(OTHER)
    told = str(probe(blueprint.config, tmp_path)["resumes"])
    assert "learner.lr = 0.003 (was 0.01)" in told
    assert "learner.replay_ratio = 0.7 (was 0.3)" in told
    with session(OTHER, tmp_path) as resumed:
        limiter = resumed.trainer.stores.limiter
        due, counts = limiter.updates_due(0), limiter.counts()
        assert resumed.blueprint.base.exact
        assert not resumed.blueprint.base.reproducible
        assert limiter.ratios()[0][1:] == (counts.inserts[0], counts.updates[0] + due - 1)


def test_memory_stays_as_it_was_laid_out(tmp_path: Path) -> None:
    """▣ A successor finds the segments that its predecessor had, whatever the ratio is now."""
    with session(CASE, tmp_path) as run:
        blueprint: Blueprint = run.blueprint.changed(with_values(CASE, {"learner.lr": 1e-4}))
        for ratio in (0.01, 4.0):
            changed = with_values(blueprint.config, {"learner.replay_ratio": ratio})
            blueprint = blueprint.changed(changed)
            layout = blueprint.replay_layout("default")
            assert layout.layout_hash() == run.blueprint.replay_layout("default").layout_hash()
            assert blueprint.limiter_rule("default") == run.blueprint.limiter_rule("default")
        fresh = blueprint.limiter_rule("default", blueprint.config.learner.updates_per_transition)
        assert float(fresh.updates_per_insert) == 4.0


@pytest.mark.xdist_group("fleet")
@pytest.mark.parametrize("learners", [1, 2])
def test_in_lockstep_all_change_at_one_round_as_in_sequential(fleet: Fleet, learners: int) -> None:
    """▣ Byte for byte, also where several learn."""
    values = dict(VALUES)
    if learners > 1:  # who does not conduct counts what is due of a round before it opens
        del values["learner.replay_ratio"]
    environment = "two-policies" if learners > 1 else "cartpole"
    tables: dict[str, Any] = {"learner": {"processes": learners}}
    alone, together = (
        fleet.run(config(environment, schedule, **tables), told=values)
        for schedule in ("sequential", "lockstep")
    )
    assert together.fingerprint == alone.fingerprint
    assert together.totals == alone.totals
    assert sorted(together.evaluations()) == sorted(alone.evaluations())
    unchanged = fleet.run(config(environment, "lockstep", **tables))
    assert unchanged.fingerprint != alone.fingerprint


@pytest.mark.xdist_group("fleet")
def test_in_async_all_go_by_it(fleet: Fleet) -> None:
    case = config("cartpole", "async", run={"total_steps": 3000})
    found = fleet.run(case, told=VALUES)
    made, brought = found.totals.updates[0], found.totals.inserts[0]
    assert made > 0.6 * (brought - case.replay.learning_starts)
    rates = {r["lr"] for r in found.records if r["kind"] == "learner"}
    assert 3e-3 in rates
    assert [r for r in found.records if r["kind"] == "train"][-1]["epsilon"] == 0.3


def load_saved(run: Session) -> dict[str, Any]:
    """What a checkpoint made now holds."""
    payload: dict[str, Any] = load(run.save())
    return payload
