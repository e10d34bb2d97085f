"""`[checks]`: what a failing check does, the live audit, and the limits of all checks."""

from __future__ import annotations

from typing import Literal

from pydantic import Field

from tuitrain.config.table import Table, unit


class ChecksConfig(Table):
    """`[checks]`: limits of the checks. They watch and decide nothing of what is learned."""

    on_fail: Literal["log", "pause", "stop", "rollback"] = Field(
        "log",
        description="What the run does when a check fails: only say so, pause, stop with a "
        "checkpoint, or go back to the last checkpoint at which all was well. Warnings are only "
        "said.",
    )
    max_rollbacks: int = Field(
        2,
        ge=1,
        json_schema_extra=unit("returns"),
        description='How often a session goes back for `on_fail = "rollback"`. The next failure '
        "stops it.",
    )
    audit_share: float = Field(
        0.005,
        ge=0,
        le=0.05,
        json_schema_extra=unit("share of time"),
        description="Time that each worker may spend on the audit: of a few rows actors write a "
        "checksum and a hash of what they acted on, and learners that draw them compute both anew. "
        "In so much of the time as many rows are audited as can be; 0 is off.",
    )
    heartbeat_s: float = Field(
        5.0,
        gt=0,
        json_schema_extra=unit("seconds"),
        description="`heartbeat` warns of a worker that is silent for longer. It is judged hung by "
        "`supervisor.progress_deadline_s`.",
    )
    progress_s: float = Field(
        30.0,
        gt=0,
        json_schema_extra=unit("seconds"),
        description="`progress` warns of a worker that works and gets nothing done for longer.",
    )
    standstill_s: float = Field(
        60.0,
        gt=0,
        json_schema_extra=unit("seconds"),
        description="`standstill` fails if all workers wait for longer and nothing is done.",
    )
    warm_up_s: float = Field(
        600.0,
        gt=0,
        json_schema_extra=unit("seconds"),
        description="`warm_up` warns of a first update that is further away.",
    )
    learned_share_min: float = Field(
        0.1,
        ge=0,
        lt=1,
        json_schema_extra=unit("share of the run's transitions"),
        description="`warm_up` warns if fewer come after replay.learning_starts.",
    )
    lock_wait_s: float = Field(
        2.0,
        gt=0,
        json_schema_extra=unit("seconds"),
        description="`lock_wait` warns of a single wait for a lock that was longer. After "
        "`supervisor.lock_deadline_s` it is an error.",
    )
    copy_share: float = Field(
        0.5,
        gt=0,
        le=1,
        json_schema_extra=unit("share of busy time"),
        description="`phase_time` warns of a learner that copies and publishes for more of the "
        "time in which it does not wait.",
    )
    replay_ratio_error: float = Field(
        0.01,
        gt=0,
        le=1,
        json_schema_extra=unit("relative"),
        description="`replay_ratio` fails if the achieved ratio is further off, once one width of "
        "the rate limiter's band is less than that.",
    )
    policy_lag_bands: float = Field(
        20.0,
        ge=1,
        json_schema_extra=unit("widths of the rate limiter's band"),
        description="`policy_lag` warns of transitions acted with weights that are older, beyond "
        "what a full replay explains.",
    )
    observation_max: float = Field(
        1e3,
        gt=0,
        json_schema_extra=unit("number of an observation"),
        description="`observations` warns of numbers that are larger in half of what is drawn, and "
        "are put into one of tuitrain's own networks as they are.",
    )
    observation_min: float = Field(
        1e-2,
        ge=0,
        json_schema_extra=unit("number of an observation"),
        description="`observations` warns too where no number drawn is as large (and not all are "
        "0), they are put into such a network, and greedy play is no better than random play.",
    )
    min_episodes: int = Field(
        50,
        ge=1,
        json_schema_extra=unit("episodes"),
        description="`resets` and `episode_ends` judge so many episodes of a policy, or more.",
    )
    resets_unchanged_share: float = Field(
        0.99,
        gt=0,
        le=1,
        json_schema_extra=unit("share of episodes"),
        description="`resets` warns if more episodes begin with the observation that the one "
        "before ended with, unless all begin alike.",
    )
    resets_kept_share: float = Field(
        0.05,
        gt=0,
        le=1,
        json_schema_extra=unit("share of episodes"),
        description="`resets` warns if some number of an observation is left as it was by more "
        "resets, beyond what chance makes.",
    )
    endless_steps: int = Field(
        100_000,
        ge=1,
        json_schema_extra=unit("steps of one environment"),
        description="`episode_ends` warns if no episode has ended after so many, or after 1000 and "
        "half of all that the run makes.",
    )
    action_effect_rows: int = Field(
        2_000,
        ge=1,
        json_schema_extra=unit("transitions"),
        description="`action_effect` is judged after so many random actions of one actor, or as "
        "many as its test wants if that is more.",
    )
    action_effect_p: float = Field(
        0.1,
        gt=0,
        lt=1,
        json_schema_extra=unit("probability"),
        description="`action_effect` warns unless chance alone would explain what actions seem to "
        "do less often than this.",
    )
    reset_difference_p: float = Field(
        1e-6,
        gt=0,
        lt=1,
        json_schema_extra=unit("probability"),
        description="`evaluation_env` warns if chance alone would explain less often than this how "
        "differently evaluations begin.",
    )
    reward_signal_transitions: int = Field(
        50_000,
        ge=1,
        json_schema_extra=unit("transitions"),
        description="`reward_signal` warns if none of the drawn returns was anything but 0 after "
        "so many; after a fifth of them and 1,000 episodes, or half of the run, if no actor has "
        "seen a reward either.",
    )
    n_step_return_max: float = Field(
        1e3,
        gt=0,
        json_schema_extra=unit("reward over n steps"),
        description="`reward_scale` warns of larger n-step returns, and fails at ten times this.",
    )
    n_step_return_min: float = Field(
        1e-3,
        ge=0,
        json_schema_extra=unit("reward over n steps"),
        description="`reward_scale` warns if no n-step return and no reward is as large, after a "
        "fifth of `reward_signal_transitions` and `min_episodes`. Of none at all `reward_signal` "
        "warns.",
    )
    epsilon_error: float = Field(
        0.02,
        gt=0,
        le=1,
        json_schema_extra=unit("probability"),
        description="`epsilon` fails if an actor's epsilon is further from the planned one.",
    )
    final_epsilon_max: float = Field(
        0.5,
        gt=0,
        le=1,
        json_schema_extra=unit("probability"),
        description="`exploration` warns if every actor's epsilon is still so high at the planned "
        "end.",
    )
    clipped_share: float = Field(
        0.5,
        gt=0,
        json_schema_extra=unit("share of what n-step returns are worth"),
        description="`value_range` warns if `algorithm.v_min` and `v_max` cut more off the targets "
        "of `c51`: at 0.5 values would be twice as large without them.",
    )
    epsilon_min: float = Field(
        0.005,
        ge=0,
        le=1,
        json_schema_extra=unit("probability"),
        description="`exploration` warns if no actor's epsilon is ever as high, unless networks "
        "explore by noise or `run.init_from` gives weights to begin with.",
    )
    lr_max: float = Field(0.05, gt=0, description="`lr` warns of a higher learning rate.")
    weight_move_min: float = Field(
        0.01,
        gt=0,
        json_schema_extra=unit("change of a weight"),
        description="`lr` warns if learner.lr times the run's planned updates is less: about as "
        "far as Adam can move a weight.",
    )
    lr_spent_share: float = Field(
        0.5,
        gt=0,
        le=1,
        json_schema_extra=unit("share of the planned updates"),
        description="`lr` warns if more come after a schedule has ended at less than a hundredth "
        "of learner.lr.",
    )
    lr_error: float = Field(
        0.01,
        gt=0,
        le=1,
        json_schema_extra=unit("relative"),
        description="`lr` fails if the learning rate is further from the planned one.",
    )
    target_kept_share: float = Field(
        0.5,
        gt=0,
        lt=1,
        json_schema_extra=unit("share of its first weights"),
        description="`target_network` warns if the target network would still hold more at the "
        "run's end.",
    )
    grad_norm_per_td: float = Field(
        100.0,
        gt=0,
        json_schema_extra=unit("L2 norm per TD error"),
        description="`grad_norm` warns of a gradient longer than this × (1 + mean TD error) × the "
        "largest value observed, if that is over 1.",
    )
    q_bound_factor: float = Field(
        10.0,
        ge=1,
        json_schema_extra=unit("times"),
        description="`q_bound` warns of values over so many times what the largest n-step return "
        "allows, and fails at ten times that.",
    )
    flat_share: float = Field(
        0.5,
        gt=0,
        le=1,
        json_schema_extra=unit("share of run.total_steps"),
        description="`learning` warns of evaluations that are FLAT, and over so long no better "
        "than the first episodes of training.",
    )
