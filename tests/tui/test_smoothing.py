"""The mean line: exact means, the same however a chart is zoomed, broken where a value was."""

from __future__ import annotations

import math

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from tuitrain.tui.curve import Curve, CurveView
from tuitrain.tui.widgets.smoothing import STRETCHES, ordered, smoothed, stretch_width


def curve_of(x: list[float], y: list[float], capacity: int = 4096) -> CurveView:
    curve = Curve(capacity)
    for place, value in zip(x, y, strict=True):
        curve.append(place, place, place, value)
    return curve.view()


def mean_line(x: list[float], y: list[float]) -> tuple[list[float], list[float]]:
    places, values = smoothed(*ordered(curve_of(x, y), "steps"))
    return places.tolist(), values.tolist()


def test_few_points_stay_as_they_are() -> None:
    x, y = [float(i) for i in range(100)], [math.sin(i) for i in range(100)]
    assert mean_line(x, y) == (x, y)


def test_points_at_one_place_are_their_mean() -> None:
    assert mean_line([0, 5, 5, 10], [1, 2, 4, 8]) == ([0, 5, 10], [1, 3, 8])


def test_a_line_is_the_mean_of_every_stretch() -> None:
    rng = np.random.default_rng(1)
    y = rng.normal(size=4096)
    x, values = mean_line(list(range(4096)), y.tolist())
    assert STRETCHES / 2 <= len(x) <= STRETCHES + 1
    np.testing.assert_allclose(values, y.reshape(-1, 16).mean(axis=1))


def test_stretches_move_only_when_the_range_doubles() -> None:
    assert {stretch_width(0, high) for high in range(1025, 2049)} == {8.0}
    assert stretch_width(0, 2049) == 16.0


def test_growing_leaves_the_line_of_before_as_it_was() -> None:
    y = np.random.default_rng(2).normal(size=2000)
    before, after = (mean_line(list(range(n)), y[:n].tolist()) for n in (1500, 2000))
    assert after[1][: len(before[1]) - 1] == before[1][:-1]


def test_what_is_not_finite_breaks_the_line_where_it_was() -> None:
    x, y = list(range(4000)), [0.1] * 4000
    y[1000], y[1001] = math.nan, math.inf
    places, values = mean_line([float(i) for i in x], y)
    at = [i for i, value in enumerate(values) if not math.isfinite(value)]
    assert [places[i] for i in at] == [1000, 1001]
    assert {value for i, value in enumerate(values) if i not in at} == {0.1}, "to the last bit"
    assert places == sorted(places)


def test_drawn_together_or_not_the_mean_is_that_of_the_points() -> None:
    y = np.random.default_rng(4).normal(size=8192)
    x = [float(i) for i in range(8192)]
    _, whole = smoothed(*ordered(curve_of(x, y.tolist(), 8192), "steps"))
    _, drawn = smoothed(*ordered(curve_of(x, y.tolist(), 1024), "steps"))
    np.testing.assert_allclose(drawn, whole, atol=1e-12)


@settings(max_examples=200, deadline=None)
@given(st.lists(st.tuples(st.floats(), st.floats()), max_size=80))
def test_any_curve(points: list[tuple[float, float]]) -> None:
    x, curve = ordered(curve_of([p[0] for p in points], [p[1] for p in points]), "steps")
    places, values = smoothed(x, curve)
    assert places.size == values.size <= 2 * x.size
    good = values[np.isfinite(values)]
    if good.size:
        finite = curve.value[np.isfinite(curve.value)]
        assert finite.min() * 0.5 <= good.min() * 0.5 + 1e-9 * np.abs(finite).max()
        assert good.max() * 0.5 <= finite.max() * 0.5 + 1e-9 * np.abs(finite).max()


@pytest.mark.parametrize("axis", ["steps", "updates", "wall_s"])
def test_points_without_a_place_are_left_out(axis: str) -> None:
    curve = curve_of([3, math.nan, 1, math.inf], [30, 5, 10, 5])
    x, kept = ordered(curve, axis)
    assert x.tolist() == [1, 3]
    assert kept.value.tolist() == [10, 30]
