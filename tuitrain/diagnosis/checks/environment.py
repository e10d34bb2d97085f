"""Checks of the environment: is it the one that was meant, and is there something to learn?"""

from __future__ import annotations

import math
from typing import TYPE_CHECKING

from tuitrain.diagnosis.checks.row import (
    Row,
    agents,
    better_than_chance,
    check,
    judged,
    largest,
    not_measured,
    percent,
    smallest,
    too_few,
)
from tuitrain.diagnosis.headlines import KEEP_A_PART, STAND_STILL
from tuitrain.diagnosis.merging import FEW
from tuitrain.protocol import PolicyView, Snapshot

if TYPE_CHECKING:
    from tuitrain.config.checks import ChecksConfig

_REFUSAL = "SpecMismatch: "
"""In the last words of a worker that has built another environment than was probed."""
_UNPAID_EPISODES = 1_000
"""FrozenLake by random play is paid in about 1 of 70: this many without any is no bad luck."""
_UNPAID_SHARE = 0.2
"""Of the transitions without a reward that are enough, if there were so many whole episodes."""
_REWARDS_APART = 0.1
"""Of the largest: rewards of evaluations that are nearer to those of training may be the same."""
_UNPAID_SESSION, _UNPAID_LEAST = 0.5, 2_000
"""Of all that a run makes, and transitions: in so much without any reward nothing was learned."""


@check(
    "spec",
    "spec hash",
    "0.4, 1.1-1.3, 10.3",
    why="All processes have built the same environment, by the hash (SHA-256) of its spaces, "
    "agents and frames: another one's rows would spoil the replay unseen.",
    explains=("processes", "learning"),
)
def spec(snapshot: Snapshot, limits: ChecksConfig) -> Row:
    """Every process built the same environment; one that has not refuses to begin."""
    told = {p.name: p.spec_hash for p in snapshot.processes if p.spec_hash is not None}
    refused = {p.name: p.error for p in snapshot.processes if p.error and _REFUSAL in p.error}
    told |= refused
    if snapshot.spec_hash is None or not told:
        return not_measured("all equal")
    other = sorted(name for name, value in told.items() if value != snapshot.spec_hash)
    return judged(
        f"{', '.join(other)} differ" if other else f"{len(told)} of {len(told)}",
        "all equal",
        "fail" if other else None,
        next(iter(refused.values()), "they see another environment than the probe did"),
    )


@check(
    "resets",
    "resets",
    "10.1",
    why="An episode begins anew: where episodes begin differently, one that begins with the last "
    "observation of the one before has hardly been reset.",
    explains=("observations", "episode_ends", "reward_signal", "evaluation_env", "learning"),
)
def resets(snapshot: Snapshot, limits: ChecksConfig) -> Row:
    """Episodes do not begin where the ones before have ended.

    Where all begin alike they may well end so too: a blank screen before and after, a cue between.
    """
    most = limits.resets_unchanged_share
    limit = f"≤ {percent(most, most)} unchanged"

    def unchanged(policy: PolicyView) -> float | None:
        if policy.resets_unchanged is None or (policy.episodes or 0) < limits.min_episodes:
            return None
        if not policy.begins_differ:
            return None
        return policy.resets_unchanged / (policy.episodes or 1)

    found = largest(snapshot, unchanged)
    if found is None:
        return not_measured(limit)
    kept = largest(snapshot, lambda p: p.resets_kept_share if unchanged(p) is not None else None)
    if found[1] <= most and kept is not None and kept[1] > limits.resets_kept_share:
        policy, share = kept
        return Row(
            f"{percent(share, limits.resets_kept_share)} {KEEP_A_PART}",
            f"≤ {percent(limits.resets_kept_share, limits.resets_kept_share)}",
            "warn",
            f"{policy.name}: {share:.0%} of episodes begin with what the one before had made of "
            "some number of the observation, which chance does not explain: does reset() reset all "
            "of the state, every time? (It is no fault if that is meant to go on: a clock, lives "
            "left, whose side it is.)",
        )
    policy, share = found
    return judged(
        f"{percent(share, most)} unchanged",
        limit,
        "warn" if share > most else None,  # a task may go round in circles
        f"{policy.name}: episodes begin with the observation that the one before ended with: does "
        "the environment's reset() reset, and return what it has reset to?",
    )


