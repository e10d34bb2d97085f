"""Whether a policy learns is read from its evaluations: not from loss, nor from training returns.

A loss that falls and training returns that rise as exploration falls are what a run that learns
nothing looks like from the outside.
"""

from __future__ import annotations

from typing import Any

import pytest

from tests.unit.supervisor.test_supervisor_snapshot import build, run
from tuitrain.diagnosis.verdict import Evaluation, judge
from tuitrain.supervisor.snapshot import RunView

MOMENTS = range(12)
FALLING_LOSS = [1.0 - i / 20 for i in MOMENTS]
RISING_RETURNS = [10.0 + 15.0 * i for i in MOMENTS]
"""Of training: what is left of epsilon costs less and less."""
FLAT, RISING = [200.0] * len(MOMENTS), [200.0 + 10.0 * i for i in MOMENTS]


def told(loss: list[float], train: list[float], evaluations: list[float]) -> RunView:
    """A run whose records say this, moment by moment."""
    view = run()
    for i in MOMENTS:
        about: dict[str, Any] = {"policy": "default", "steps": 1000 * i}
        view.on_record({"kind": "learner", "loss": loss[i], **about}, float(i))
        view.on_record({"kind": "train", "return_mean": train[i], "episodes": 9, **about}, float(i))
        mean = {"return_mean": evaluations[i], "return_ci95": 4.0, "episodes": 20}
        view.on_record({"kind": "eval", **mean, **about}, float(i))
    return view


def verdict(*curves: list[float]) -> str:
    return str(build(told(*curves), now=20.0).learning.verdict)


@pytest.mark.parametrize("loss", [FALLING_LOSS, FALLING_LOSS[::-1], [1.0] * len(MOMENTS)])
@pytest.mark.parametrize("train", [RISING_RETURNS, RISING_RETURNS[::-1]])
def test_neither_loss_nor_training_return_changes_the_verdict(
    loss: list[float], train: list[float]
) -> None:
    assert verdict(loss, train, FLAT) == "FLAT"
    assert verdict(loss, train, RISING) == "IMPROVING"
    assert verdict(loss, train, RISING[::-1]) == "FALLING"


@pytest.mark.parametrize("curve", [RISING_RETURNS, [-x for x in FALLING_LOSS]])
def test_a_verdict_by_anything_else_would_be_seen(curve: list[float]) -> None:
    """▣ The very run that is FLAT above is improving by its training returns, and by its loss."""
    points = [Evaluation(1000 * i, curve[i], 0.01) for i in MOMENTS]
    assert judge(points).verdict == "IMPROVING"
