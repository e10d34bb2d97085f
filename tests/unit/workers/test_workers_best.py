"""The best evaluation's weights: the very ones, kept through restarts, damage and full disks."""

from __future__ import annotations

import errno
import math
import os
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch

from tests.unit.workers.one_actor import Run, one_actor
from tuitrain import load_policy
from tuitrain.checkpoint.files import BEST, checkpoints
from tuitrain.checkpoint.payload import load
from tuitrain.checkpoint.pruning import prune, sweep
from tuitrain.schedules.evaluation import build_evaluator
from tuitrain.workers.asides.trained import named
from tuitrain.workers.evaluating.best import Best, Told
from tuitrain.workers.evaluating.evaluator import EvalResult, Evaluator
from tuitrain.workers.learners.learner import Learner

HUNT: dict[str, Any] = {
    "env": {"id": "tuitrain.envs.treasurehunt:make", "kwargs": {"agents": 2, "turns": 12}},
}


@pytest.fixture
def run(tmp_path: Path) -> Iterator[Run]:
    with one_actor(tmp_path, **HUNT) as made:
        yield made


@pytest.fixture
def evaluator(run: Run) -> Iterator[Evaluator]:
    """One that has pulled the run's first weights."""
    blueprint, stores = run
    made = build_evaluator(blueprint)
    made.pull(stores, blueprint.evaluator_reader)
    yield made
    made.close()


def results(evaluator: Evaluator, *returns: float) -> list[EvalResult]:
    return [
        EvalResult(name, 3, value, 0.5, value, value, 9.0)
        for name, value in zip(evaluator.policies, returns, strict=True)
    ]


def considered(best: Best, evaluator: Evaluator, *returns: float, steps: int = 40) -> Told | None:
    return best.consider(results(evaluator, *returns), evaluator.policies, evaluator.held, steps)


def file_of(run: Run) -> Path:
    return Path(run[0].run_dir) / "checkpoints" / BEST


def test_the_mean_over_policies_decides_and_an_equal_one_is_no_better(
    run: Run, evaluator: Evaluator
) -> None:
    best = Best(run[0])
    assert best.found is None
    told = considered(best, evaluator, 1.0, 3.0)
    assert told is not None
    assert told.text == "best so far: mean return 2 at 40 environment steps (best.pt)"
    assert told.best == {"path": str(file_of(run)), "score": 2.0, "steps": 40, "policy": None}
    assert considered(best, evaluator, 3.0, 1.0) is None
    assert considered(best, evaluator, 9.0, -9.0) is None
    assert considered(best, evaluator, math.nan, 99.0) is None, "not everybody was evaluated"
    assert considered(best, evaluator, 3.0, 1.1, steps=70) is not None
    payload = load(file_of(run))
    assert payload["steps"] == 70
    assert list(payload["returns"].values()) == [3.0, 1.1]
    assert list(payload["ci95"].values()) == [0.5, 0.5]


def test_of_one_policy_it_is_that_policys_return(run: Run, evaluator: Evaluator) -> None:
    blueprint = run[0]
    first = blueprint.policies[0]
    stop = blueprint.config.stop.model_copy(update={"policy": first})
    own = replace(blueprint, config=blueprint.config.model_copy(update={"stop": stop}))
    best = Best(own)
    assert considered(best, evaluator, 1.0, 9.0) is not None
    assert considered(best, evaluator, 1.0, 99.0) is None
    told = considered(best, evaluator, 2.0, -99.0)
    assert told is not None
    assert f"mean return 2 of {first} at" in told.text
    # whoever then looks at all of them has another score of the same file
    assert Best(blueprint).score == (2.0 - 99.0) / 2


def test_it_holds_the_very_weights_that_were_evaluated(run: Run, evaluator: Evaluator) -> None:
    blueprint, stores = run
    learner = Learner(blueprint, stores)
    for part in learner.policies.values():
        with torch.no_grad():
            for value in part.dqn.online.parameters():
                value += 0.125
    learner.publish(30)
    evaluator.pull(stores, blueprint.evaluator_reader)
    wanted = {name: part.dqn.state_dict()["online"] for name, part in learner.policies.items()}
    for part in learner.policies.values():  # the learner has gone on meanwhile
        with torch.no_grad():
            for value in part.dqn.online.parameters():
                value += 1.0
    learner.publish(60)
    assert considered(Best(blueprint), evaluator, 1.0, 1.0)
    payload = load(file_of(run))
    for name, state in wanted.items():
        kept = payload["policies"][name]["dqn"]["online"]
        assert kept.keys() == state.keys()
        assert all(torch.equal(kept[key], state[key]) for key in state)
    assert payload["versions"] == {n: held.version for n, held in evaluator.held.items()}


