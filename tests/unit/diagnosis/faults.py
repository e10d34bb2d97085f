"""For every check a fault: what is changed in a healthy run, and what is said of it."""

from __future__ import annotations

from typing import Any

from tests.unit.diagnosis.healthy import healthy, waiting
from tuitrain.measurements import NetworkFault, NetworkMeasured
from tuitrain.protocol import (
    CheckState,
    LearningView,
    PolicyView,
    WeightsHeld,
)

FELL = LearningView(policy="default", verdict="FALLING", under_best_evals=4)
FLAT = LearningView(policy="default", verdict="FLAT", held_evals=9, level=20.5, level_error=0.6)
"""For half of the run."""

BLIND, BUFFER = (
    NetworkFault(kind=kind, state=state, says=f"is {kind}", advice=f"do not be {kind}")
    for kind, state in (("blind", "fail"), ("buffer", "warn"))
)

EARLY = {"learning": LearningView(policy="default", verdict="TOO EARLY")}
ENDLESS = EARLY | {"episodes": None}
UNPAID = {"returns_abs_max": 0.0, "reward_min": 0.0, "reward_max": 0.0}

UNENDED = {"gamma": 1.0, "truncated": 400, "truncated_length_min": 500, "reward_max": 1.0} | {
    "steps_each_planned": 24_000.0
}
"""Of half a run, all in a time limit."""

