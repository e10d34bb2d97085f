"""The chart: exact small pictures, and every awkward series at every size."""

from __future__ import annotations

import itertools
import math
import re

import numpy as np
import pytest
from hypothesis import example, given, settings
from hypothesis import strategies as st

from tuitrain.tui.widgets.axes import (
    Axis,
    log_ticks,
    nice_ticks,
    span_of,
    tick_labels,
    time_label,
    time_ticks,
)
from tuitrain.tui.widgets.legend import SAMPLE
from tuitrain.tui.widgets.line_chart import Band, Line, Look, Tick, draw_chart
from tuitrain.tui.widgets.raster import raster, raster_band, within

INF, NAN = math.inf, math.nan


def array(*values: float) -> np.ndarray:
    return np.array(values, dtype=np.float64)


def picture(y: list[float], width: int, height: int, pattern: str = "solid") -> list[str]:
    x = np.arange(len(y), dtype=np.float64)
    dots, marks = raster(
        x, array(*y), Axis(0, len(y) - 1), Axis(0, 3), width, height, pattern
    )  # fmt: skip
    rows = ["".join("#" if dot else "." for dot in row) for row in dots]
    return [*rows, "".join({0: " ", 1: "^", -1: "v"}[int(m)] for m in marks)]


def test_diagonal() -> None:
    assert picture([0, 1, 2, 3], 4, 4) == ["...#", "..#.", ".#..", "#...", "    "]


def test_steps_are_joined_halfway() -> None:
    assert picture([0, 3], 2, 4) == [".#", ".#", "#.", "#.", "  "]


def test_missing_columns_are_interpolated() -> None:
    assert picture([0, 3], 4, 4) == ["...#", "..#.", ".#..", "#...", "    "]


def test_a_column_shows_minimum_and_maximum() -> None:
    x = array(0, 0.1, 0.2, 1)
    dots, _ = raster(x, array(1, 3, 0, 1), Axis(0, 1), Axis(0, 3), 2, 4, "solid")
    assert dots[:, 0].tolist() == [True, True, True, True]


def test_nan_breaks_the_line_and_is_marked_below() -> None:
    assert picture([1, 1, NAN, 1, 1], 5, 4) == [".....", ".....", "##.##", ".....", "  v  "]


@pytest.mark.parametrize(("bad", "mark"), [(INF, "^"), (-INF, "v"), (NAN, "v")])
def test_where_a_value_that_is_not_finite_is_marked(bad: float, mark: str) -> None:
    assert picture([1, bad, 1], 3, 4)[-1] == f" {mark} "


def test_a_nan_between_points_of_one_column_still_breaks() -> None:
    x = array(0, 0.4, 1)  # the nan falls on column 0 of 2
    dots, marks = raster(x, array(0, NAN, 3), Axis(0, 1), Axis(0, 3), 2, 4, "solid")
    assert dots.sum() == 2
    assert marks.tolist() == [-1, 0]


def test_patterns_differ() -> None:
    flat = [0.0] * 40
    patterns = ("solid", "dash", "dot", "dashdot", "dashdots", "faint")
    rows = {p: picture(flat, 40, 1, p)[0] for p in patterns}
    assert len(set(rows.values())) == len(set(SAMPLE.values())) == 6
    assert rows["solid"] == "#" * 40
    assert rows["dash"].startswith("####..####")
    assert rows["dot"].startswith("#..#..#")


def test_points_of_a_sparse_series_survive_its_pattern() -> None:
    dots = picture([0, 0, 0], 41, 1, "dot")[0]
    assert dots[0] == dots[20] == dots[40] == "#"


def test_whole_chart() -> None:
    line = Line("loss", array(0, 1, 2, 3), array(0, 10, 20, 30))
    drawn = [t.plain for t in draw_chart([line], 24, 6, Look(x_unit="steps"))]
    assert drawn == [
        "── loss 30.0",
        "  │                ⢀⣀⠤⠤⠒",
        "20┤          ⢀⣀⠤⠒⠊⠉⠁    ",
        "  │    ⢀⣀⡠⠤⠒⠉⠁          ",
        " 0┤⠤⠒⠒⠉⠁                ",
        "  └0────────────2─ steps",
    ]


