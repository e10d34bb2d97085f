"""Checks of settings: do they lead where learning is, and is what is used what was set?"""

from __future__ import annotations

from math import isfinite
from typing import TYPE_CHECKING

from tuitrain.diagnosis.checks.row import (
    Row,
    agents,
    check,
    judged,
    largest,
    not_measured,
    percent,
    smallest,
)
from tuitrain.protocol import PolicyView, Snapshot

if TYPE_CHECKING:
    from tuitrain.config.checks import ChecksConfig


_SOME_STEPS = 1_000
"""Of an environment: in fewer an episode may not be over."""

_EVALS_CUT = 3
"""On end: one may be by chance."""


@check(
    "device",
    "device",
    "8.1",
    why="Every process computes where the config says: on another device it is slow, or out of "
    "memory.",
    explains=("phase_time",),
)
def device(snapshot: Snapshot, limits: ChecksConfig) -> Row:
    """Networks are where they were asked to be; `cuda` is any of that kind."""
    told = [p for p in snapshot.processes if p.device and p.device_asked]
    if not told:
        return not_measured("as asked for")
    other = [p for p in told if p.device != p.device_asked]
    other = [p for p in other if (p.device or "").partition(":")[0] != p.device_asked]
    first = other[0] if other else told[0]
    return judged(
        ", ".join(sorted({p.device or "" for p in other or told})),
        "as asked for",
        "fail" if other else None,
        f"{first.name} computes on {first.device}, and not on {first.device_asked}: does the "
        "network put parameters where it likes?",
    )


@check(
    "lr",
    "learning rate",
    "4.4, 9.1",
    why="The learning rate is the planned one, none that no network survives, none that moves no "
    "weight, and none that has ended long before the run.",
    explains=("q_bound", "grad_norm", "grad_flow", "non_finite", "learning"),
)
def lr(snapshot: Snapshot, limits: ChecksConfig) -> Row:
    """What is used is what is planned, neither too high, or has been, nor too low for too long."""
    found = largest(snapshot, _highest_lr)
    if found is None:
        return not_measured(f"≤ {limits.lr_max:g}")
    policy, most = found
    now = policy.lr if policy.lr is not None and isfinite(policy.lr) else most
    for policy in snapshot.policies:
        planned, used = policy.lr_planned, policy.lr
        if planned is None or used is None or not isfinite(used):
            continue
        if abs(used - planned) > limits.lr_error * planned:
            advice = f"{policy.name}: the optimizer does not follow learner.lr_schedule"
            return Row(f"{used:.3g}", f"{planned:.3g} as planned", "fail", advice)
    spent = largest(snapshot, lambda p: p.lr_spent_share)
    if spent is not None and spent[1] > limits.lr_spent_share:
        policy, share = spent
        advice = (
            f"{policy.name}: by its plan learner.lr_schedule has ended, and nothing is learned any "
            f"more, for {percent(share, limits.lr_spent_share)} of the run's updates: raise "
            "learner.lr_schedule_updates, or leave it out"
        )
        return Row(f"{now:.3g}", "falls for most of the run", "warn", advice)
    least = smallest(snapshot, lambda p: p.weight_move)
    if least is not None and least[1] < limits.weight_move_min:
        policy, move = least
        advice = (
            f"{policy.name}: in this run no weight can move by more than {move:.2g}: raise "
            "learner.lr, or make more updates"
        )
        return Row(f"{now:.3g}", f"moves ≥ {limits.weight_move_min:g}", "warn", advice)
    return judged(
        f"{most if most > limits.lr_max else now:.3g}",
        f"≤ {limits.lr_max:g}",
        "warn" if most > limits.lr_max else None,
        f"learner.lr = {most:.3g} is too high for Adam: try 5e-4",
    )