FAULTS: list[tuple[str, str, Any, CheckState, str]] = [
    ("network", "policies.0.network", NetworkMeasured(faults=[BLIND]), "fail", "not be blind"),
    ("network", "policies.0.network", NetworkMeasured(faults=[BUFFER]), "warn", "not be buffer"),
    (
        "network",
        "policies.0",
        {"network": NetworkMeasured(low=-60.0, high=60.0), "td_abs_mean": 6.0},
        "warn",
        "gives no value beyond 60",
    ),
    (
        "network",
        "policies.0",
        {"network": NetworkMeasured(low=0.0), "reward_min": -1.0, "reward_max": 0.0},
        "warn",
        "gives no value below: leave its last layer linear",
    ),
    (
        "non_finite",
        "policies.0",
        {"network": NetworkMeasured(no_numbers=True), "non_finite": 1},
        "fail",
        "a log, a root or a quotient",
    ),
    ("processes", "processes.1.state", "failed", "fail", "a0"),
    ("heartbeat", "processes.1.beat_age_s", 6.0, "warn", "a0"),
    ("progress", "processes.1.progress_age_s", 31.0, "warn", "a0"),
    ("replay_ratio", "policies.0.ratio_achieved", 0.1012, "fail", "1.2%"),
    ("replay_ratio", "policies.0.ratio_achieved", 0.0988, "fail", "1.2%"),
    ("policy_lag", "policies.0.lag_updates_p95", 6001.0, "warn", "publish_every_updates"),
    ("spec", "processes.1.spec_hash", "other", "fail", "environment"),
    ("spec", "processes.1.error", "a0 failed: SpecMismatch: n_frames", "fail", "n_frames"),
    (
        "weights_hash",
        "processes.1.weights.default",
        WeightsHeld(version=7, sha256="bb"),
        "fail",
        "never published",
    ),
    ("non_finite", "policies.0.non_finite", 1, "fail", "lower lr"),
    ("target_updates", "policies.0.target_updates", 40, "fail", "more than one owner"),
    ("target_updates", "policies.0.target_updates", 19, "fail", "-"),
    ("warm_up", "policies.0.warm_up_transitions", 999, "fail", "before learning_starts"),
    (
        "warm_up",
        "policies.0.learned_share",
        0.025,
        "warn",
        "only 2.5% of the run's transitions come after replay.learning_starts = 1,000: lower it",
    ),
    (
        "left_behind",
        "policies",
        [*healthy().policies, PolicyView(name="z")],
        "warn",
        "never had a transition",
    ),
    ("lost_lines", "lost_lines", 3, "warn", "could not be written"),
    ("provenance", "edited_sources", ["/home/me/maze.py"], "warn", "maze.py has been edited"),
    ("standstill", "processes", waiting(), "fail", "learner for data, a0 for the learner wait"),
    ("lock_wait", "policies.0.shards.0", {"lock_worst_s": 2.1}, "warn", "default's rows by a0"),
    (
        "phase_time",
        "processes.0.phase_share",
        {"copy": 0.3, "publish": 0.25, "update": 0.4, "wait": 0.05},
        "warn",
        "learner copies and publishes for 58%",
    ),
    ("row_checksums", "policies.0.checksum_failures", 1, "fail", "1 wrong of 1,200"),
    ("cross_episode", "policies.0.cross_episode_samples", 2, "fail", "frames of two episodes"),
    ("stack_agreement", "policies.0.stack_disagreements", 3, "fail", "different frames"),
    ("overwritten", "policies.0.overwritten", 40, "fail", "raise replay.capacity"),
    (
        "observations",
        "policies.0",
        EARLY
        | {"observation_spread": 0.0, "changes_within": 0}
        | {"observation_size": 2e-5, "observation_abs_max": 2e-5},
        "fail",
        "always the same",
    ),
    (
        "observations",
        "policies.0",
        {"observation_spread": 0.0, "observation_abs_max": 0.0},
        "fail",
        "all zero",
    ),
    (
        "observations",
        "policies.0.observation_size",
        1.7e9,
        "warn",
        "usually about 1.7e+09, and go into the network as they are: divide them to about 1",
    ),
    (
        "observations",
        "policies.0",
        EARLY | {"observation_size": 2e-5, "observation_abs_max": 2e-5},
        "warn",
        "no number of an observation was larger than 2e-05, and they go into the network as they",
    ),
    (
        "observations",
        "policies.0",
        EARLY | {"changes_within": 0},
        "warn",
        "no observation was another than the one before it in its episode",
    ),
    ("resets", "policies.0.resets_unchanged", 400, "warn", "does the environment's reset()"),
    (
        "resets",
        "policies.0.resets_kept_share",
        0.2,
        "warn",
        "20% of episodes begin with what the one before had made of some number",
    ),
    ("episode_ends", "policies.0.truncated", 400, "warn", "which no time limit does"),
    (
        "episode_ends",
        "policies.0",
        ENDLESS | {"steps_each": 100_001.0, "eval_steps_max": 500},
        "warn",
        "no episode has ended in 100,001 steps",
    ),
    (
        "episode_ends",
        "policies.0",
        ENDLESS | {"steps_each": 1_251.0, "steps_each_planned": 2_500.0, "eval_steps_max": 10_000},
        "warn",
        "no episode has ended in 1,251 steps",
    ),
    (
        "episode_ends",
        "policies.0",
        ENDLESS | {"steps_each": 1_250.0, "evals_all_cut": 3},
        "warn",
        "no episode ends by itself: none in 1,250 steps",
    ),
    (
        "episode_ends",
        "policies.0",
        ENDLESS
        | {"steps_each": 1_250.0, "evals_all_cut": 3, "eval_steps_max": 300}
        | {"learning": LearningView(policy="default", verdict="FLAT", held_evals=1)},
        "warn",
        "It is no fault of a task without an end",
    ),
    (
        "episode_ends",
        "policies.0",
        {"truncated": 390, "truncated_length_min": 9, "longest_terminated": 10},
        "warn",
        "the others were all terminated after exactly 500, as a time limit does: are terminated",
    ),
    (
        "episode_ends",
        "policies.0",  # the first that has reached the time limit takes nothing back
        {"truncated": 399, "truncated_length_min": 9, "longest_terminated": 1},
        "warn",
        "the other one was terminated after exactly 500, as a time limit does: are terminated",
    ),
    (
        "episode_ends",
        "policies.0",
        {"length_max": 1, "reward_min": 1.0, "reward_max": 1.0},
        "warn",
        "all 400 episodes ended with their first step, and all were paid 1: does step() say",
    ),
    (
        "episode_ends",
        "policies.0",
        {"at_once": 40, "over_soon": 2},
        "warn",
        "40 of 400 episodes ended with their first step, and only 2 with the second or third",
    ),
    (
        "episode_ends",
        "policies.0.cut_at_once",
        41,
        "warn",
        "41 of 400 episodes were truncated with their first step",
    ),
    (
        "action_effect",
        "policies.0",
        EARLY | {"action_effect_p": 0.2, "eval_return_mean": 30.0, "eval_return_ci95": 5.1},
        "warn",
        "carry out the action that it is given, do its observations show what has come of it",
    ),
    ("reward_signal", "policies.0.returns_abs_max", 0.0, "warn", "no reward in 101,000"),
    (
        "reward_signal",
        "policies.0",
        {
            "returns_abs_max": 0.0,
            "reward_min": 0.0,
            "reward_max": 0.0,
            "episodes": 1000,
            "transitions_here": 10_000,
        },
        "warn",
        "no reward in 10,000 transitions, 1,000 episodes: does step() return a reward at all?",
    ),
    (
        "reward_signal",
        "policies.0",
        UNPAID
        | {"episodes": 50, "transitions_here": 2_000}
        | {"steps_each": 500.0, "steps_each_planned": 1_000.0},
        "warn",
        "no reward in 2,000 transitions, 50 episodes",
    ),
    ("reward_scale", "policies.0.returns_abs_max", 2e3, "warn", "divide the environment's"),
    ("reward_scale", "policies.0.returns_abs_max", 1e5, "fail", "up to 1e+05"),
    ("reward_scale", "policies.0.returns_abs_max", 5e-6, "warn", "no n-step return was larger"),
    ("evaluation_env", "policies.0.reset_difference_p", 1e-9, "warn", "env.eval_kwargs"),
    ("device", "processes.0.device_asked", "cuda:0", "fail", "on cpu, and not on cuda:0"),
    ("lr", "policies.0.lr", 4e-4, "fail", "lr_schedule"),
    ("lr", "policies.0", {"lr": 10.0, "lr_planned": 10.0}, "warn", "too high"),
    ("lr", "policies.0.lr_start", 10.0, "warn", "learner.lr = 10 is too high"),  # it has fallen
    (
        "lr",
        "policies.0",
        {"lr": 1e-9, "lr_start": 1e-9, "lr_planned": 1e-9, "weight_move": 4e-6},
        "warn",
        "no weight can move by more than 4e-06: raise learner.lr",
    ),
    (
        "lr",
        "policies.0.lr_spent_share",
        0.96,
        "warn",
        "nothing is learned any more, for 96% of the run's updates",
    ),
    ("target_network", "policies.0.target_kept_at_end", 0.9998, "warn", "raise learner.tau"),
    ("epsilon", "processes.1.epsilon_off", 0.3, "fail", "a0 acts with epsilon 0.100"),
    ("exploration", "policies.0.final_epsilon", 1.0, "warn", "exploration.epsilon_end"),
    ("exploration", "policies.0.final_epsilon", 0.5, "warn", "still 0.50 at the last step"),
    ("exploration", "policies.0.most_epsilon", 0.0, "warn", "nobody explores"),
    (
        "discount",
        "policies.0",
        {"gamma": 0.0, "reward_min": 1.0, "reward_max": 1.0},
        "warn",
        "that is always the same: try 0.99",
    ),
    (
        "discount",
        "policies.0",
        {"gamma": 0.0, "learning": LearningView(verdict="BELOW BEST", held_evals=1)},
        "warn",
        "and it does not learn: try 0.99, unless",
    ),
    ("discount", "policies.0", UNENDED, "warn", "no episode has ever been terminated"),
    (
        "value_range",
        "policies.0",
        {"returns_clipped_share": 0.9, "value_range": "-1 to 1"},
        "warn",
        "v_min and v_max, -1 to 1, cut 90% of what n-step returns are worth off the targets",
    ),
    ("evaluations", "policies.0.evals_planned", 0, "warn", "more than run.total_steps"),
    (
        "evaluations",
        "policies.0",
        {"evals_cut_alike": 3, "eval_steps_max": 300},
        "warn",
        "all 3 evaluations so far were cut by eval.max_episode_steps = 300 and brought the same",
    ),
    (
        "grad_flow",
        "policies.0",
        {"grad_zero_share": 0.25, "grad_zero_in": "heads.0.weight"},
        "warn",
        "no gradient reaches heads.0.weight",
    ),
    ("grad_norm", "policies.0.grad_norm", 1e5, "warn", "multiplied"),
    ("q_bound", "policies.0.q_max_abs", 1e3 + 1, "warn", "values diverge"),
    ("q_bound", "policies.0.q_max_abs", 1e5, "fail", "to 1e+03 times"),
    (
        "q_bound",
        "policies.0",
        {"q_max_abs": 1e5, "observation_abs_max": 3e5},
        "fail",
        "observations are as large as 3e+05, so scale them to about 1 first: lower",
    ),
    (
        "grad_norm",
        "policies.0",
        {"grad_norm": 1e9, "observation_abs_max": 3e5},
        "warn",
        "scale them to about 1 first",
    ),
    (
        "learning",
        "policies.0.learning",
        FELL,
        "warn",
        "under their best",
    ),
    (
        "learning",
        "policies.0",
        {"learning": FELL, "lost_updates": 90_000},
        "warn",
        "90,000 updates were lost when the learner died, 90% of all it made, and its",
    ),
    (
        "learning",
        "policies.0",
        {"learning": FLAT, "lost_updates": 90_000},
        "warn",
        "90,000 updates were lost when the learner died",
    ),
    (
        "learning",
        "policies.0",
        {"learning": FELL, "lost_updates": 500},  # of 10,500: made again soon
        "warn",
        "lower learner.lr, or let it fall",
    ),
    (
        "learning",
        "policies.0.learning",
        FLAT,
        "warn",
        "evaluations, 20.5 on average, are no better than the first episodes, which brought 20 by",
    ),
    (
        "learning",
        "policies.0",
        {"learning": FLAT, "updates": 98, "target_updates": 0, "target_updates_expected": 0}
        | {"ratio_target": 0.001, "ratio_achieved": 0.001, "ratio_updates": 98}
        | {"lag_updates_p95": 40.0},
        "warn",
        "its network has had only 98 updates. Hardly anything is learned in fewer than 1,000: "
        "raise learner.replay_ratio (0.001 updates per transition) or run.total_steps",
    ),
    (
        "learning",
        "policies.0",
        {"learning": FLAT, "length_max": 1, "observation_abs_max": 3e5},
        "warn",
        "ends with its first step: is that meant?; observations are as large as 3e+05",
    ),
    (
        "learning",
        "policies.0",
        {"learning": FLAT, "eval_kwargs": "{'easy': True}"},
        "warn",
        "evaluations play with env.eval_kwargs = {'easy': True}",
    ),
    (
        "evaluation_env",
        "policies.0",
        {
            "reward_min": 1.0,
            "reward_max": 1.0,
            "eval_reward_min": 0.01,
            "eval_reward_max": 0.01,
        },
        "warn",
        "steps of evaluations are paid 0.01 to 0.01, and none of training was: 1 to 1",
    ),
]
"""For every check: what is changed in a healthy run, the state it leads to, and what is said."""