def test_single_point_is_a_big_dot() -> None:
    drawn = draw_chart([Line("r", array(5), array(7))], 30, 6)
    assert sum(t.plain.count("●") for t in drawn) == 1


def test_not_finite_values_are_crosses() -> None:
    line = Line("r", array(0, 1, 2, 3, 4), array(0, NAN, 1, INF, 2))
    drawn = draw_chart([line], 40, 8)
    assert drawn[1].plain.count("✖") == 1, "infinity at the top"
    assert drawn[6].plain.count("✖") == 1, "nan at the bottom"


def test_single_points_of_two_series_share_an_x_axis() -> None:
    lines = [Line("a", array(0.0), array(3.0)), Line("b", array(1e4), array(9.0))]
    shown = "\n".join(t.plain for t in draw_chart(lines, 60, 9, Look(x_unit="env steps")))
    assert "5.0k" in shown
    assert shown.count("●") == 2


def test_the_legend_names_the_area_behind_a_line() -> None:
    x, y = array(0.0, 1.0, 2.0), array(1.0, 2.0, 3.0)
    line = Line("train", x, y, band=Band(x, y - 1, y + 1))
    assert draw_chart([line], 60, 9)[0].plain == "── train 3.00  ⠕⠕ min–max"
    assert draw_chart([line], 60, 9, Look(ascii_only=True))[0].plain.startswith("* train 3.00  ..")
    none = Line("train", x, y, band=Band(x, y, y))
    assert draw_chart([none], 60, 9)[0].plain == "── train 3.00"


def test_only_not_finite_values() -> None:
    drawn = draw_chart([Line("r", array(0, 1), array(NAN, INF))], 40, 8)
    assert sum(t.plain.count("✖") for t in drawn) == 3, "two marks and the newest value"


def test_no_data_says_so() -> None:
    drawn = draw_chart([Line("r", array(), array())], 40, 8)
    assert "n/a" in drawn[0].plain
    assert any("no data yet" in t.plain for t in drawn)


def test_log_axis_leaves_out_what_it_cannot_show_and_says_how_much() -> None:
    line = Line("loss", array(0, 1, 2, 3), array(-1, 0, 0.01, 100))
    drawn = draw_chart([line], 60, 12, Look(log_y=True))
    assert "2 values ≤ 0 not on log axis" in drawn[0].plain
    text = "\n".join(t.plain for t in drawn)
    assert "0.01┤" in text
    assert "100┤" in text


def test_the_first_series_is_on_top() -> None:
    x, y = array(0, 1), array(1, 1)
    drawn = draw_chart([Line("a", x, y, "red"), Line("b", x, y, "blue")], 30, 5)
    styles = {str(span.style) for line in drawn[1:-1] for span in line.spans}
    assert "red" in styles
    assert "blue" not in styles


def test_ascii_charts_are_ascii() -> None:
    from tuitrain.tui.text import to_ascii

    line = Line("r", array(0, 1, 2), array(0, NAN, 2))
    for text in draw_chart([line], 40, 8, Look(ascii_only=True)):
        assert all(ord(c) < 0x2800 for c in text.plain)
        assert to_ascii(text.plain).isascii()


def test_unsorted_x_is_sorted() -> None:
    a = draw_chart([Line("r", array(0, 1, 2), array(0, 1, 5))], 40, 8)
    b = draw_chart([Line("r", array(1, 0, 2), array(1, 0, 5))], 40, 8)
    assert [t.plain for t in a] == [t.plain for t in b]


