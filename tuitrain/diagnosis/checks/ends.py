"""How episodes end: the check of it, and what may be meant."""

from __future__ import annotations

import math
from typing import TYPE_CHECKING

from tuitrain.diagnosis.checks.row import LEARNS, Row, agents, check, not_measured
from tuitrain.protocol import PolicyView, Snapshot

if TYPE_CHECKING:
    from tuitrain.config.checks import ChecksConfig

_SOME_STEPS = 1_000
"""Of an environment in training: in a short run, half of it, no episode has ended in so many."""
_EVALUATED_STEPS = 5_000
"""Of an environment in an evaluation."""
_EVALS_CUT = 3
"""Evaluations of which no episode has ended."""
_CUT_ON_PURPOSE = 10_000
"""`tuitrain new` has evaluations cut there: who says less knows that episodes do not end."""
_CUT_AT_ONCE = 0.1
"""Of all episodes, by truncation, where others last longer."""
_OVER_AT_ONCE, _OVER_SOON, _FEW = 0.1, 0.05, 20
"""Of all episodes, with their first step; of these so many with the second or third; and episodes
that may be so by chance."""
_LENGTHS_DIFFER = 2
"""Time limits count steps or pictures, and idle first steps: lengths may differ a little."""
_LIMIT = "plausible"


@check(
    "episode_ends",
    "episode ends",
    "10.2",
    why="Episodes end, and what ends them is said as it is: a wrong flag makes a value of what is "
    "none, or none of what is one.",
    explains=("reward_signal", "q_bound", "learning"),
)
def episode_ends(snapshot: Snapshot, limits: ChecksConfig) -> Row:
    """There are ends, and not all of them truncations at any length, nor many at once.

    There are tasks of one step too (contextual bandits): one is judged by what it pays.

    Of several agents nothing is said: they come and leave as the game has it.
    """
    if agents(snapshot) != 1:
        return not_measured(_LIMIT)
    (policy,) = snapshot.policies
    episodes = policy.episodes or 0
    if not episodes:
        return _endless(snapshot, policy, limits)
    if episodes < limits.min_episodes or policy.length_max is None or policy.truncated is None:
        return not_measured(_LIMIT, f"{episodes:,} episodes")
    if policy.length_max <= 1:
        return _of_one_step(policy, episodes)
    return _cuts(policy, episodes) or _at_once(policy, episodes) or _fine(policy, episodes)


def _endless(snapshot: Snapshot, policy: PolicyView, limits: ChecksConfig) -> Row:
    """No episode has ended in training: too early to say, meant, or a fault."""
    each, cut = policy.steps_each or 0, policy.evals_all_cut or 0
    half = max(_SOME_STEPS, (policy.steps_each_planned or math.inf) / 2)
    words, verdict = f"in {each:,.0f} steps of an environment", policy.learning.verdict
    if verdict in LEARNS:
        return not_measured(_LIMIT, "none", f"none {words}, and it learns: a task without an end?")
    fault = (
        ": does it say terminated? (It is no fault of a task without an end, or with one that is "
        "further away: then let eval.max_episode_steps cut evaluations)"
    )
    longest = max((p.counters.get("eval_rows", 0.0) for p in snapshot.processes), default=0.0)
    if longest > _EVALUATED_STEPS and not _some_over(snapshot):
        advice = (
            f"an evaluation has made {longest:,.0f} steps in each of its environments and none of "
            f"its episodes has ended, nor has any in training{fault}"
        )
        return Row("none in an evaluation", _LIMIT, "warn", advice)
    meant = (policy.eval_steps_max or math.inf) < _CUT_ON_PURPOSE
    if each > limits.endless_steps or (each > half and not meant):
        return Row("none", _LIMIT, "warn", f"no episode has ended {words}{fault}")
    if each > _SOME_STEPS and cut >= _EVALS_CUT:
        advice = (
            f"no episode ends by itself: none {words}, and all of the last {cut} evaluations were "
            "cut by eval.max_episode_steps"
        )
        if meant and verdict in ("n/a", "TOO EARLY"):
            return not_measured(_LIMIT, "none", f"{advice}: a task without an end?")
        return Row("none", _LIMIT, "warn", advice + fault)
    return not_measured(_LIMIT)


def _some_over(snapshot: Snapshot) -> bool:
    return any(process.counters.get("eval_over") for process in snapshot.processes)


def _of_one_step(policy: PolicyView, episodes: int) -> Row:
    """A bandit, unless it pays the same whatever is done."""
    value = "all after 1 step"
    if policy.reward_min is None or policy.reward_min != policy.reward_max:
        return not_measured(_LIMIT, value, "is this meant to be a task of one step?")
    advice = (
        f"all {episodes:,} episodes ended with their first step, and all were paid "
        f"{policy.reward_min:.4g}: does step() say terminated or truncated of every step?"
    )
    return Row(value, _LIMIT, "warn", advice)


def _cuts(policy: PolicyView, episodes: int) -> Row | None:
    """Truncations that no time limit makes: after any number of steps, or with the first."""
    shortest, longest = policy.truncated_length_min, policy.truncated_length_max
    truncated, terminated = policy.truncated or 0, episodes - (policy.truncated or 0)
    if shortest is None or longest is None:
        return None
    odd = longest > _LENGTHS_DIFFER * shortest
    meant = "it is no fault if what cuts them is not of the task, as leaving an area may be"
    if not terminated:
        advice = (
            f"all {episodes:,} episodes were truncated, after {shortest:,} to {longest:,} steps, "
            "which no time limit does: return terminated = True for ends that belong to the task "
            f"({meant})"
        )
        return Row("all truncated", _LIMIT, "warn" if odd else "ok", advice if odd else "")
    # a single one may have taken longest by chance, but before it came all were truncated
    if odd and truncated >= _FEW and terminated == policy.longest_terminated:
        others = "the others were all" if terminated > 1 else "the other one was"
        advice = (
            f"{truncated:,} of {episodes:,} episodes were truncated, after {shortest:,} to "
            f"{longest:,} steps, and {others} terminated after exactly "
            f"{policy.length_max:,}, as a time limit does: are terminated and truncated swapped? "
            f"({meant.capitalize()}.)"
        )
        return Row("swapped", _LIMIT, "warn", advice)
    if (at_once := policy.cut_at_once or 0) > _CUT_AT_ONCE * episodes:
        advice = (
            f"{at_once:,} of {episodes:,} episodes were truncated with their first "
            "step, which no time limit does: does reset() begin to count anew? "
            f"({meant.capitalize()}.)"
        )
        return Row(f"{at_once / episodes:.0%} cut at once", _LIMIT, "warn", advice)
    return None


def _at_once(policy: PolicyView, episodes: int) -> Row | None:
    """Many are over with the first step, and hardly any soon after it."""
    at_once, soon = policy.at_once or 0, policy.over_soon
    if soon is None or at_once < max(_FEW, _OVER_AT_ONCE * episodes):
        return None
    if soon > _OVER_SOON * at_once or (policy.length_max or 0) <= 3:
        return None
    advice = (
        f"{at_once:,} of {episodes:,} episodes ended with their first step, and only {soon:,} with "
        "the second or third: is an end kept across reset()? (It is no fault of a task whose first "
        "action decides.)"
    )
    return Row(f"{at_once / episodes:.0%} over at once", _LIMIT, "warn", advice)


def _fine(policy: PolicyView, episodes: int) -> Row:
    return Row(f"{(policy.truncated or 0) / episodes:.0%} truncated", _LIMIT, "ok")