@check(
    "observations",
    "observations",
    "X.1",
    why="Observations differ within a batch, and are of a size that networks are made for: from "
    "one that is always the same, or all zero, nothing can be told about what to do.",
    explains=(
        *("action_effect", "grad_flow", "grad_norm", "q_bound", "non_finite"),
        "learning",
    ),
)
def observations(snapshot: Snapshot, limits: ChecksConfig) -> Row:
    """Something of an observation is not always the same, and its numbers are of a usual size.

    None is usually huge, and not all are tiny: the network's own first biases would drown them.
    """
    limit = "> 0% of features vary"
    found = smallest(snapshot, lambda p: p.observation_spread)
    if found is None:
        return not_measured(limit, too_few(snapshot, FEW))
    policy, spread = found
    if not spread and policy.length_max == 1:
        return not_measured(limit, "always the same", "right where a task is one step in one state")
    large = largest(snapshot, lambda p: p.observation_size)
    if spread and large is not None and large[1] > limits.observation_max:
        policy, size = large
        return Row(
            f"as large as {size:.3g}",
            f"≤ {limits.observation_max:g}",
            "warn",
            f"{policy.name}: some numbers of an observation are usually about {size:.3g}, and go "
            "into the network as they are: divide them to about 1, or take out what is none of the "
            "task's (a clock, a count)",
        )
    small = largest(snapshot, lambda p: _faint(p, limits))
    if spread and small is not None:
        policy, size = small
        return Row(
            f"as small as {size:.3g}",
            f"≥ {limits.observation_min:g}",
            "warn",
            f"{policy.name}: no number of an observation was larger than {size:.3g}, and they go "
            "into the network as they are, whose first weights see next to nothing of them: "
            "multiply them to about 1",
        )
    if spread and _stands_still(snapshot, limits):
        advice = (
            f"{policy.name}: no observation was another than the one before it in its episode: "
            "does step() return what has become of the state, and not what reset() has made once? "
            "(It is no fault of a task that asks a question at first and shows nothing more.)"
        )
        return Row(STAND_STILL, "changes within an episode", "warn", advice)
    what = "all zero" if policy.observation_abs_max == 0 else "always the same"
    return judged(
        f"{percent(spread, 0.0)} vary" if spread else what,
        limit,
        "fail" if not spread else None,
        f"{policy.name}: observations are {what}: what does the environment return from reset and "
        "step?",
    )


def _stands_still(snapshot: Snapshot, limits: ChecksConfig) -> bool:
    """Whether an episode shows only what it began with, though it has several steps.

    Of several agents nothing is said: one may see another, who has nothing to do.
    """
    policy = snapshot.policies[0]
    if agents(snapshot) != 1 or policy.changes_within != 0 or better_than_chance(policy):
        return False
    return (policy.episodes or 0) >= limits.min_episodes and (policy.length_max or 0) > 2


def _faint(policy: PolicyView, limits: ChecksConfig) -> float | None:
    """The largest number of all observations looked at, if it is tiny, and nothing was learned.

    None of a network of the user's own, which may multiply by itself. Bytes are 1 or more, as
    every whole number is that is not 0.
    """
    size = policy.observation_abs_max
    if policy.observation_size is None or not size or better_than_chance(policy):
        return None
    return size if size < limits.observation_min else None