@check(
    "target_network",
    "target network",
    "9.4",
    why="The target network follows: one that keeps its first weights lets values grow from "
    "nothing but chance.",
    explains=("learning",),
)
def target_network(snapshot: Snapshot, limits: ChecksConfig) -> Row:
    """By the plan, little of the target network's first weights is left at the end."""
    most = limits.target_kept_share
    limit = f"≤ {percent(most, most)} kept to the end"
    found = largest(snapshot, lambda p: p.target_kept_at_end)
    if found is None:
        return not_measured(limit)
    policy, kept = found
    return judged(
        f"{percent(kept, most)} kept",
        limit,
        "warn" if kept > most else None,
        f"{policy.name}: at the end the target network still is {percent(kept, most)} its "
        "first, random weights: raise learner.tau, or lower learner.target_update_every_updates",
    )


@check(
    "epsilon",
    "epsilon",
    "3.2, 9.3",
    why="Every actor explores as much as is planned for this step: with another epsilon it "
    "gathers other data.",
    explains=("learning",),
)
def epsilon(snapshot: Snapshot, limits: ChecksConfig) -> Row:
    """No actor's epsilon is off the plan."""
    limit = f"± {limits.epsilon_error:g}"
    rows = [(p, p.epsilon_off) for p in snapshot.processes if p.epsilon_off is not None]
    if not rows:
        return not_measured(limit)
    actor, off = max(rows, key=lambda row: row[1])
    return judged(
        f"{off:.3f} off",
        limit,
        "fail" if off > limits.epsilon_error else None,
        f"{actor.name} acts with epsilon {actor.epsilon or 0.0:.3f}, {off:.3f} off the plan: it "
        "counts other steps than the run",
    )


@check(
    "exploration",
    "exploration",
    "9.3",
    why="Exploration begins, and ends: who never does anything by chance finds nothing, and who "
    "does until the last step never sees what its own policy leads to.",
    explains=("learning",),
)
def exploration(snapshot: Snapshot, limits: ChecksConfig) -> Row:
    """By the plan, some actor explores, and some actor follows its policy at the end."""
    least = smallest(snapshot, lambda p: p.most_epsilon)
    if least is not None and least[1] < limits.epsilon_min:
        return Row(
            f"at most {least[1]:.3g}",
            f"≥ {limits.epsilon_min:g} at some step",
            "warn",
            "nobody explores: epsilon is never more than "
            f"{least[1]:.3g}, and actions are those of random weights: raise "
            "exploration.epsilon_start, or use algorithm.noisy",
        )
    limit = f"< {limits.final_epsilon_max:g} at the end"
    found = largest(snapshot, lambda p: p.final_epsilon)
    if found is None:
        return not_measured(limit)
    _, final = found
    return judged(
        f"{final:.2f} at the end",
        limit,
        "warn" if final >= limits.final_epsilon_max else None,
        f"epsilon is still {final:.2f} at the last step: lower exploration.epsilon_end, or "
        "epsilon_decay_steps",
    )


@check(
    "value_range",
    "value range",
    "X.34",
    why="What c51 can say of returns reaches as far as they do: from states that are all worth "
    "the end of its range no action can be told from another.",
    explains=("learning",),
)
def value_range(snapshot: Snapshot, limits: ChecksConfig) -> Row:
    """The ends of the support do not cut most of what is paid off the targets."""
    limit = f"≤ {percent(limits.clipped_share, limits.clipped_share)} cut off"
    found = largest(snapshot, lambda p: p.returns_clipped_share)
    if found is None:
        return not_measured(limit)
    policy, share = found
    return judged(
        f"{percent(share, limits.clipped_share)} cut off",
        limit,
        "warn" if share > limits.clipped_share else None,
        f"{policy.name}: algorithm.v_min and v_max, {policy.value_range or 'as they are'}, cut "
        f"{percent(share, limits.clipped_share)} of what n-step returns are worth off the targets: "
        "widen them to what an episode can bring, or divide the rewards",
    )


