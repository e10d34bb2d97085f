"""What nobody has measured is n/a, and what only looks like a fault raises nothing."""

from __future__ import annotations

from typing import Any

import pytest

from tests.unit.diagnosis.faults import EARLY, ENDLESS, FLAT, UNENDED
from tests.unit.diagnosis.healthy import change
from tuitrain.config.checks import ChecksConfig
from tuitrain.diagnosis.checks import all_checks
from tuitrain.measurements import NetworkMeasured
from tuitrain.protocol import CheckView, LearningView

PAID_ALIKE = {"reward_min": 1.0, "reward_max": 1.0}
UNPAID = {
    "returns_abs_max": 0.0,
    "reward_min": 0.0,
    "reward_max": 0.0,
    "episodes": 1000,
    "transitions_here": 10_000,
}
"""No actor has seen a reward in whole episodes: known long before draws alone would say it."""


HALF_UNPAID = UNPAID | {
    "episodes": 50,
    "transitions_here": 2_000,
    "steps_each": 500.0,
    "steps_each_planned": 1_000.0,
}


def state(check: str, path: str, value: Any) -> str:
    """Of this check, in a healthy run in which one thing is otherwise."""
    (found,) = (c.state for c in all_checks(change(path, value), ChecksConfig()) if c.id == check)
    return found


@pytest.mark.parametrize(
    ("check", "path", "value"),
    [
        ("replay_ratio", "policies.0.ratio_achieved", None),
        ("replay_ratio", "policies.0.ratio_band_updates", 101.0),
        ("policy_lag", "policies.0.lag_updates_p95", None),
        ("spec", "spec_hash", None),
        ("target_updates", "policies.0.target_updates", None),
        ("non_finite", "policies.0.non_finite", None),
        ("lost_lines", "lost_lines", None),
        ("standstill", "processes.1.progress_age_s", None),
        ("standstill", "state", "paused"),
        ("provenance", "edited_sources", None),
        ("lock_wait", "policies.0.shards", []),
        ("phase_time", "processes.0.phase_share", {}),
        # updates are enqueued, and whoever reads the weights waits for them
        ("phase_time", "processes.0", {"device": "cuda:0", "phase_share": {"publish": 1.0}}),
        ("row_checksums", "policies.0.audited", 0),
        ("cross_episode", "policies.0.cross_episode_samples", None),
        ("stack_agreement", "policies.0.audited", None),
        ("overwritten", "policies.0.overwritten", None),
        ("observations", "policies.0.observation_spread", None),
        # a task of one step in one state
        ("observations", "policies.0", {"observation_spread": 0.0, "length_max": 1}),
        ("resets", "policies.0.resets_unchanged", None),
        ("resets", "policies.0.episodes", 49),
        ("resets", "policies.0", {"resets_unchanged": 400, "begins_differ": 0}),
        ("resets", "policies.0", {"resets_unchanged": 400, "begins_differ": None}),
        ("episode_ends", "policies.0.episodes", None),
        (
            "episode_ends",
            "policies.0",
            ENDLESS | {"steps_each": 12_500.0, "steps_each_planned": 25_000.0},
        ),
        (
            "episode_ends",
            "policies.0",
            ENDLESS | {"steps_each": 1_000.0, "steps_each_planned": 1_000.0},
        ),
        # who has evaluations cut knows that there are no ends; so does who sees it learn
        (
            "episode_ends",
            "policies.0",
            ENDLESS
            | {"steps_each": 2_500.0, "steps_each_planned": 2_500.0}
            | {"evals_all_cut": 6, "eval_steps_max": 300},
        ),
        ("episode_ends", "policies.0", {"episodes": 0, "steps_each": 2e5, "evals_all_cut": 6}),
        ("episode_ends", "policies.0.episodes", 49),
        ("episode_ends", "policies.0", {"length_max": 1}),  # a bandit
        ("episode_ends", "policies.0", {"length_max": 1, "reward_min": 0.0, "reward_max": 1.0}),
        ("action_effect", "policies.0.action_effect_p", None),
        ("action_effect", "policies.0", {"action_effect_p": 0.2, "action_effect_rows": 1999}),
        # what matters later shows in what greedy play brings
        ("action_effect", "policies.0.action_effect_p", 0.2),
        (
            "action_effect",
            "policies.0",
            EARLY | {"action_effect_p": 0.2, "eval_return_mean": 30.0, "eval_return_ci95": 4.9},
        ),
        ("reward_signal", "policies.0.returns_abs_max", None),
        ("reward_signal", "policies.0", {"returns_abs_max": 0.0, "transitions_here": 49_999}),
        ("reward_signal", "policies.0", UNPAID | {"episodes": 999}),
        ("reward_signal", "policies.0", UNPAID | {"transitions_here": 9_999}),
        # half of the run without any reward, but few steps, or paid in evaluations
        ("reward_signal", "policies.0", HALF_UNPAID | {"steps_each": 499.0}),
        ("reward_signal", "policies.0", HALF_UNPAID | {"episodes": 49}),
        ("reward_signal", "policies.0", HALF_UNPAID | {"transitions_here": 1_999}),
        ("reward_signal", "policies.0", HALF_UNPAID | {"eval_reward_max": 1.0}),
        ("reward_scale", "policies.0.returns_abs_max", None),
        ("evaluation_env", "policies.0.reset_difference_p", None),
        ("lr", "policies.0", {"lr": None, "lr_start": None}),
        ("target_network", "policies.0.target_kept_at_end", None),
        ("epsilon", "processes.1.epsilon_off", None),
        ("exploration", "policies.0.final_epsilon", None),
        ("evaluations", "policies.0.evals_planned", None),
        ("value_range", "policies.0.returns_clipped_share", None),
        ("discount", "policies.0.gamma", None),
        ("discount", "policies.0", {"gamma": 0.0, "reward_min": 0.0, "reward_max": 1.0}),
        ("discount", "policies.0", {"gamma": 0.0, "length_max": 1} | PAID_ALIKE),
        ("discount", "policies.0", {"gamma": 0.0, "episodes": 49} | PAID_ALIKE),
        ("discount", "policies.0", UNENDED | {"truncated": 399}),
        ("discount", "policies.0", UNENDED | {"reward_max": 0.0}),  # where the goal is unknown yet
        ("discount", "policies.0", UNENDED | {"steps_each_planned": 24_002.0}),
        ("grad_flow", "policies.0.grad_zero_share", None),
        ("grad_norm", "policies.0.td_abs_mean", None),
        ("q_bound", "policies.0.q_bound", None),
        ("learning", "policies.0.learning", LearningView()),
        ("learning", "policies.0.learning", LearningView(verdict="TOO EARLY")),
    ],
)
def test_what_was_not_measured_is_not_ok(check: str, path: str, value: Any) -> None:
    assert state(check, path, value) == "n/a"


