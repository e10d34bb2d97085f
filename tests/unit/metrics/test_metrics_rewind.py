"""Going back in steps: which records count, and that every reader leaves out the others."""

from __future__ import annotations

import itertools
import json
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from tuitrain.experiments.curves import read_curves
from tuitrain.metrics.rewind import Rewind, surviving
from tuitrain.metrics.sinks import JsonLines, RecordHistory
from tuitrain.supervisor.journal import Journal
from tuitrain.tui.recorded import load_recorded
from tuitrain.tui.store import Store


def learner(steps: int, updates: int = 0, policy: str = "p", **more: Any) -> dict[str, Any]:
    return {"kind": "learner", "policy": policy, "steps": steps, "updates": updates, **more}


def rewind(steps: int, session: int = 1, **updates: int) -> dict[str, Any]:
    return Rewind(steps, updates).record(session, "resumed")


def steps_of(records: list[dict[str, Any]]) -> list[int]:
    return [r["steps"] for r in surviving(records) if r["kind"] != "rewind"]


def test_what_was_measured_after_the_counts_is_left_out() -> None:
    records = [learner(10), learner(20), learner(30), rewind(20), learner(25), learner(30)]
    assert steps_of(records) == [10, 20, 25, 30]
    assert [r["kind"] for r in surviving(records)].count("rewind") == 1


def test_a_lower_rewind_voids_what_an_earlier_one_has_left() -> None:
    records = [
        *(learner(s) for s in (10, 20, 30)),
        rewind(25, 1),
        *(learner(s) for s in (26, 40)),
        rewind(15, 2),
        learner(16),
    ]
    assert steps_of(records) == [10, 16]


def test_a_higher_rewind_after_a_lower_one_changes_nothing_before() -> None:
    records = [learner(10), learner(20), rewind(10, 1), learner(15), learner(50), rewind(40, 2)]
    assert steps_of(records) == [10, 15]


def test_at_the_same_step_the_updates_of_the_policy_decide() -> None:
    records = [learner(20, 5), learner(20, 6), learner(20, 7, "q"), rewind(20, p=5)]
    assert [r["policy"] for r in surviving(records) if "policy" in r] == ["p", "q"]
    assert next(surviving(records))["updates"] == 5


def test_what_has_no_steps_and_rewinds_that_say_nothing_are_kept() -> None:
    records: list[dict[str, Any]] = [
        {"kind": "system"},
        {"kind": "system", "steps": None},
        {"kind": "system", "steps": 9},
        {"kind": "rewind", "steps": None},
        {"kind": "rewind", "steps": float("nan")},
    ]
    assert list(surviving(records)) == records


@pytest.mark.parametrize("seed", range(20))
def test_it_is_what_removing_them_one_by_one_gives(seed: int) -> None:
    """The definition: at each rewind, filter what is there."""
    rng = np.random.default_rng(seed)
    records, kept = [], []
    for _ in range(200):
        steps, updates = int(rng.integers(8)), {"p": int(rng.integers(3))}
        if rng.random() < 0.1:
            record = Rewind(steps, updates).record(0, "")
            kept = [r for r in kept if not Rewind(steps, updates).voids(r)]
        else:
            record = learner(steps, int(rng.integers(3)), str(rng.choice(["p", "q"])))
        records.append(record)
        kept.append(record)
    assert list(surviving(records)) == kept
    assert list(surviving(iter(records))) == kept
    history = RecordHistory()
    for place, record in enumerate(records):
        history.add(record | {"time_s": place})
    without_time = [{k: v for k, v in r.items() if k != "time_s"} for r in history.all()]
    assert without_time == kept