@check(
    "action_effect",
    "action effect",
    "X.27",
    why="What is done makes a difference to what is seen next or to the reward: where it makes "
    "none, there is nothing to choose.",
    explains=("learning",),
)
def action_effect(snapshot: Snapshot, limits: ChecksConfig) -> Row:
    """Chance does not explain what actions seem to do, or how much better greedy play is.

    Of several agents nothing is said: what one does may matter only with what others do.
    """
    limit = f"p < {limits.action_effect_p:g}"
    if agents(snapshot) != 1:
        return not_measured(limit)
    (policy,) = snapshot.policies
    p, rows = policy.action_effect_p, policy.action_effect_rows
    if p is not None and p < limits.action_effect_p:
        return Row(f"p = {p:.2g}", limit, "ok")
    if rows is None:
        return not_measured(limit)
    wanted = max(limits.action_effect_rows, policy.action_effect_rows_wanted or 0)
    if p is None or rows < wanted:
        return not_measured(limit, f"{rows:,} of {wanted:,} random rows")
    if better_than_chance(policy):
        advice = "greedy play brings more than random play: there is an effect that shows later"
        return not_measured(limit, f"p = {p:.2g}", advice)
    advice = (
        f"after {rows:,} random actions nothing seen or paid in the next two rows depended on "
        "them: does the environment carry out the action that it is given, do its observations "
        "show what has come of it, and does an action mean the same in every episode? (An effect "
        "that comes later, or of one action in many, does not show here, and is no fault.)"
    )
    return Row(f"p = {p:.2g}", limit, "warn", advice)


@check(
    "reward_signal",
    "reward signal",
    "7.2",
    why="Some returns are not 0: without any reward all actions are equally good.",
    explains=("learning",),
)
def reward_signal(snapshot: Snapshot, limits: ChecksConfig) -> Row:
    """Something that is not 0 has been drawn."""
    limit = "> 0% non-zero"
    found = smallest(snapshot, lambda p: p.returns_abs_max)
    if found is None:
        return not_measured(limit)
    policy, largest_return = found
    if largest_return or policy.reward_min or policy.reward_max:  # not every draw is looked at
        share = policy.returns_nonzero_share or 0.0
        return Row(f"{share:.1%} non-zero", limit, "ok")
    seen = policy.transitions_here or 0
    episodes = policy.episodes or 0
    enough: float = limits.reward_signal_transitions
    if policy.reward_min == policy.reward_max == 0 and episodes >= _UNPAID_EPISODES:
        enough *= _UNPAID_SHARE  # whole episodes of all actors say more than single draws
    if seen < enough and not _unpaid_for_long(policy, limits):
        return not_measured(limit, "none yet")
    advice = (
        f"{policy.name}: no reward in {seen:,} transitions, {episodes:,} episodes: does step() "
        "return a reward at all? If it is only rare, explore for longer "
        "(exploration.epsilon_decay_steps), or give a reward on the way"
    )
    return Row("none", limit, "warn", advice)


def _unpaid_for_long(policy: PolicyView, limits: ChecksConfig) -> bool:
    """Whether half of the run is over, and neither actors nor evaluations have met a reward."""
    paid = policy.eval_reward_min or policy.eval_reward_max
    if paid or not policy.reward_min == policy.reward_max == 0:
        return False
    if (policy.episodes or 0) < limits.min_episodes:
        return False
    half = _UNPAID_SESSION * (policy.steps_each_planned or math.inf)
    return (policy.steps_each or 0) >= half and (policy.transitions_here or 0) >= _UNPAID_LEAST