@check(
    "discount",
    "discount",
    "X.35",
    why="The discount fits the task: at 0 nothing counts but the next reward, and at 1 what never "
    "ends is worth more with every update.",
    explains=("non_finite", "learning"),
)
def discount(snapshot: Snapshot, limits: ChecksConfig) -> Row:
    """What comes later counts, unless it learns without; and what counts forever ends."""
    known = [p for p in snapshot.policies if p.gamma is not None]
    for policy in known:
        if policy.gamma == 0 and (fault := _next_alone(policy, limits)):
            return Row("0", "> 0", "warn", f"{policy.name}: learner.gamma = 0: {fault}")
        if policy.gamma == 1 and agents(snapshot) == 1 and _endless(policy):
            advice = (
                f"{policy.name}: learner.gamma = 1, and no episode has ever been terminated: what "
                "is paid forever adds up without end: lower learner.gamma, or say terminated (it "
                "is no fault if an end only has not been reached yet)"
            )
            return Row("1", "< 1 without ends", "warn", advice)
    if not known or any(p.gamma in (0, 1) for p in known):
        return not_measured("fits the task")
    return Row(", ".join(sorted({f"{p.gamma:g}" for p in known})), "fits the task", "ok")


def _next_alone(policy: PolicyView, limits: ChecksConfig) -> str:
    """Why the next reward alone is too little; empty where it may be all that counts."""
    if (policy.episodes or 0) < limits.min_episodes or (policy.length_max or 0) <= 1:
        return ""
    if policy.reward_min is not None and policy.reward_min == policy.reward_max:
        return "nothing but the next reward counts, and that is always the same: try 0.99"
    if policy.learning.verdict in ("FLAT", "FALLING", "BELOW BEST"):
        return (
            "nothing but the next reward counts, and it does not learn: try 0.99, unless what "
            "an action is worth shows in its own reward"
        )
    return ""


def _endless(policy: PolicyView) -> bool:
    """Whether in half of the run something was paid, and nothing terminated."""
    each, planned = policy.steps_each or 0, policy.steps_each_planned
    if planned is None or each < max(planned / 2, _SOME_STEPS) or not policy.updates:
        return False
    return (policy.truncated or 0) == (policy.episodes or 0) and bool(
        policy.reward_min or policy.reward_max
    )


@check(
    "evaluations",
    "evaluations",
    "X.33",
    why="Evaluations are made, and go on for long enough to tell one policy from another: nothing "
    "else says whether it learns.",
    explains=("learning",),
)
def evaluations(snapshot: Snapshot, limits: ChecksConfig) -> Row:
    """Some are planned, and the config's limit does not end all of them with one return.

    Where training's episodes are no longer than the limit it is not what cuts them short.
    """
    planned = smallest(snapshot, lambda p: p.evals_planned)
    if planned is None:
        return not_measured("≥ 1 planned")
    if planned[1] < 1:
        advice = (
            "eval.every_steps is more than run.total_steps: nothing is evaluated on the way, so "
            "nothing can say whether it learns; lower it to a twentieth of the run or less"
        )
        return Row("none planned", "≥ 1 planned", "warn", advice)
    for policy in snapshot.policies:
        cut, most, longest = policy.evals_cut_alike, policy.eval_steps_max, policy.length_max
        if most is None or longest is None or longest <= most or (cut or 0) < _EVALS_CUT:
            continue
        advice = (
            f"{policy.name}: all {cut} evaluations so far were cut by eval.max_episode_steps = "
            f"{most:,} and brought the same return, while an episode of training took up to "
            f"{longest:,} steps: raise it"
        )
        return Row(f"all cut after {most:,} steps", "some go on", "warn", advice)
    return Row(f"{planned[1]:,.0f} planned", "≥ 1 planned", "ok")


def _highest_lr(policy: PolicyView) -> float | None:
    """Of what is used and what was begun with."""
    told = (policy.lr, policy.lr_start)
    return max((lr for lr in told if lr and isfinite(lr)), default=None)