AWKWARD = {
    "empty": [],
    "single": [3.0],
    "constant": [5.0] * 50,
    "zeros": [0.0] * 5,
    "nan": [NAN] * 9,
    "inf": [INF, -INF] * 3,
    "mixed": [1.0, NAN, INF, -2.0, -INF, 3.0],
    "huge": [-1.7e308, 1.7e308, 0.0],
    "tiny": [5e-324, 1e-310, 0.0],
    "close": [1.0, 1.0 + 2e-16],
    "wide": [1e-300, 1e300],
}


@pytest.mark.parametrize("name", AWKWARD)
@pytest.mark.parametrize("log_y", [False, True])
@pytest.mark.parametrize("ascii_only", [False, True])
def test_awkward_series_at_every_size(name: str, log_y: bool, ascii_only: bool) -> None:
    y = array(*AWKWARD[name])
    lines = [Line(name, np.arange(y.size, dtype=float), y, "", "dash"), Line("x", y, y)]
    for width, height in itertools.product(
        (0, 1, 2, 3, 7, 12, 13, 20, 80, 200), (0, 1, 2, 3, 4, 9, 50)
    ):
        for time_x in (False, True):
            look = Look(log_y=log_y, ascii_only=ascii_only, time_x=time_x, x_unit="env steps")
            drawn = draw_chart(lines, width, height, look)
            assert len(drawn) == (height if width else 0)
            assert all(t.cell_len <= width for t in drawn)


floats = st.floats(allow_nan=True, allow_infinity=True, width=64)


@settings(max_examples=150, deadline=None)
@example([(5e-324, np.inf, 0.0)], 12, 4, Look())  # a range that a float cannot halve
@given(
    points=st.lists(st.tuples(floats, floats, floats), max_size=60),
    width=st.integers(0, 120),
    height=st.integers(0, 40),
    look=st.builds(
        Look,
        log_y=st.booleans(),
        time_x=st.booleans(),
        ascii_only=st.booleans(),
        window=st.one_of(
            st.none(),
            st.tuples(st.floats(-1e300, 1e300), st.floats(1e-300, 1e300)).map(
                lambda w: (w[0], w[0] + w[1]) if w[0] + w[1] > w[0] else None
            ),
        ),
        ticks=st.lists(st.builds(Tick, floats, st.just("≡"), st.just("resync")), max_size=3),
    ),
)
def test_any_series_at_any_size(
    points: list[tuple[float, float, float]], width: int, height: int, look: Look
) -> None:
    x, y, z = np.array(points, dtype=np.float64).reshape(-1, 3).T
    finite = np.sort(x[np.isfinite(x)])
    band = Band(finite, y[: finite.size], z[: finite.size])
    drawn = draw_chart([Line("r", x, y, band=band)], width, height, look)
    assert len(drawn) == (height if width else 0)
    assert all(t.cell_len <= width for t in drawn)


def test_a_band_is_drawn_behind_its_line() -> None:
    x = np.arange(40.0)
    line = Line("r", x, np.full(40, 5.0), band=Band(x, np.zeros(40), np.full(40, 10.0)))
    rows = [t.plain for t in draw_chart([line], 30, 10)]
    middle = next(row for row in rows if "⠒" in row or "⠤" in row or "⠉" in row)
    dotted = [row for row in rows[1:-1] if row != middle]
    assert all(set(row[3:]) <= set("⠅⠁⠄⡀⠂⠐⠈ ⠡⡁⠊⠨⠌") for row in dotted)
    assert len({c for c in middle[3:] if c != " "}) <= 2, "where the line is, nothing else is"


def test_where_nothing_is_finite_there_is_no_band() -> None:
    x, low, high = np.arange(40.0), np.zeros(40), np.full(40, 3.0)
    high[15:25] = NAN
    dots = raster_band(x, low, high, Axis(0, 39), Axis(0, 3), 40, 8)
    assert np.flatnonzero(dots.any(axis=0)).tolist() == [*range(0, 15, 2), *range(26, 40, 2)]
    assert dots.mean() == pytest.approx(15 / 40 / 2)
    assert not raster_band(x, low, np.full(40, NAN), Axis(0, 39), Axis(0, 3), 40, 8).any()


