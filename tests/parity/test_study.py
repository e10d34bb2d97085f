"""The proof in small: `async` learns what `sequential` learns, and what cannot learn is found out.

`make parity` is the long one, on real tasks. Here it is Catch (see ``tests.learning.test_short``),
where a run takes a second, with the same two measures, the same tests and the same controls.

The margin was set by a pilot of `sequential` with seeds 101 to 108: the area under the curve had a
mean of 0.90 and an SD of 0.05 (of `async` 0.08), on a scale from about -0.7, nothing learned, to 1.
With seven seeds equal arms are called equivalent in all but 1 of 100 cases even at an SD of 0.1.
"""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import pytest

from tests.fleet import Fleet, Outcome
from tests.learning.test_short import CONTROLS, catch
from tests.parity import study
from tests.parity.training import last_return, mean_return
from tuitrain.config.schema import Config
from tuitrain.experiments.curves import Curve, curves_of
from tuitrain.experiments.plan import Cell
from tuitrain.experiments.statistics import Scores, area_under_curve, judge, welch
from tuitrain.experiments.store import Result

pytestmark = pytest.mark.xdist_group("fleet")

SEEDS = range(1, 8)
CONTROL_SEEDS = range(1, 5)
MARGIN = 0.25
SPAN = (2_100.0, 12_000.0)
"""Environment steps that every run has evaluations for."""


def task(schedule: str, seed: int) -> Config:
    tables = catch(schedule).model_dump(mode="python")
    tables["run"] |= {"seed": seed}
    tables["eval"] |= {"every_steps": 2_000, "episodes": 50}
    return Config.model_validate(tables)


def scores(outcomes: Sequence[Outcome]) -> dict[str, Scores]:
    """Final return and area under the curve of each run."""
    curves = [curves_of(outcome.records)["default"] for outcome in outcomes]
    return {
        "final": np.array([curve.returns[-1] for curve in curves]),
        "area": np.array([area_under_curve(c.steps, c.returns, *SPAN) for c in curves]),
    }


@pytest.fixture(scope="module")
def sequential(fleet: Fleet) -> dict[str, Scores]:
    return scores([fleet.run(task("sequential", seed)) for seed in SEEDS])


@pytest.mark.parametrize("measure", ["final", "area"])
def test_async_is_equivalent(
    fleet: Fleet, sequential: dict[str, Scores], asynchronous: dict[str, Scores], measure: str
) -> None:
    difference = welch(asynchronous[measure], sequential[measure])
    assert judge(difference, MARGIN).answer == "equivalent", difference


@pytest.fixture(scope="module")
def asynchronous(fleet: Fleet) -> dict[str, Scores]:
    return scores([fleet.run(task("async", seed)) for seed in SEEDS])


@pytest.mark.parametrize(
    "control",
    [c if c == "rewards_shuffled" else pytest.param(c, marks=pytest.mark.long) for c in CONTROLS],
)
def test_what_cannot_learn_is_different(
    fleet: Fleet, sequential: dict[str, Scores], control: str
) -> None:
    entries = {"learner": f"tests.learning.doubles:{control}"}
    outcomes = [fleet.run(task("async", seed), entries=entries) for seed in CONTROL_SEEDS]
    for measure, found in scores(outcomes).items():
        difference = welch(found, sequential[measure])
        assert judge(difference, MARGIN).answer == "different", (measure, difference)


# ---- the long one's own parts --------------------------------------------------------------------


@pytest.mark.parametrize("name", study.STUDIES)
def test_every_study_can_be_planned(name: str) -> None:
    """Its keys are still there, and its controls differ from `async` in nothing."""
    asked = study.STUDIES[name]
    proof, pilot, controls = asked.proof(), asked.pilot(), asked.controls()
    assert proof.arms == ("sequential", "async")
    assert not set(proof.seeds) & set(pilot.seeds), "the pilot's seeds prove nothing"
    assert set(controls.seeds) <= set(proof.seeds), "the controls take the proof's baseline"
    for arm in controls.arms[1:]:
        assert controls.configs[arm, ""] == proof.configs["async", ""]


def test_training_returns_weigh_episodes_and_end_after_a_hundred() -> None:
    records = [
        {"episodes": 70, "return_mean": 1.0},
        {"episodes": 90, "return_mean": 2.0},
        {"episodes": 30, "return_mean": 6.0},
    ]
    assert mean_return(records[1:]) == pytest.approx(3.0)
    assert last_return(records) == pytest.approx(3.0)
    assert np.isnan(mean_return([]))


def test_policies_together_are_one_curve() -> None:
    steps = np.array([1.0, 2.0])
    curves = {"a": Curve(steps, np.array([2.0, 4.0])), "b": Curve(steps, np.array([6.0, 0.0]))}
    result = Result(Cell("async", "", 1), "finished", "", "run", 2, 1.0, curves)
    (curve,) = study.pooled(result).curves.values()
    assert curve.returns.tolist() == [4.0, 2.0]