def evaluations(path: Path, *groups: list[int]) -> None:
    """A metrics.jsonl of sessions, each resumed from half of where the one before had come."""
    lines, clock = [], itertools.count(1)
    for number, group in enumerate(groups):
        if number:
            lines.append(rewind(groups[number - 1][-1] // 2, number))
        lines += [
            {"kind": "eval", "policy": "p", "steps": s, "return_mean": float(100 * number + s)}
            for s in group
        ]
    with path.open("w") as file:
        for line in lines:
            now = next(clock)
            file.write(json.dumps(line | {"time_s": now, "wall_s": now}) + "\n")


def test_a_run_that_was_killed_and_resumed_has_one_curve(tmp_path: Path) -> None:
    path = tmp_path / "metrics.jsonl"
    evaluations(path, [10, 20, 30, 40], [25, 35])
    (curve,) = read_curves(path).values()
    assert curve.steps.tolist() == [10, 20, 25, 35]
    assert curve.returns.tolist() == [10, 20, 125, 135]
    store = Store()
    load_recorded(tmp_path, store)
    view = store.curves()["p", "eval", "return_mean"]
    assert (view.steps.tolist(), view.value.tolist()) == ([10, 20, 25, 35], [10, 20, 125, 135])
    book = Journal(tmp_path / "events.jsonl", path)
    assert [r["steps"] for r in book.earlier_records] == [10, 20, 25, 35]
    assert [r["steps"] for r in book.history.all() if r["kind"] == "eval"] == [10, 20, 25, 35]
    book.close()
    assert len(list(JsonLines(path))) == 7, "nothing was deleted"


def test_the_journal_writes_a_rewind_only_where_something_lies_after_it(tmp_path: Path) -> None:
    book = Journal(tmp_path / "e.jsonl", tmp_path / "m.jsonl")
    told: list[Rewind] = []
    book.on_rewind.append(told.append)
    assert book.rewind(0, {}, "new") is None
    book.record({"kind": "eval", "policy": "p", "steps": 70, "updates": 7, "return_mean": 1.0})
    assert book.rewind(70, {"p": 7}, "stopped there") is None
    assert book.rewind(60, {"p": 6}, "resumed", 3) == Rewind(60, {"p": 6})
    assert told == [Rewind(60, {"p": 6})]
    assert book.earlier_records == []
    assert book.rewind(60, {"p": 6}, "again") is None
    book.close()
    last = list(JsonLines(tmp_path / "m.jsonl"))[-1]
    assert {k: last[k] for k in ("kind", "steps", "updates", "session", "why")} == {
        "kind": "rewind",
        "steps": 60,
        "updates": {"p": 6},
        "session": 3,
        "why": "resumed",
    }


def test_a_learner_that_goes_back_alone_makes_nothing_void_over_steps(tmp_path: Path) -> None:
    book = Journal(tmp_path / "e.jsonl", tmp_path / "m.jsonl")
    for steps, updates in ((10, 1), (20, 2), (30, 3)):
        book.record(learner(steps, updates, return_mean=float(steps)) | {"kind": "eval"})
    book.record({"kind": "train", "policy": "q", "steps": 40, "updates": 9})
    book.rewind_updates({"p": 3}, "nothing is lost")
    book.rewind_updates({"p": 1}, "learner failed", 2)
    book.close()
    lines = list(JsonLines(tmp_path / "m.jsonl"))
    found = [(r["steps"], r["updates"], r["session"]) for r in lines if r["kind"] == "rewind"]
    assert found == [(40, {"p": 1}, 2)]
    assert list(surviving(lines)) == lines
    (curve,) = read_curves(tmp_path / "m.jsonl").values()
    assert curve.steps.tolist() == [10, 20, 30]
    last = Rewind.of(lines[-1])
    assert last is not None
    assert [last.loses(record) for record in lines] == [False, True, True, False, False]


def test_a_screen_shows_lost_updates_over_steps_and_not_over_updates() -> None:
    store, clock = Store(), itertools.count(1.0)
    for record in (
        learner(10, 10, loss=1.0),
        learner(20, 20, loss=2.0),
        learner(20, 20, "q", loss=2.0),
        rewind(25, p=10),
        learner(30, 11, loss=3.0),
    ):
        now = next(clock)
        store.add_record(record | {"time_s": now, "wall_s": now})
    view = store.curves()["p", "learner", "loss"]
    assert view.steps.tolist() == [10, 20, 30]
    assert view.value.tolist() == [1, 2, 3]
    np.testing.assert_array_equal(view.updates, [10, np.nan, 11])
    assert store.curves()["q", "learner", "loss"].updates.tolist() == [20]


def test_a_screen_that_looks_on_forgets_too_and_keeps_what_it_has_drawn() -> None:
    store, clock = Store(), itertools.count(1.0)

    def add(record: dict[str, Any]) -> None:
        now = next(clock)
        store.add_record(record | {"time_s": now, "wall_s": now})

    for steps in (10, 20, 30):
        add(learner(steps, steps, loss=steps / 10))
    before = store.curves()["p", "learner", "loss"]
    add(rewind(20, p=20))
    assert ("p", "learner") not in store.latest
    add(learner(22, 22, loss=9.0))
    after = store.curves()["p", "learner", "loss"]
    assert before.steps.tolist() == [10, 20, 30]
    assert (after.steps.tolist(), after.value.tolist()) == ([10, 20, 22], [1.0, 2.0, 9.0])
    add(rewind(20, p=19))
    assert store.curves()["p", "learner", "loss"].steps.tolist() == [10]
