"""Means of returns from records, and how far off they can be; the newest evaluations together."""

from __future__ import annotations

import random
from statistics import mean, stdev
from typing import Any

import pytest

from tuitrain.diagnosis.merging import Merged
from tuitrain.diagnosis.returns import Returns, together
from tuitrain.diagnosis.verdict import TRAINED_UPDATES, Evaluation, alike, newest


def record(returns: list[float], **more: Any) -> dict[str, Any]:
    told = {"return_mean": mean(returns), "return_min": min(returns), "return_max": max(returns)}
    return {"kind": "train", "episodes": len(returns), **told, **more}


@pytest.mark.parametrize("seed", range(20))
def test_the_interval_is_never_too_narrow(seed: int) -> None:
    draw = random.Random(seed)
    returns = [draw.choice([draw.gauss(20, 5), draw.expovariate(0.05)]) for _ in range(60)]
    parts = [Returns(), Returns()]
    for at in range(0, 60, 20):
        parts[at % 40 > 0].add(record(returns[at : at + 20]))
    whole = together(parts)
    assert (whole.episodes, whole.mean) == (60, pytest.approx(mean(returns)))
    assert whole.ci95 is not None
    assert whole.ci95 >= 1.96 * stdev(returns) / 60**0.5


def test_of_returns_at_two_ends_the_interval_is_exact() -> None:
    returns = Returns()
    returns.add(record([0.0] * 30 + [1.0] * 10))
    assert returns.ci95 == pytest.approx(1.96 * stdev([0.0] * 30 + [1.0] * 10) / 40**0.5)


def test_who_does_not_say_its_extremes_has_no_interval() -> None:
    returns = Returns()
    returns.add({"return_mean": 3.0, "episodes": 9})
    assert (returns.mean, returns.ci95) == (3.0, None)
    returns.add({"return_mean": None, "episodes": 9})
    assert returns.episodes == 9
    assert (Returns().mean, Returns().ci95) == (None, None)


def test_training_is_held_against_the_evaluations_of_the_same_stretch() -> None:
    merged = Merged()
    for at in range(8):
        merged.add(record([10.0 * at, 10.0 * at + 2.0] * 5, updates=9))
        merged.add({"kind": "eval", "return_mean": 1.0, "episodes": 5})
    # the fourth newest evaluation came after the fifth stretch
    assert merged.fields()["recent_return_mean"] == pytest.approx(61.0)
    merged.rewind()
    assert "recent_return_mean" not in merged.fields(), "of weights that are no more"
    merged.add(record([1.0] * 19))
    assert "recent_return_mean" not in merged.fields()
    merged.add(record([1.0]))
    assert merged.fields()["recent_return_ci95"] == 0.0


def made(means: list[float], updates: int = TRAINED_UPDATES, ci95: float = 1.0) -> list[Evaluation]:
    return [Evaluation(i, m, ci95, 20, updates) for i, m in enumerate(means)]


def test_the_newest_evaluations_together() -> None:
    found = newest(made([90.0, 10.0, 10.0, 12.0, 12.0]))
    assert found is not None
    assert found[0] == 11.0
    assert found[1] > 1.0, "they differ by more than each says"
    assert newest(made([10.0] * 3)) is None
    assert newest(made([10.0] * 4, TRAINED_UPDATES - 1)) is None, "of hardly any updates"


def test_evaluations_that_are_exactly_alike() -> None:
    assert alike(made([1.0, 5.0, 5.0, 5.0], ci95=0.0)) == 3
    assert alike(made([5.0] * 3)) == 0
    assert alike([*made([5.0], ci95=0.0), Evaluation(1, 5.0, None)]) == 0
    assert alike([]) == 0
