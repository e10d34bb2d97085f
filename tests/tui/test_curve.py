"""A bounded curve: spikes, means and gaps survive however long it gets; views never change."""

from __future__ import annotations

import math

import numpy as np
import pytest

from tuitrain.tui.curve import Curve


def fill(curve: Curve, values: list[float]) -> None:
    for i, value in enumerate(values):
        curve.append(i, i, i, value)


def test_a_full_curve_keeps_every_spike() -> None:
    curve = Curve(64)
    values = [0.0] * 10_000
    for i in (17, 4000, 9990):
        values[i] = 100.0 + i
        values[i + 5] = -100.0 - i
    fill(curve, values)
    kept = curve.view()
    assert len(curve) <= 64
    for i in (17, 4000, 9990):
        assert 100.0 + i in kept.high
        assert -100.0 - i in kept.low


def test_a_full_curve_keeps_its_mean() -> None:
    curve = Curve(32)
    values = np.random.default_rng(3).normal(size=5003)
    fill(curve, values.tolist())
    kept = curve.view()
    assert kept.count.sum() == values.size
    assert (kept.value * kept.count).sum() / values.size == pytest.approx(values.mean())


def test_a_full_curve_keeps_what_is_not_finite() -> None:
    curve = Curve(64)
    values = [0.1] * 5000
    values[700] = math.nan
    values[3100] = -math.inf
    fill(curve, values)
    kept = curve.view()
    assert np.isnan(kept.broken).sum() == 1
    assert np.isneginf(kept.broken).sum() == 1
    assert (kept.value == 0.1).all(), "beside it there was something finite"


@pytest.mark.parametrize("value", [math.nan, math.inf, 3.0, -1.7e308])
def test_a_curve_of_one_value_stays_bounded(value: float) -> None:
    curve = Curve(16)
    fill(curve, [value] * 1000)
    assert 0 < len(curve) <= 16
    np.testing.assert_allclose(curve.view().value, value)


def test_a_view_does_not_change_when_the_curve_does() -> None:
    curve = Curve(16)
    views = []
    for i in range(300):
        fill(curve, [math.sin(i), 9.0])
        if i % 50 == 40:
            curve.drop_after(0, 0)
        views.append((curve.view(), [column.copy() for column in vars(curve.view()).values()]))
    for view, before in views:
        for column, copy in zip(vars(view).values(), before, strict=True):
            np.testing.assert_array_equal(column, copy)


def test_a_long_curve_covers_the_whole_run_evenly() -> None:
    curve = Curve(256)
    fill(curve, [math.sin(i / 10) for i in range(100_000)])
    steps = curve.view().steps
    assert 100 < len(curve) <= 256
    assert np.diff(steps).max() < 100_000 / 20
    assert steps[0] < 5000
    assert steps[-1] == 99_999


def test_points_stay_in_order() -> None:
    curve = Curve(16)
    fill(curve, [math.sin(i) for i in range(500)])
    steps = curve.view().steps
    assert (np.diff(steps) > 0).all()
