"""The lines of metrics.jsonl: their kinds and what each field means.

Workers make `train`, `rows`, `learner`, `eval` and `env` records; the supervisor makes `system` and
`rewind` and adds the clock to all of them. A number that is not finite is written as null, which
every reader of JSON takes for "missing". Lines of unknown kind or with further fields are legal:
readers skip them.

A run that goes on from a checkpoint goes back in steps, and what it had measured beyond them stays
in the file. A `rewind` line stands where it does: leave out all lines before one that have more
`steps` than it has, or as many and more `updates` of their policy (``metrics/rewind.py``). Where a
learner alone went back (`async`) it has the newest `steps`; over *updates* leave out, too, what was
measured before it at more updates of the policy than it has.

`steps` is no key of evaluations. A run's last one is of the weights after its last update, which
comes after its last step: it often has the `steps` of the scheduled one before it and a higher
`version`. An evaluation by hand can share them too. For a table of steps and policies keep the last
line of each, as `compare` and `report` do (pandas: `drop_duplicates(["policy", "steps"],
keep="last")`), or take `version` in place of `steps`.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

SCHEMA_VERSION = 1

COMMON_FIELDS = {
    "kind": "`train`, `rows`, `learner`, `eval`, `env`, `system` or `rewind`",
    "time_s": "unix time at which the supervisor got it",
    "wall_s": "seconds since this session of the run started",
    "steps": "environment steps of the whole run so far",
}

FIELDS: dict[str, dict[str, str]] = {
    "train": {
        "policy": "policy name",
        "updates": "updates of the policy so far",
        "episodes": "episodes that ended since this actor's last record",
        "return_mean": "mean of their undiscounted returns, with exploration",
        "return_min": "smallest of them",
        "return_max": "largest of them",
        "length_mean": "their mean length in environment steps",
        "actor": "index of the actor",
        "epsilon": "its share of random actions when the record was made",
        "truncated": "how many of `episodes` were truncated, and not terminated",
        "length_min": "length of the shortest",
        "length_max": "length of the longest",
        "longest_terminated": "how many of those as long as the longest were terminated",
        "at_once": "how many of `episodes` ended with their first step",
        "over_soon": "how many ended with their second or third step",
        "cut_at_once": "how many of those that ended with their first step were truncated",
        "chance_episodes": "how many of `episodes` ended while epsilon was at least 0.9: played by "
        "chance; the next three are absent if none was",
        "chance_return_mean": "mean of their undiscounted returns",
        "chance_return_min": "smallest of them",
        "chance_return_max": "largest of them",
        "truncated_length_min": "length of the shortest that was truncated; absent if none was",
        "truncated_length_max": "length of the longest that was truncated; absent if none was",
        "resets_unchanged": "episodes that began with the very observation that the one before "
        "ended with",
        "resets_kept_share": "share of this process's episodes that began with what the one before "
        "had made of some number of the observation, beyond four times what chance makes; absent "
        "where agents act one after another",
        "begins_differ": "1 if not all episodes of this actor have begun with the same observation "
        "(32 of its numbers), else 0; absent where agents act one after another",
        "changes_within": "1 if some observation of this actor was another than the one before it "
        "in its episode, 0 if none of 4,096 or more was; absent before",
        "reward_min": "smallest reward of one step since the last record",
        "reward_max": "largest reward of one step",
        "action_effect_p": "p-value of: the action makes no difference to what changes in the "
        "observation, nor to the reward; from actions that were drawn at random, since this actor "
        "began. Near 1 over many rows: what is done makes no difference. Absent before there are "
        "enough to say so, unless it is certain sooner that actions matter",
        "action_effect_rows": "transitions with such an action that have been looked at",
        "action_effect_rows_wanted": "of these, so many are enough",
    },
    "learner": {
        "policy": "policy name",
        "updates": "updates of the policy so far",
        "version": "publication number of the newest weights",
        "loss": "mean loss over every tenth update since the last record, the newest 16 of them",
        "q_mean": "mean value of all actions in sampled states",
        "q_max_abs": "largest absolute action value",
        "td_abs_mean": "mean absolute TD error",
        "td_p95": "95th percentile of the absolute TD error",
        "grad_norm": "gradient norm before clipping",
        "lr": "learning rate",
        "lag_updates_p50": "updates between acting and learning of sampled transitions, median",
        "lag_updates_p95": "the same, 95th percentile",
        "sample_age_p95": "transitions inserted since a sampled one, 95th percentile",
        "target_updates": "updates of the target network so far",
        "returns_abs_max": "largest absolute n-step return of the transitions drawn since the last "
        "record, of the draws looked at: those that one update in 40 is made from",
        "returns_nonzero_share": "share of them whose n-step return is not 0",
        "returns_clipped_share": "`c51`: how much of what n-step returns are worth "
        "`algorithm.v_min` and `v_max` cut off the targets: mean distance of the expected target "
        "with and without them, over the mean absolute return; of every 16th batch",
        "observation_spread": "share of the numbers in a state that are not the same in all states "
        "of the newest draw (64 of them; fewer where they are very large)",
        "observation_abs_max": "largest absolute number in these states",
        "observation_size": "largest of the absolute numbers that are as large in half of these "
        "states; 0 where they are bytes, which networks divide",
        "grad_zero_share": "share of the trainable tensors whose gradient was exactly 0 everywhere "
        "in all updates looked at since the last record, 8 at most",
        "grad_zero_in": "names of the first of these; absent if there are none",
        "audited": "draws of audited rows that were looked at since the learner began; this and "
        "the next four are absent if `checks.audit_share` is 0",
        "stack_disagreements": "of these, the frames are not those that the actor acted on",
        "cross_episode_samples": "of these, something belongs to another episode",
        "checksum_failures": "of these, the row is not as it was committed",
        "audit_share": "share of the learner's time that looking has cost: twice what it took",
    },
    "eval": {
        "policy": "policy name",
        "updates": "updates of the policy when these weights were published",
        "version": "publication number of the evaluated weights",
        "episodes": "episodes played greedily",
        "return_mean": "their mean undiscounted return",
        "return_ci95": "half-width of its 95 % interval",
        "return_min": "smallest return",
        "return_max": "largest return",
        "length_mean": "mean length in environment steps",
        "cut": "episodes that `eval.max_episode_steps` ended; they count with their return so far",
        "duration_s": "seconds the evaluation took",
        "reward_min": "smallest reward of one step",
        "reward_max": "largest reward of one step",
        "reset_difference_p": "p-value of: episodes begin here as in training; from all "
        "evaluations so far. Null where agents act one after another",
    },
    "env": {
        "policy": "policy name",
        "updates": "updates of the policy so far, as the actor knows them",
        "actor": "index of the actor",
        "metrics.NAME": "what its environments told in `info['metrics']` under NAME since its "
        "last record, reduced as `env.metrics` says (mean by default)",
    },
    "system": {
        "steps_per_s": "environment steps per second over the last seconds",
        "updates_per_s": "updates per second, by policy",
    },
    "rewind": {
        "updates": "updates of each policy from which training went on",
        "session": "number of the session that went on: 0 is the first",
        "why": "what made it go on from counts lower than those recorded",
    },
}
"""Fields of each kind, beyond `COMMON_FIELDS`."""

_OF_ROWS = (
    *("policy", "updates", "actor", "epsilon", "resets_unchanged", "begins_differ"),
    "changes_within",
    *("reward_min", "reward_max"),
    *("action_effect_p", "action_effect_rows", "action_effect_rows_wanted"),
)
FIELDS["rows"] = {name: FIELDS["train"][name] for name in _OF_ROWS}
"""What an actor's rows show, where steps were made and no episode has ended that a `train` record
could tell of."""

NEVER_MISSING = frozenset(
    ("learner", name)
    for name in ("loss", "q_mean", "q_max_abs", "td_abs_mean", "td_p95", "grad_norm")
)
"""Kinds and fields that are always measured: where one is null, it was not finite."""


def stamped(record: Mapping[str, Any], time_s: float, wall_s: float) -> dict[str, Any]:
    """A copy of `record` with the supervisor's clock."""
    return {**record, "time_s": round(time_s, 3), "wall_s": round(wall_s, 3)}