def test_it_outlives_sessions_evaluators_pruning_and_sweeps(run: Run, evaluator: Evaluator) -> None:
    blueprint, stores = run
    assert considered(Best(blueprint), evaluator, 4.0, 4.0)
    newest = Path(Learner(blueprint, stores).save()["path"])
    assert checkpoints(newest.parent) == [newest]
    prune(newest.parent, newest, 1)
    sweep(newest.parent)
    again = Best(blueprint)
    assert again.score == 4.0
    assert again.found is not None
    assert again.found.best is not None
    assert again.found.best["steps"] == 40
    assert considered(again, evaluator, 4.0, 3.9) is None


def test_one_under_way_is_left_alone_and_a_killed_writers_is_removed(
    run: Run, evaluator: Evaluator
) -> None:
    blueprint, stores = run
    newest = Path(Learner(blueprint, stores).save()["path"])
    temporary = newest.parent / f".{Path(BEST).stem}.123.tmp"
    temporary.touch()
    prune(newest.parent, newest, 1)
    sweep(newest.parent)
    assert temporary.exists()
    Best(blueprint)
    assert not temporary.exists()


def test_a_damaged_one_is_told_of_and_replaced(run: Run, evaluator: Evaluator) -> None:
    blueprint = run[0]
    assert considered(Best(blueprint), evaluator, 4.0, 4.0)
    path = file_of(run)
    data = bytearray(path.read_bytes())
    data[len(data) // 2] ^= 1
    path.write_bytes(data)
    best = Best(blueprint)
    assert best.score is None
    assert best.found is not None
    assert best.found.level == "warning"
    assert "do not match its SHA-256" in best.found.text
    assert considered(best, evaluator, 1.0, 1.0)
    assert Best(blueprint).score == 1.0


@pytest.mark.parametrize("call", ["open", "fsync", "replace"])
def test_a_full_disk_costs_the_file_alone(
    run: Run, evaluator: Evaluator, call: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    best = Best(run[0])
    assert considered(best, evaluator, 1.0, 1.0)
    before = file_of(run).read_bytes()

    def full(*_: Any, **__: Any) -> Any:
        raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))

    if call == "open":
        monkeypatch.setattr("builtins.open", full)
    else:
        monkeypatch.setattr(os, call, full)
    told = considered(best, evaluator, 2.0, 2.0)
    monkeypatch.undo()
    assert told is not None
    assert told.level == "warning"
    assert told.best is None
    assert "No space left on device" in told.text
    assert "training goes on" in told.text
    assert file_of(run).read_bytes() == before
    assert not list(file_of(run).parent.glob(".*.tmp"))
    assert considered(best, evaluator, 2.0, 2.0), "there is room again"


def test_it_is_played_and_loaded_by_name(run: Run, evaluator: Evaluator) -> None:
    blueprint, stores = run
    folder = Path(blueprint.run_dir)
    from tuitrain.config.load import to_toml

    (folder / "config.toml").write_text(to_toml(blueprint.config))
    with pytest.raises(FileNotFoundError, match=r"has no best\.pt"):
        named(folder, "best")
    assert considered(Best(blueprint), evaluator, 4.0, 4.0)
    newest = Path(Learner(blueprint, stores).save()["path"])
    assert named(folder, "best") == file_of(run)
    assert named(folder, "0") == named(folder, newest.name) == newest
    with pytest.raises(FileNotFoundError, match="there are: 0"):
        named(folder, "12")
    name = blueprint.policies[0]
    policy = load_policy(folder, name, checkpoint="best")
    spec = blueprint.spec.policies[name]
    observation = np.ones(spec.observation_shape, spec.dtype)
    action, _ = policy.act(observation, legal=np.ones(spec.n_actions, bool))
    stacked = np.repeat(observation[None, None], blueprint.spec.n_frames, 1)
    assert action == evaluator.policies[name].greedy(stacked)[0]
