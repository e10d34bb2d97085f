"""The folder of a comparison: one user at a time, and what is stored outlives damage."""

from __future__ import annotations

from pathlib import Path

import pytest

from tests.unit.experiments.finals import plan
from tuitrain.experiments.plan import Cell, PlanError
from tuitrain.experiments.store import Result, Store


def test_one_comparison_at_a_time_works_on_a_folder(store: Store) -> None:
    with (
        store.only_user(),
        pytest.raises(PlanError, match="another `tuitrain compare`"),
        Store(store.path).only_user(),
    ):
        pass
    with store.only_user():
        pass


def test_a_folder_that_cannot_be_made_is_said(tmp_path: Path) -> None:
    (tmp_path / "file").touch()
    with (
        pytest.raises(PlanError, match="--out"),
        Store(tmp_path / "file" / "c").only_user(),
    ):
        pass


def test_a_plan_is_stored_and_damage_is_named(store: Store) -> None:
    planned = plan("base", "new")
    assert store.read_plan() is None
    with store.only_user():
        store.write_plan(planned, ["tuitrain", "compare"])
    assert store.read_plan() == planned
    for damage in ("{", "[]"):
        store.plan_json.write_text(damage)
        with pytest.raises(PlanError, match=r"comparison\.json"):
            store.read_plan()


def test_a_finished_result_outlives_later_failures_and_torn_lines(store: Store) -> None:
    cell = Cell("a", "", 1)
    with store.only_user():
        for state in ("failed", "finished", "failed"):
            store.add(Result(cell, state, "", state, 1, 1.0, {}))
    with open(store.results_jsonl, "a") as file:
        file.write('{"arm": "a", "seed": 9}\n{"arm"')
    assert {c: r.state for c, r in store.results().items()} == {cell: "finished"}