@check(
    "reward_scale",
    "reward scale",
    "7.1",
    why="Returns are neither huge nor tiny: errors as large make steps that no learning rate was "
    "chosen for, and from errors as small nothing is learned.",
    explains=("q_bound", "grad_norm", "non_finite", "learning"),
)
def reward_scale(snapshot: Snapshot, limits: ChecksConfig) -> Row:
    """The largest n-step return is of a size that learning rates are meant for.

    Tiny is what no reward has been larger than, in many transitions and whole episodes.
    """
    most = limits.n_step_return_max
    found = largest(snapshot, lambda p: p.returns_abs_max)
    if found is None:
        return not_measured(f"≤ {most:g}")
    small = smallest(snapshot, lambda p: _tiny(p, limits))
    if small is not None and found[1] <= most:
        policy, size = small
        advice = (
            f"{policy.name}: no n-step return was larger than {size:.3g}: multiply the "
            "environment's rewards to about 1"
        )
        return Row(f"{size:.3g}", f"≥ {limits.n_step_return_min:g}", "warn", advice)
    policy, size = found
    return judged(
        f"{size:.3g}",
        f"≤ {most:g}",
        "fail" if size > 10 * most else "warn" if size > most else None,
        f"{policy.name}: n-step returns of up to {size:.3g}: divide the environment's rewards to "
        "about 1, or clip them",
    )


@check(
    "evaluation_env",
    "evaluation env",
    "X.28",
    why="Evaluations begin as training does, and pay as it does: of another game they say nothing "
    "about this one.",
    explains=("learning",),
)
def evaluation_env(snapshot: Snapshot, limits: ChecksConfig) -> Row:
    """Chance explains how differently episodes begin in training and in evaluations.

    And some step of an evaluation is paid what steps of training are: a good policy meets rewards
    that a bad one does not, but on its way it is paid like any other.
    """
    for policy in snapshot.policies:
        if agents(snapshot) == 1 and (rewards := _other_rewards(policy, limits)):
            return Row(
                "other rewards",
                "like training's",
                "warn",
                f"{policy.name}: {rewards}: look at env.eval_kwargs, and at what the environment "
                "does differently when it is built again",
            )
    limit = f"p ≥ {limits.reset_difference_p:g}"
    found = smallest(snapshot, lambda p: p.reset_difference_p)
    if found is None:
        return not_measured(limit)
    policy, p = found
    return judged(
        f"p = {p:.2g}",
        limit,
        "warn" if p < limits.reset_difference_p else None,
        f"{policy.name}: evaluations begin with other observations than training: look at "
        "env.eval_kwargs, at what the environment does differently when it is built again, and at "
        "what reset() keeps where it is given no seed",
    )


def _other_rewards(policy: PolicyView, limits: ChecksConfig) -> str:
    """How the rewards of evaluations lie wholly outside of all that training has ever paid."""
    if (policy.episodes or 0) < limits.min_episodes:
        return ""
    ends = policy.reward_min, policy.reward_max, policy.eval_reward_min, policy.eval_reward_max
    least, most, eval_least, eval_most = ends
    if least is None or most is None or eval_least is None or eval_most is None:
        return ""
    if policy.eval_kwargs and _signs(least, most) == _signs(eval_least, eval_most):
        return ""  # another size alone is how clipped rewards are evaluated: see envs/paired.py
    apart = max(eval_least - most, least - eval_most)
    if not apart > _REWARDS_APART * max(abs(end or 0.0) for end in ends):
        return ""
    return (
        f"steps of evaluations are paid {eval_least:.4g} to {eval_most:.4g}, and none of training "
        f"was: {least:.4g} to {most:.4g}"
    )


def _signs(*rewards: float) -> set[float]:
    """Which signs rewards have: −1, 0, 1."""
    return {math.copysign(1.0, reward) if reward else 0.0 for reward in rewards}


def _tiny(policy: PolicyView, limits: ChecksConfig) -> float | None:
    """The largest |return or reward| where enough was seen to call it too small, else None."""
    size = max(
        policy.returns_abs_max or 0.0, abs(policy.reward_min or 0.0), abs(policy.reward_max or 0.0)
    )
    if (policy.transitions_here or 0) < _UNPAID_SHARE * limits.reward_signal_transitions:
        return None
    if (policy.episodes or 0) < limits.min_episodes:
        return None
    return size if 0 < size < limits.n_step_return_min else None
