"""Nothing is saved by the name of a run folder that is another one by now."""

from __future__ import annotations

import errno
from collections.abc import Callable
from pathlib import Path

import pytest

from tests.unit.workers.one_actor import Run, one_actor
from tuitrain.checkpoint.files import CheckpointError
from tuitrain.schedules.acting import build_actor
from tuitrain.schedules.evaluation import build_evaluator
from tuitrain.workers import blueprint
from tuitrain.workers.beginning.state_files import save_actor
from tuitrain.workers.evaluating.best import Best
from tuitrain.workers.evaluating.evaluator import EvalResult
from tuitrain.workers.learners.learner import Learner


def save_a_learner(run: Run) -> str:
    with pytest.raises(CheckpointError) as raised:
        Learner(*run).save()
    return str(raised.value)


def save_an_actor(run: Run) -> str:
    actor = build_actor(*run, 0)
    with pytest.raises(CheckpointError) as raised:
        save_actor(run[0], actor, 1, None, lambda: None, pytest.fail)
    return str(raised.value)


def keep_the_best(run: Run) -> str:
    evaluator = build_evaluator(run[0])
    evaluator.pull(run[1], run[0].evaluator_reader)
    results = [EvalResult(name, 3, 1.0, 0.5, 1.0, 1.0, 9.0) for name in evaluator.policies]
    told = Best(run[0]).consider(results, evaluator.policies, evaluator.held, 40)
    evaluator.close()
    assert told is not None
    assert told.level == "warning"
    return told.text


def test_one_that_cannot_be_looked_up_is_not_said_to_be_gone(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def fails(path: str) -> None:
        raise OSError(errno.EIO, "Input/output error")

    with one_actor(tmp_path) as (made, _):
        with monkeypatch.context() as patch:
            patch.setattr(blueprint, "_id_of", fails)
            with pytest.raises(CheckpointError, match="cannot be looked up: Input/output error"):
                made.checkpoints()
        assert made.checkpoints() == tmp_path / "checkpoints"


@pytest.mark.parametrize("save", [save_a_learner, save_an_actor, keep_the_best])
@pytest.mark.parametrize("in_its_place", [True, False])
def test_it_is_refused(tmp_path: Path, save: Callable[[Run], str], in_its_place: bool) -> None:
    folder = tmp_path / f"{save.__name__}-{in_its_place}"  # memory is named after it
    folder.mkdir()
    with one_actor(folder) as run:
        folder.rename(tmp_path / "moved")
        if in_its_place:
            folder.mkdir()
        assert f"the run folder {folder} was moved or removed" in save(run)
    assert folder.exists() == in_its_place
    assert not in_its_place or list(folder.iterdir()) == []
    assert not (tmp_path / "moved" / "checkpoints").exists()
