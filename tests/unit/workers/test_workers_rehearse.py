"""The rehearsal of `doctor --learn` in this process: random play, and one batch by heart."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest

from tests.envs import Chain
from tuitrain.config.load import config_from
from tuitrain.config.resolve import resolve
from tuitrain.config.runs import new_run_id
from tuitrain.replay import segment
from tuitrain.workers.asides.rehearse import rehearse
from tuitrain.workers.stores import segment_prefix


def rehearsed(folder: Path, seconds: float = 20.0, **tables: Any) -> dict[str, Any]:
    tables = {"learner": {"lr": 1e-3, "batch_size": 32}} | tables
    config = resolve(config_from(tables), cores=2)
    said: dict[str, Any] = {}
    fields = json.loads(config.model_dump_json())
    run_id = new_run_id()
    question = {"config": fields, "run_id": run_id, "folder": str(folder), "seconds": seconds}
    rehearse(question, lambda **what: said.update(what))
    assert segment.list_names(segment_prefix(run_id)) == []
    found: dict[str, Any] = said["rehearsed"]
    return found


def test_cartpole_is_worth_twenty_at_random_and_its_batch_is_learned(tmp_path: Path) -> None:
    (found,) = rehearsed(tmp_path).values()
    assert 10 < found["random"]["return_mean"] < 40
    assert found["random"]["episodes"] == 20
    assert found["rewarded_share"] == 1.0
    (tried,) = found["tried"]
    assert tried["learned"]
    assert tried["unmoved"] == ()


def test_with_a_learning_rate_of_nothing_a_usual_one_is_tried(tmp_path: Path) -> None:
    (found,) = rehearsed(tmp_path, learner={"lr": 1e-12, "batch_size": 32}).values()
    own, usual = found["tried"]
    assert not own["learned"]
    assert usual["learned"]
    assert usual["lr"] == 1e-3


def test_without_time_there_is_no_answer_and_no_error(tmp_path: Path) -> None:
    (found,) = rehearsed(tmp_path, seconds=0.0).values()
    assert found == {
        "random": None, "transitions": 0, "rewarded_share": None, "still_share": None, "tried": []
    }  # fmt: skip


class Stale(Chain):
    """What is seen is what the episode began with."""

    def step(self, action: int) -> Any:
        _, *rest = super().step(action)
        return self.reset_seen, *rest

    def reset(self, **how: Any) -> Any:
        self.reset_seen, info = super().reset(**how)
        return self.reset_seen, info


@pytest.mark.parametrize(("name", "least", "most"), [("Stale", 1.0, 1.0), ("Chain", 0.0, 0.6)])
def test_observations_that_stand_still_are_counted(
    name: str, least: float, most: float, tmp_path: Path
) -> None:
    env = {"id": f"tests.unit.workers.test_workers_rehearse:{name}", "kwargs": {"length": 6}}
    (found,) = rehearsed(tmp_path, seconds=8.0, env=env).values()
    assert least <= found["still_share"] <= most
