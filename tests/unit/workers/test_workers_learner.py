"""What joins replay and update in a learner: priorities, their weights, noise for actors."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import numpy as np
import pytest
import torch

from tests.unit.workers.one_actor import CHUNK_STEPS, Run, one_actor
from tuitrain.learning import noisy
from tuitrain.replay.limiter import Ticket
from tuitrain.schedules.acting import build_actor
from tuitrain.workers.learners import policy_learner as learner_module
from tuitrain.workers.learners.learner import Learner
from tuitrain.workers.learners.policy_learner import PolicyLearner

BATCH, ACCUMULATED = 8, 2


@pytest.fixture
def run(tmp_path: Path) -> Iterator[Run]:
    tables: dict[str, Any] = {
        "replay": {"prioritized": True, "priority_beta": 0.25},
        "learner": {"grad_accumulation": ACCUMULATED, "batch_size": BATCH},
        "algorithm": {"noisy": True},
    }
    with one_actor(tmp_path, **tables) as made:
        blueprint, stores = made
        actor = build_actor(blueprint, stores, 0)
        actor.pull()
        for _ in range(6):
            actor.begin(Ticket(0, (0,)), CHUNK_STEPS)
            actor.rollout(CHUNK_STEPS, lambda: None)
            actor.commit()
        actor.close()
        yield made


def policy_learner(run: Run) -> PolicyLearner:
    (learner,) = Learner(*run).policies.values()
    return learner


def fake_update(learner: PolicyLearner, error_of: Any) -> list[Any]:
    """Updates that change nothing, and say of each row the error that ``error_of`` gives it."""
    seen: list[Any] = []

    def update(batches: Any) -> Any:
        seen.append(batches)
        errors = torch.cat([torch.from_numpy(error_of(batch)) for batch in batches])
        learner.dqn.updates += 1
        return SimpleNamespace(priorities=lambda: errors)

    learner.dqn.update = update
    return seen


def test_every_row_gets_the_priority_of_its_own_error(run: Run) -> None:
    """Of several updates drawn together, several batches each; told by what the row observed."""
    learner = policy_learner(run)
    window = learner.pin(0)

    def error_of(batch: Any) -> np.ndarray[Any, Any]:
        error: np.ndarray[Any, Any] = np.abs(batch.state.numpy().reshape(BATCH, -1)).sum(1) + 1.0
        return error

    seen = fake_update(learner, error_of)
    learner.draw(window, 3)
    while not learner.must_draw:
        learner.update()
    assert [len(batches) for batches in seen] == [ACCUMULATED] * 3
    index = learner.reader._index
    cells = index.positions(np.arange(window.sampleable))
    observed = np.abs(learner.reader._columns.flat_observation[cells].reshape(len(cells), -1))
    wanted = (observed.sum(1) + 1.0 + 1e-6) ** 0.6
    tree = learner.reader._priorities._tree
    found = tree.get(cells)
    told = found != 1.0  # what nobody has drawn has the first priority still
    assert told.sum() > BATCH
    assert np.allclose(found[told], wanted[told], rtol=1e-5)


def test_weights_reach_the_update_and_beta_grows(run: Run, monkeypatch: pytest.MonkeyPatch) -> None:
    learner = policy_learner(run)
    betas = []
    sample = learner.reader.sample

    def looked_at(*given: Any, beta: float, **more: Any) -> Any:
        betas.append(beta)
        return sample(*given, beta=beta, **more)

    monkeypatch.setattr(learner.reader, "sample", looked_at)
    rng = np.random.default_rng(0)
    seen = fake_update(learner, lambda batch: rng.gamma(0.5, 2.0, BATCH))
    window = learner.pin(0)
    length = learner._course.length
    for updates in (0, length // 2, 10 * length):
        learner.dqn.updates = updates
        learner.draw(window, 1)
        learner.update()
    assert betas == pytest.approx([0.25, 0.625, 1.0], abs=0.02)
    first, *others = [batch.weights for batches in seen for batch in batches]
    assert (first == 1.0).all(), "all priorities were equal"
    assert all(weights.max() == 1.0 for weights in others)
    assert min(weights.min() for weights in others) < 0.9


def test_actors_explore_by_noise_and_evaluation_does_not(run: Run) -> None:
    from tuitrain.schedules.evaluation import build_evaluator

    blueprint, stores = run
    actor = build_actor(blueprint, stores, 0)
    evaluator = build_evaluator(blueprint)
    try:
        for policies, is_noisy in (
            ([part.policy for part in actor.parts.values()], True),
            (list(evaluator.policies.values()), False),
        ):
            for policy in policies:
                layers = noisy.noisy_layers(policy._network)
                assert layers
                assert all(layer.training == is_noisy for layer in layers)
    finally:
        actor.close()
        evaluator.close()


@pytest.mark.parametrize("fault", ["reversed errors", "no weights", "constant beta"])
def test_the_faults_are_seen(run: Run, monkeypatch: pytest.MonkeyPatch, fault: str) -> None:
    """Each of these was silent once."""
    if fault == "no weights":
        honest = learner_module.to_device
        monkeypatch.setattr(learner_module, "to_device", lambda b, d, weights=None: honest(b, d))
    elif fault == "constant beta":
        monkeypatch.setattr(learner_module.PriorityRule, "beta", lambda self, *_: self.beta_start)
    else:
        write = learner_module.PolicyLearner.update

        def update(self: PolicyLearner, *given: Any) -> None:
            tell = self.reader.write_priorities
            self.reader.write_priorities = lambda c, r, e: tell(c, r, e[::-1])
            write(self, *given)
            self.reader.write_priorities = tell

        monkeypatch.setattr(learner_module.PolicyLearner, "update", update)

    def proof() -> None:
        if fault == "reversed errors":
            test_every_row_gets_the_priority_of_its_own_error(run)
        else:
            test_weights_reach_the_update_and_beta_grows(run, monkeypatch)

    with pytest.raises((AssertionError, AttributeError, TypeError)):
        proof()


def test_what_was_drawn_is_told_of_the_moment_it_was_drawn(run: Run) -> None:
    """Ages do not grow because nobody has looked for a while."""
    blueprint, stores = run
    learner = policy_learner(run)
    learner.tell_shards()
    (before,) = stores.shards()["default"]
    assert before["age_p50"] is before["drawn_share"] is before["end"] is None
    inserts = blueprint.config.replay.capacity  # all rows have stamps near 0 here
    window = learner.pin(inserts)
    learner.draw(window, 1)
    learner.tell_shards()
    (then,) = stores.shards()["default"]
    learner.pin(inserts + 1)
    learner.tell_shards()
    (shard,) = stores.shards()["default"]
    assert shard["drawn_share"] == 1
    assert shard["age_p95"] == then["age_p95"] == inserts
    assert then["sampleable"] == window.sampleable > 0
    assert then["priority_mean"] == then["priority_max"] == 1.0
