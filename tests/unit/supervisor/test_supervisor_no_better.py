"""`learning`, as records make it: raised by play at chance level, silent where it learns."""

from __future__ import annotations

import random
from collections.abc import Callable
from statistics import fmean, stdev

import pytest

from tuitrain.config.schema import Config
from tuitrain.supervisor.evaluated import Evaluated
from tuitrain.supervisor.snapshot import PolicyPlan, RunView, build_snapshot

RUNS = 20
EVALUATIONS = 40
EPISODES = 10
"""Of an evaluation; in the warm-up there are ten times as many."""
STEPS = 1_000
"""From one evaluation to the next."""
T_975 = 2.262
"""Of Student's t with 9 degrees of freedom."""


def states(true_mean: Callable[[float], float], seed: int, paid: float = 1.0) -> list[str]:
    """After every evaluation; returns have a standard deviation of 10.

    Args:
        true_mean: of greedy play, by the share of the run that is over.
    """
    rng = random.Random(seed)

    def returns(mean: float, episodes: int) -> list[float]:
        return [rng.gauss(mean, 10.0) for _ in range(episodes)]

    config = Config.model_validate({"run": {"total_steps": STEPS * EVALUATIONS}})
    plan = PolicyPlan("p", 1000, 100, 0.5, 4.0)
    view = RunView("0", "/r", config, config, 1, policies=[plan], state="running")
    first = {"episodes": 10 * EPISODES, "return_mean": fmean(returns(20.0, 10 * EPISODES))}
    view.on_record(
        {"kind": "train", "policy": "p", "updates": 0, "epsilon": 1.0, "reward_max": paid} | first,
        0.0,
    )
    found = []
    for number in range(1, EVALUATIONS + 1):
        played = returns(true_mean(number / EVALUATIONS), EPISODES)
        record = {
            "kind": "eval",
            "policy": "p",
            "steps": STEPS * number,
            "episodes": EPISODES,
            "return_mean": fmean(played),
            "return_ci95": T_975 * stdev(played) / EPISODES**0.5,
        }
        view.on_record(record, 0.0)
        snapshot = build_snapshot(view, [], seq=1, now=0.0, time_s=0.0, elapsed_s=0.0)
        found += [check.state for check in snapshot.checks if check.id == "learning"]
    return found


@pytest.mark.parametrize(
    ("true_mean", "least", "most"),
    [
        (lambda _: 20.0, 0.8, 1.0),  # chance
        (lambda _: 15.0, 0.95, 1.0),  # worse: the same action again and again
        (lambda _: 25.0, 0.0, 0.05),  # a little was learned, before the first evaluation
        (lambda share: 20.0 + 20.0 * share, 0.0, 0.05),  # it learns slowly
    ],
)
def test_who_plays_as_by_chance_is_told_and_who_learns_is_not(
    true_mean: Callable[[float], float], least: float, most: float
) -> None:
    raised = sum("warn" in states(true_mean, seed) for seed in range(RUNS)) / RUNS
    assert least <= raised <= most


def test_who_begins_to_learn_late_is_told_no_longer() -> None:
    for seed in range(RUNS):
        late = states(lambda share: 20.0 + 50.0 * max(0.0, share - 0.6), seed)
        assert late[-1] == "ok"


def test_whom_nobody_has_paid_yet_is_not_judged_by_returns() -> None:
    assert {states(lambda _: 20.0, seed, paid=0.0)[-1] for seed in range(RUNS)} <= {"n/a", "ok"}


def test_the_level_is_of_the_newest_part_of_a_run_and_of_eight_evaluations_at_least() -> None:
    made = Evaluated()

    def level(number: int, steps: float) -> float | None:
        record = {"kind": "eval", "policy": "p", "steps": 100 * number, "return_mean": number}
        made.add(record, 0.0, every_steps=100, base_steps=0)
        return made.learning("p", 0.0, steps).level

    assert {level(number, 100.0) for number in range(1, 8)} == {None}
    assert level(8, 100.0) == 4.5
    assert level(9, 1_000.0) is None, "the run is not as old"
    assert level(10, 1_000.0) == 5.5
    assert level(11, 1_000.0) == 6.5
    made.rewind(1_000)
    assert made.learning("p", 0.0, 1_000.0).level == 5.5
    assert made.learning("p", 0.0, 900.0).level == 6.0