@pytest.mark.parametrize(
    ("check", "path", "value"),
    [
        ("observations", "policies.0.observation_size", 1e3),
        # nothing changes in an episode of so few steps, or so few of them, or it is learned
        ("observations", "policies.0", EARLY | {"changes_within": 0, "length_max": 2}),
        ("observations", "policies.0", EARLY | {"changes_within": 0, "episodes": 49}),
        ("observations", "policies.0", EARLY | {"changes_within": 0, "agents": 2}),
        ("observations", "policies.0", {"changes_within": 0}),
        # small, and large enough; of a network that may multiply; small, and it learns
        (
            "observations",
            "policies.0",
            EARLY | {"observation_size": 0.01} | {"observation_abs_max": 0.01},
        ),
        ("observations", "policies.0", EARLY | {"observation_abs_max": 2e-5}),
        ("observations", "policies.0", {"observation_abs_max": 2e-5, "observation_size": 2e-5}),
        # all in a time limit, of pictures perhaps
        ("episode_ends", "policies.0", {"truncated": 400, "truncated_length_min": 480}),
        ("episode_ends", "policies.0", {"length_max": 2}),
        ("episode_ends", "policies.0", {"truncated": 0, "truncated_length_min": None}),
        ("episode_ends", "policies.0", {"at_once": 200, "cut_at_once": 40, "over_soon": 11}),
        ("episode_ends", "policies.0", {"at_once": 39, "over_soon": 0}),
        ("episode_ends", "policies.0", {"at_once": 200, "over_soon": 0, "length_max": 3}),
        # some are cut anywhere, others end anywhere
        (
            "episode_ends",
            "policies.0",
            {"truncated": 390, "truncated_length_min": 9, "longest_terminated": 9},
        ),
        # the first that got there, and did not take longest
        (
            "episode_ends",
            "policies.0",
            {"truncated": 399, "truncated_length_min": 9, "longest_terminated": 0},
        ),
        # who has learned to play until the time limit, and falls before it now and then
        (
            "episode_ends",
            "policies.0",
            {"truncated": 390, "truncated_length_min": 500, "longest_terminated": 0},
        ),
        # who plays on for long; training that has hardly begun; an evaluation that ended
        ("episode_ends", "policies.0.evals_all_cut", 9),
        ("episode_ends", "policies.0", {"episodes": 0, "steps_each": 1e3, "evals_all_cut": 3}),
        ("episode_ends", "policies.0", {"episodes": 0, "steps_each": 2e3, "evals_all_cut": 2}),
        # a policy that stays where it began is not an environment that does not reset
        ("resets", "policies.0.resets_unchanged", 390),
        ("resets", "policies.0.resets_kept_share", 0.05),
        # few rows are enough where the effect is plain
        ("action_effect", "policies.0.action_effect_rows", 100),
        ("reward_signal", "policies.0", {"returns_abs_max": 0.0, "reward_max": 1.0}),
        ("reward_scale", "policies.0.returns_abs_max", 1e3),
        # a reward that was not drawn; too early to say; tiny steps on the way to a prize
        ("reward_scale", "policies.0", {"returns_abs_max": 5e-6, "reward_min": -1.0}),
        ("reward_scale", "policies.0", {"returns_abs_max": 5e-6, "transitions_here": 9_999}),
        ("reward_scale", "policies.0", {"returns_abs_max": 5e-6, "episodes": 49}),
        ("reward_scale", "policies.0", {"returns_abs_max": 0.0, "reward_max": 0.0}),
        ("network", "policies.0.network", None),
        # what it can say is enough, and learned
        ("network", "policies.0", {"network": NetworkMeasured(low=0, high=60), "td_abs_mean": 1.0}),
        ("network", "policies.0", {"network": NetworkMeasured(high=60.0), "td_abs_mean": 9.0}),
        ("network", "policies.0", {"network": NetworkMeasured(low=0), "reward_max": 1.0}),
        # values beyond it show that it was no limit
        ("network", "policies.0", {"network": NetworkMeasured(low=-9, high=9), "td_abs_mean": 9.0}),
        # what it was asked with need not be what there is
        ("network", "policies.0.network", NetworkMeasured(no_numbers=True)),
        ("network", "policies.0.td_abs_mean", 50.0),  # of values that are at no limit
        (
            "network",
            "policies.0",
            {"network": NetworkMeasured(low=0), "reward_min": 0.0, "reward_max": 0.0},
        ),
        ("lr", "policies.0", {"lr": 0.0, "lr_planned": 0.0}),
        ("lr", "policies.0.lr_spent_share", 0.5),  # half a run at rest
        ("exploration", "policies.0.most_epsilon", 0.01),
        ("evaluations", "policies.0.evals_planned", 1),
        ("discount", "policies.0", UNENDED | {"gamma": 0.99}),
        ("value_range", "policies.0.returns_clipped_share", 0.1),  # returns exceed it by a tenth
        ("evaluations", "policies.0", {"evals_cut_alike": 2, "eval_steps_max": 300}),
        # training's episodes are cut there, too, or have no end
        ("evaluations", "policies.0", {"evals_cut_alike": 9, "eval_steps_max": 500}),
        (
            "evaluations",
            "policies.0",
            {"evals_cut_alike": 9, "eval_steps_max": 300, "length_max": None},
        ),
        ("device", "processes.0", {"device": "cuda:0", "device_asked": "cuda"}),
        # a random network's values, before there are rewards
        ("q_bound", "policies.0", {"q_bound": 0.0, "q_max_abs": 90.0}),
        # raw pixels
        ("grad_norm", "policies.0", {"grad_norm": 1e4, "observation_abs_max": 255.0}),
        ("grad_norm", "policies.0", {"grad_norm": 1e4, "td_abs_mean": 100.0}),
        ("phase_time", "processes.0.phase_share", {"copy": 0.1, "wait": 0.9}),
        (
            "learning",
            "policies.0.learning",
            LearningView(verdict="FALLING", held_evals=9, under_best_evals=3),
        ),
        ("learning", "policies.0.learning", FLAT.model_copy(update={"held_evals": 3})),
        ("learning", "policies.0.learning", FLAT.model_copy(update={"level": None})),  # too short
        ("learning", "policies.0.learning", FLAT.model_copy(update={"level": 20.7})),
        ("learning", "policies.0", {"learning": FLAT, "first_return_mean": None}),  # resumed
        # nobody has been paid: `reward_signal` says so
        ("learning", "policies.0", {"learning": FLAT, "reward_min": 0.0, "reward_max": 0.0}),
        ("learning", "policies.0.learning", LearningView(verdict="FLAT AT BEST", held_evals=99)),
    ],
)
def test_what_is_well_is_not_called_bad(check: str, path: str, value: Any) -> None:
    assert state(check, path, value) in ("ok", "n/a")


def silent(stands_in: str | None) -> dict[str, CheckView]:
    """Every check of a run whose actor was heard two minutes ago, though others wait for it."""
    ages = {"beat_age_s": 120.0, "progress_age_s": 120.0}
    run = change("processes.1", ages | {"state": "silent", "stands_in": stands_in})
    for process in (run.processes[0], *run.processes[2:]):
        process.state, process.wait, process.progress_age_s = "waiting", "data", 120.0
    return {check.id: check for check in all_checks(run, ChecksConfig())}


def test_who_hangs_at_work_gets_nothing_done() -> None:
    """▣ What it waited for when it was heard last is nothing that excuses it."""
    found = silent("env step")
    assert [found[i].state for i in ("heartbeat", "progress")] == ["warn", "warn"]
    assert found["heartbeat"].advice.startswith('a0: in "env step"; ')
    assert found["processes"].state == "ok", "it is up"
    assert (found["standstill"].state, found["standstill"].value) == ("ok", "a0 is silent")


def test_who_was_stopped_while_it_waited_is_silent_only() -> None:
    assert silent("wait")["progress"].state != "warn"
