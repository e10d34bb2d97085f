"""What is measured of a policy for the checks: the part of ``protocol.PolicyView`` they look at.

Names are those of the records that bring them (``metrics.records``), merged over actors and time;
``diagnosis.merging`` says how. What was not measured is None.
"""

from __future__ import annotations

from typing import Literal

from pydantic import BaseModel, Field


class NetworkFault(BaseModel):
    """Something that is wrong with a network (``learning.network_faults.Fault``)."""

    kind: str
    state: Literal["refused", "fail", "warn"]
    says: str
    """What it does, as in "is random in evaluation mode, too"."""
    advice: str


class NetworkMeasured(BaseModel):
    """What was found by asking a network before the run (``learning.network_probe.Examined``)."""

    faults: list[NetworkFault] = Field(default_factory=list)
    """The worst first."""
    low: float | None = None
    high: float | None = None
    """What its values never leave, whatever its weights are; None where that is not known."""
    asked: bool = True
    """Whether it took what was made up to ask it."""
    no_numbers: bool = False
    """Whether it said NaN or infinity of some of that."""


class Measurements(BaseModel):
    """Of one policy; what is counted, is so since this session of the run began."""

    learner_records: int | None = None
    """Of the learner, of this session: some checks wait for a few."""
    returns_abs_max: float | None = None
    """Largest |n-step return| that was drawn."""
    returns_nonzero_share: float | None = None
    """Newest share of drawn transitions whose n-step return was not 0."""
    returns_clipped_share: float | None = None
    """Smallest share of the last few records of what returns are worth that the support of `c51`
    cuts off its targets; None before there are so many, and of other algorithms."""
    gamma: float | None = None
    """The discount per step."""
    value_range: str | None = None
    """That support, in words."""
    observation_spread: float | None = None
    """Largest share of an observation's features that differed within a drawn batch."""
    observation_abs_max: float | None = None
    """Largest |value| in a drawn observation."""
    observation_size: float | None = None
    """Largest of a drawn observation's numbers that are as large in half of all; 0 of bytes. None
    for networks of the user's own, which may divide by themselves."""
    td_abs_mean: float | None = None
    """Newest mean |TD error|."""
    grad_zero_share: float | None = None
    """Smallest share of the last few records of tensors whose gradient was exactly 0 everywhere;
    None before there are so many."""
    grad_zero_in: str | None = None
    """Names of some of them."""
    audited: int | None = None
    """Audited rows that were sampled and computed anew."""
    stack_disagreements: int | None = None
    """Of these: what would be learned from is not what the actor acted on."""
    cross_episode_samples: int | None = None
    """Of these: the stack reaches into another episode."""
    checksum_failures: int | None = None
    """Of these: the row is not what was written."""
    episodes: int | None = None
    """That have ended in training."""
    first_return_mean: float | None = None
    """Mean return of the first that were played by chance: while epsilon was at least 0.9, or at
    least 0.5 by weights without an update; None of fewer than 20, or 4 for each environment, and of
    a run that was resumed."""
    first_return_ci95: float | None = None
    """At most so wide is half its 95 % interval."""
    recent_return_mean: float | None = None
    """Mean return of the episodes of training since the fourth newest evaluation, or so many as
    there were; None of fewer than 20."""
    recent_return_ci95: float | None = None
    """At most so wide is half its 95 % interval."""
    truncated: int | None = None
    """Of these: by truncation."""
    length_min: int | None = None
    length_max: int | None = None
    longest_terminated: int | None = None
    """Episodes as long as the longest that were terminated, not truncated."""
    at_once: int | None = None
    """Episodes of a single step."""
    over_soon: int | None = None
    """Episodes of two or three."""
    cut_at_once: int | None = None
    """Of those of a single step: by truncation."""
    truncated_length_min: int | None = None
    truncated_length_max: int | None = None
    """Of those that were truncated."""
    resets_unchanged: int | None = None
    """Episodes that began with the very observation that the one before ended with."""
    resets_kept_share: float | None = None
    """Share of an actor's episodes that began with what the one before had made of some number,
    beyond what chance makes."""
    transitions_here: int | None = None
    """Transitions of this session, among which the rewards were: a replay may be older."""
    begins_differ: int | None = None
    """1 if the episodes of some actor have not all begun alike, else 0."""
    changes_within: int | None = None
    """1 if some observation was another than the one before it in its episode, else 0; None as long
    as too few were looked at."""
    reward_min: float | None = None
    reward_max: float | None = None
    """Of one step in training."""
    action_effect_p: float | None = None
    """Probability by chance alone of what actions seem to do, of the actor where it is least."""
    action_effect_rows: int | None = None
    """Transitions that were looked at, of the actor that has looked at most."""
    action_effect_rows_wanted: int | None = None
    """So many are enough to say that actions have no effect."""
    eval_reward_min: float | None = None
    eval_reward_max: float | None = None
    """Of one step in evaluations."""
    eval_kwargs: str | None = None
    """What the config changes of the environment for evaluations; None if nothing."""
    eval_steps_max: int | None = None
    """Where the config has evaluation episodes cut."""
    evals_all_cut: int | None = None
    """Newest evaluations on end of which `eval.max_episode_steps` ended every episode."""
    evals_cut_alike: int | None = None
    """Evaluations so far, if `eval.max_episode_steps` ended every episode and all had one return;
    else 0."""
    evals_planned: int | None = None
    """That are due while the run goes on; None if the config wants none."""
    reset_difference_p: float | None = None
    """Probability by chance alone of how differently episodes begin in the newest evaluation."""
    lr_start: float | None = None
    """Where the learning rate's schedule begins."""
    lr_planned: float | None = None
    """What the config says that `lr` must be at these updates."""
    learned_share: float | None = None
    """Share of the run's planned transitions that come after its warm-up."""
    weight_move: float | None = None
    """About the most that the run's planned updates can move a weight: a step of Adam is no longer
    than its learning rate."""
    lr_spent_share: float | None = None
    """Share of the run's planned updates that come after its learning rate has ended near 0."""
    most_epsilon: float | None = None
    """Of the most exploring actor at any step; None with noisy nets, and where weights of another
    run are begun with."""
    final_epsilon: float | None = None
    """Of the least exploring actor when the run has made all its steps; None with noisy nets."""
    target_kept_at_end: float | None = None
    """Share of its first weights that the target network still holds after the planned updates."""
    q_bound: float | None = None
    """Largest |Q| that the largest n-step return so far allows; None without discount."""
    network: NetworkMeasured | None = None
    """What is wrong with the network itself."""
    overwritten: int | None = None
    """Rows that were overwritten before the first update."""
    steps_each_planned: float | None = None
    """Steps that each environment makes in the whole run."""
    steps_each: float | None = None
    """Steps of this session per environment."""
