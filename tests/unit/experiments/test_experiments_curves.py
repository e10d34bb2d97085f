"""From metrics to curves, and from curves to plots."""

from __future__ import annotations

from pathlib import Path
from xml.etree import ElementTree

import numpy as np
import pytest

from tests.unit.experiments.finals import concluded, curve, evaluation
from tuitrain.experiments.curves import curves_of, mean_over_agents
from tuitrain.experiments.plot import NoMatplotlib, band, on_grid, plot
from tuitrain.experiments.plot_plain import charts_of, plain
from tuitrain.experiments.statistics import iqm

# ---- curves ----------------------------------------------------------------------------------


def test_a_curve_is_the_finite_evaluations_of_a_policy() -> None:
    records = [
        evaluation(10, 1.0),
        {"kind": "train", "policy": "default", "steps": 11, "return_mean": 99.0},
        evaluation(20, None),
        evaluation(20, 5.0, policy="other"),
        evaluation(30, 3.0),
        {"kind": "eval", "steps": None, "return_mean": 1.0},
    ]
    found = curves_of(records)
    assert found.keys() == {"default", "other"}
    assert found["default"].steps.tolist() == [10, 30]
    assert found["default"].returns.tolist() == [1, 3]


def test_after_going_back_in_steps_what_comes_later_counts() -> None:
    records = [evaluation(steps, value) for steps, value in [(10, 1), (20, 2), (30, 3)]]
    records += [evaluation(20, 7), evaluation(30, 8)]  # resumed from between 10 and 20
    assert curves_of(records)["default"].returns.tolist() == [1, 7, 8]


def test_the_last_of_two_evaluations_at_the_same_step_counts() -> None:
    """The run's last evaluation is of what it learned after its last step."""
    records = [evaluation(10, 1), evaluation(20, 2), evaluation(20, 9)]
    found = curves_of(records)["default"]
    assert (found.steps.tolist(), found.returns.tolist()) == ([10, 20], [1, 9])


def test_a_policy_counts_once_for_each_of_its_agents() -> None:
    curves = {"wolves": curve(1, 2, 3), "deer": curve(5, 10, 15)}
    mean = mean_over_agents(curves, {"wolves": 3, "deer": 1})
    assert mean is not None
    assert mean.steps.tolist() == [100, 200, 300]
    assert mean.returns.tolist() == [2, 4, 6]
    # where one was not evaluated the other is all there is
    part = mean_over_agents(curves | {"deer": curve(9, steps=(200,))}, {"wolves": 1})
    assert part is not None
    assert part.returns.tolist() == [1, 5.5, 3]
    assert mean_over_agents({}, {}) is None


# ---- plot ------------------------------------------------------------------------------------


def test_curves_meet_on_a_grid_and_their_band_is_of_runs() -> None:
    steps, returns = on_grid((curve(0, 10, 20), curve(2, 2, 2)), 100, 300)
    assert (steps[0], steps[-1], returns.shape) == (100, 300, (2, len(steps)))
    assert returns[0, -1] == 20
    low, high = band(returns, np.random.default_rng(0))
    assert low[-1] == 2
    assert high[-1] == 20


def test_the_plot_is_the_same_file_each_time(tmp_path: Path) -> None:
    found, _ = concluded([4, 8, 6, 30], [1, 2, 3, 4])
    plot(found, tmp_path / "a.svg")
    plot(found, tmp_path / "b.svg")
    assert (tmp_path / "a.svg").read_bytes() == (tmp_path / "b.svg").read_bytes()
    assert b"<svg" in (tmp_path / "a.svg").read_bytes()


def test_without_matplotlib_it_says_what_to_type(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setitem(__import__("sys").modules, "matplotlib.figure", None)
    found, _ = concluded([4, 8, 6, 30], [1, 2, 3, 4])
    with pytest.raises(NoMatplotlib, match=r'pip install "tuitrain\[plots\]"'):
        plot(found, tmp_path / "a.svg")


def test_it_is_drawn_as_svg_and_png_with_it(tmp_path: Path) -> None:
    found, _ = concluded([4, 8, 6, 30], [1, 2, 3, 4])
    plot(found, tmp_path / "a.svg", tmp_path / "a.png")
    assert b"<svg" in (tmp_path / "a.svg").read_bytes()
    assert (tmp_path / "a.png").read_bytes().startswith(b"\x89PNG\r\n")


def test_without_it_the_curves_are_drawn_as_plain_svg() -> None:
    found, _ = concluded([4, 8, 6, 30], [1, 2, 3, 4])
    (chart,) = charts_of(found)
    assert [series.label for series in chart.series] == [f"{arm} (4 runs)" for arm in found.arms]
    for series, arm in zip(chart.series, found.arms, strict=True):
        (task,) = found.tasks
        ends = [float(c.returns[-1]) for c in found.curves[task, arm]]
        assert series.points[-1][1] == pytest.approx(iqm(np.array(ends)))
        _, low, high = series.band[-1]
        assert min(ends) <= low <= series.points[-1][1] <= high <= max(ends)
    text = plain(found)
    root = ElementTree.fromstring(text)
    kinds = [element.tag.rpartition("}")[2] for element in root.iter()]
    assert (kinds.count("polyline"), kinds.count("polygon"), kinds.count("rect")) == (2, 2, 2)
    assert plain(found) == text