def test_a_band_on_a_log_axis_begins_at_the_lowest_positive_value() -> None:
    x = np.arange(4.0)
    band = Band(x, array(-1, 0, 0.01, 1), array(1, 1, 10, -3))
    drawn = draw_chart([Line("r", x, array(1, 1, 1, 1), band=band)], 60, 12, Look(log_y=True))
    text = "\n".join(t.plain for t in drawn)
    assert "0.01┤" in text
    assert "✖" not in text


def test_a_window_shows_the_line_cut_at_its_edges() -> None:
    line = Line("r", array(0, 10), array(0, 10))
    drawn = [t.plain for t in draw_chart([line], 30, 8, Look(window=(4.0, 6.0)))]
    assert drawn[-1].strip("└ ").replace("─", "") == "46"
    assert any(row.lstrip().startswith("6") for row in drawn), "y fits what is shown"
    assert not any(row.lstrip().startswith("10") for row in drawn)
    assert "10.0" in drawn[0], "the legend says the newest of all"
    empty = draw_chart([line], 30, 8, Look(window=(20.0, 30.0)))
    assert any("nothing measured here" in t.plain for t in empty)


def test_within_keeps_a_gap_a_gap() -> None:
    x, y = within(array(0, 1, 2, 3), array(0, NAN, 2, 3), 0.5, 2.5)
    assert x.tolist() == [1, 2, 2.5]
    assert y[1:].tolist() == [2, 2.5]


def test_ticks_have_a_glyph_a_line_and_a_word() -> None:
    line = Line("r", array(0, 10), array(1, 1))
    ticks = [Tick(5.0, "≡", "resync"), Tick(99.0, "↻", "restart"), Tick(NAN, "»", "resume")]
    drawn = [t.plain for t in draw_chart([line], 61, 9, Look(ticks=ticks, window=(0.0, 10.0)))]
    assert drawn[0] == "── r 1.00  ≡ resync"
    assert "≡" in drawn[1]
    assert sum("┊" in row for row in drawn) >= 5
    assert not any("↻" in row for row in drawn)


def test_series_that_find_no_room_in_the_legend_are_counted() -> None:
    lines = [Line(f"agent_{i}", array(0, 1), array(i, i)) for i in range(12)]
    small, *_ = draw_chart(lines, 60, 8)
    assert re.search(r"agent_0 0 .*\+\d$", small.plain)
    large = draw_chart(lines, 100, 20)
    assert "agent_11" in "".join(t.plain for t in large[:3])


def test_nice_ticks() -> None:
    assert nice_ticks(0, 10, 6) == [0, 2, 4, 6, 8, 10]
    assert nice_ticks(-0.1, 0.1, 3) == pytest.approx([-0.1, 0, 0.1])
    assert nice_ticks(3, 3, 5) == [3]
    assert nice_ticks(-1e308, 1e308, 5) == [-1e308], "further apart than a float can say"


def test_log_ticks_are_decades() -> None:
    assert log_ticks(-3.2, 2.1, 3) == [-3.0, -1.0, 1.0]


def test_time_ticks() -> None:
    assert time_ticks(0, 3600, 4) == [0, 1800, 3600]
    assert [time_label(t) for t in (0, 30, 300, 5400, 90_000)] == [
        "0",
        "30s",
        "5m",
        "1h30m",
        "1d1h",
    ]


def test_tick_labels_tell_neighbours_apart() -> None:
    assert tick_labels([0, 0.5, 1]) == ["0", "0.5", "1.0"]
    assert tick_labels([0, 500_000, 1_000_000]) == ["0", "500k", "1.0M"]
    assert len(set(tick_labels([10_000_000, 10_010_000]))) == 2


def test_span_never_empty() -> None:
    for values in ([1.0], [0.0, 0.0], [1e308, -1e308], [5e-324]):
        axis = span_of([array(*values)])
        assert axis is not None
        assert axis.high > axis.low
    assert span_of([array(NAN)]) is None
