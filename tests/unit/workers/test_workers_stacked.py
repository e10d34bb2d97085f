"""A stack over real replay: each policy gets its own batches and priorities, as if alone."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from tests.unit.workers.one_actor import CHUNK_STEPS, Run, one_actor
from tuitrain.replay.limiter import Ticket
from tuitrain.schedules.acting import build_actor
from tuitrain.workers.learners import stacked_learner
from tuitrain.workers.learners.learner import Learner
from tuitrain.workers.learners.stacked_learner import StackedLearner

UPDATES = 3
POLICIES = 3


@pytest.fixture
def run(tmp_path: Path) -> Iterator[Run]:
    """Three policies of one architecture with rows to learn from."""
    tables: dict[str, Any] = {
        "env": {
            "id": "tuitrain.envs.treasurehunt:make",
            "kwargs": {"agents": POLICIES, "turns": 12, "gem_chance": 0.3},
        },
        "replay": {"prioritized": True},
        "learner": {"stacked": True, "n_step": 2, "grad_accumulation": 2, "lr": 1e-3},
    }
    with one_actor(tmp_path, **tables) as made:
        blueprint, stores = made
        actor = build_actor(blueprint, stores, 0)
        actor.pull()
        for _ in range(6):
            actor.begin(Ticket(0, (0,) * POLICIES), CHUNK_STEPS)
            actor.rollout(CHUNK_STEPS, lambda: None)
            actor.commit()
        actor.close()
        yield made


def learned(run: Run, *, stacked: bool) -> tuple[list[Any], list[Any]]:
    """Weights, and priorities of all cells, per policy after the same updates."""
    blueprint, stores = run
    config = blueprint.config.learner.model_copy(update={"stacked": stacked})
    own = replace(blueprint, config=blueprint.config.model_copy(update={"learner": config}))
    learner = Learner(own, stores)
    assert len(learner.bundles) == (1 if stacked else POLICIES)
    learner.open_windows([0] * POLICIES)
    for bundle in learner.bundles:
        for made in range(UPDATES):
            learner.step_together(bundle, sure=UPDATES - made)
    weights = [part._flat.read().view(np.float32).copy() for part in learner.policies.values()]
    priorities = []
    for part in learner.policies.values():
        assert part.window is not None
        assert part.dqn.updates == UPDATES
        cells = part.reader._index.positions(np.arange(part.window.sampleable))
        priorities.append(part.reader._priorities._tree.get(cells))
    learner.close_windows()
    return weights, priorities


def compare(run: Run) -> None:
    for together, alone in zip(
        learned(run, stacked=True), learned(run, stacked=False), strict=True
    ):
        for mine, theirs in zip(together, alone, strict=True):
            assert len(set(np.unique(theirs))) > 10, "nothing was learned"
            np.testing.assert_allclose(mine, theirs, rtol=2e-3, atol=2e-5)


def test_every_policy_learns_what_it_would_alone(run: Run) -> None:
    compare(run)


def next_ones_batches(monkeypatch: pytest.MonkeyPatch) -> None:
    honest = stacked_learner.stack_batches
    monkeypatch.setattr(
        stacked_learner, "stack_batches", lambda drawn, n: honest([*drawn[1:], drawn[0]], n)
    )


def next_ones_priorities(monkeypatch: pytest.MonkeyPatch) -> None:
    honest = stacked_learner.Stack.update
    monkeypatch.setattr(
        stacked_learner.Stack, "update", lambda self, batches: honest(self, batches).roll(1, 0)
    )


def places_of_the_update_before(monkeypatch: pytest.MonkeyPatch) -> None:
    honest = StackedLearner.draw

    def draw(self: StackedLearner, *given: Any) -> None:
        honest(self, *given)
        for kept in self._drawn_rows:
            kept.rotate(1)

    monkeypatch.setattr(StackedLearner, "draw", draw)


@pytest.mark.parametrize(
    "fault", [next_ones_batches, next_ones_priorities, places_of_the_update_before]
)
def test_the_faults_are_seen(
    run: Run, monkeypatch: pytest.MonkeyPatch, fault: Callable[[pytest.MonkeyPatch], None]
) -> None:
    fault(monkeypatch)
    with pytest.raises(AssertionError):
        compare(run)
