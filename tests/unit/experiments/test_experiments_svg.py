"""Charts as SVG: round ticks, short numbers, and lines where their points are."""

from __future__ import annotations

import math
import re

import pytest

from tuitrain.experiments.svg import Chart, Series, compact, nice_ticks, svg

EVIL = "<script>alert('x')</script>"


@pytest.mark.parametrize(
    ("low", "high", "ticks"),
    [
        (0, 10, [0, 2, 4, 6, 8, 10]),
        (0.13, 0.68, [0.2, 0.3, 0.4, 0.5, 0.6]),
        (-3e6, 9e6, [-2e6, 0, 2e6, 4e6, 6e6, 8e6]),
        (99.5, 100.5, [99.6, 99.8, 100.0, 100.2, 100.4]),
    ],
)
def test_ticks_are_round_and_few(low: float, high: float, ticks: list[float]) -> None:
    assert nice_ticks(low, high) == pytest.approx(ticks)


def test_ticks_of_any_range_are_within_it() -> None:
    for exponent in range(-12, 13):
        for factor in (1.0, 1.7, 3.3, 4.9, 9.99):
            low, high = -factor * 10.0**exponent, 2.1 * 10.0**exponent
            found = nice_ticks(low, high)
            assert 2 <= len(found) <= 6
            assert all(low - 1e-9 * abs(low) <= t <= high + 1e-9 * abs(high) for t in found)
    assert nice_ticks(3, 3) == [3]
    assert nice_ticks(math.nan, 1)


def test_numbers_on_axes_are_short() -> None:
    shown = [compact(v) for v in (0, 1e-17, 0.03, 250, 12_500, 1.5e6, -2e9)]
    assert shown == ["0", "0", "0.03", "250", "12.5k", "1.5M", "-2G"]


def test_a_line_goes_where_its_points_are() -> None:
    text = svg(Chart("t", "x", [Series("s", 3, [(0, 0), (50, 100), (100, 50)])]))
    line = re.search(r'<polyline class="line c3" points="([^"]*)"', text)
    assert line is not None
    points = [tuple(map(float, p.split(","))) for p in line[1].split()]
    assert points[0][0] < points[1][0] < points[2][0]
    assert points[1][0] - points[0][0] == pytest.approx(points[2][0] - points[1][0], abs=0.2)
    # up is small in SVG
    assert points[1][1] < points[2][1] < points[0][1]


def test_charts_of_nothing_one_point_and_constants() -> None:
    assert svg(Chart("t", "x", [Series("s", 0, [])])) == ""
    assert "<circle" in svg(Chart("t", "x", [Series("s", 0, [(5, 5)])]))
    flat = svg(Chart("t", "x", [Series("s", 0, [(0, 7), (1, 7)])]))
    assert "nan" not in flat
    assert "<polyline" in flat
    assert "c2 dashed" in svg(Chart("t", "x", [Series("s", 12, [(0, 1), (1, 2)])]))
    assert "<script" not in svg(Chart(EVIL, EVIL, [Series(EVIL, 0, [(0, 1), (1, 2)])]))
