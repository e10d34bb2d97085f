"""Checks of the update: are its numbers such as learning makes them?"""

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
    too_few,
)
from tuitrain.diagnosis.contrast import LOOK, worse_than_chance
from tuitrain.diagnosis.course import few_updates
from tuitrain.diagnosis.headlines import LOST_UPDATES, OF_THE_NETWORK
from tuitrain.diagnosis.merging import FEW, FEW_FOR_BOUND
from tuitrain.protocol import PolicyView, Snapshot

if TYPE_CHECKING:
    from tuitrain.config.checks import ChecksConfig

_Q_ALWAYS = 10.0
"""A random network may say so much of anything, whatever the rewards are."""

_OBSERVATIONS = 1e3
"""Larger observations make large values of any weights."""

_HELD_EVALUATIONS = 4
"""What it warns of has been so after that many evaluations in a row."""

_LEVEL_VERDICTS = ("FLAT", "FLAT AT BEST")
"""It stays where it is; of many evaluations by chance some seem to be the best."""

_LOST_SHARE = 0.05
"""Of all updates made: fewer that died with a learner are soon made again."""

_NO_GAIN = 1e-9
"""Returns of all agents that add up to less are those of a game against oneself."""


@check(
    "target_updates",
    "target updates",
    "0.3, 4.1",
    why="The target network was updated as often as the config says, by a count of its own: more "
    "or less often, and Q chases itself or stands still.",
    explains=("q_bound", "non_finite", "learning"),
)
def target_updates(snapshot: Snapshot, limits: ChecksConfig) -> Row:
    """The target network was updated exactly as often as the config says."""
    rows = [
        (p.name, p.target_updates - p.target_updates_expected)
        for p in snapshot.policies
        if p.target_updates is not None and p.target_updates_expected is not None
    ]
    if not rows:
        return not_measured("0")
    name, off = max(rows, key=lambda row: abs(row[1]))
    advice = f"{name}: the target network has more than one owner"
    return judged(f"{off:+d}" if off else "0 off", "0", "fail" if off else None, advice)


@check(
    "non_finite",
    "non-finite",
    "7.1",
    why="No update had a loss, Q or gradient that is no number (NaN, infinity): weights do not "
    "recover from that.",
    explains=("learning",),
)
def non_finite(snapshot: Snapshot, limits: ChecksConfig) -> Row:
    """Loss, Q and gradients are numbers."""
    rows = [(p, p.non_finite) for p in snapshot.policies if p.non_finite is not None]
    if not rows:
        return not_measured("0")
    total = sum(count for _, count in rows)
    broken = [policy for policy, count in rows if count]
    bad = ", ".join(policy.name for policy in broken)
    if broken and all(p.network is not None and p.network.no_numbers for p in broken):
        told = (
            f"{bad}: it gave NaN or infinity to made-up observations, too, before any update: does "
            "forward take a log, a root or a quotient of what may be negative or 0? Keep what goes "
            "in above 0 (clamp, + eps)"
        )
        return Row(f"{total}, {OF_THE_NETWORK}", "0", "fail", told)
    advice = f"{bad}: lower lr, clip gradients, or scale rewards"
    return judged(str(total), "0", "fail" if total else None, advice)


@check(
    "grad_flow",
    "gradient flow",
    "X.2",
    why="Every tensor that can be trained gets a gradient: what gets none stays as random as it "
    "began.",
    explains=("learning",),
)
def grad_flow(snapshot: Snapshot, limits: ChecksConfig) -> Row:
    """No tensor's gradient has been exactly zero in several records on end."""
    limit = "0% without"
    found = largest(snapshot, lambda p: p.grad_zero_share)
    if found is None:
        return not_measured(limit, too_few(snapshot, FEW))
    policy, share = found
    return judged(
        f"{percent(share, 0.0)} without",
        limit,
        "warn" if share else None,
        f"{policy.name}: no gradient reaches {policy.grad_zero_in or 'some tensors'}: are they "
        "used in forward(), with no detach(), no_grad or .data after them, or are all units there "
        "dead (lower learner.lr)?",
    )


@check(
    "grad_norm",
    "gradient norm",
    "X.2",
    why="Gradients are about as long as errors and observations make them: others come from a "
    "loss that is not the one meant.",
    explains=("non_finite", "learning"),
)
def grad_norm(snapshot: Snapshot, limits: ChecksConfig) -> Row:
    """No gradient is far longer than its TD errors and observations explain."""

    def over(policy: PolicyView) -> float | None:
        longest = _longest(policy, limits)
        if policy.grad_norm is None or policy.td_abs_mean is None or not isfinite(longest):
            return None
        return policy.grad_norm / longest

    found = largest(snapshot, over)
    if found is None:
        return not_measured("-")
    policy, share = found
    norm = policy.grad_norm or 0.0
    return judged(
        f"{norm:.3g}",
        f"≤ {_longest(policy, limits):.3g}",
        "warn" if share > 1 else None,
        f"{policy.name}: gradients of norm {norm:.3g} at a mean TD error of "
        f"{policy.td_abs_mean or 0.0:.3g}: is the loss, or something in the network, multiplied?"
        f"{_scale(policy)}",
    )


@check(
    "q_bound",
    "max |Q|",
    "7.1",
    why="No value is far over what the largest reward seen could ever add up to: such values come "
    "from values, and grow without end.",
    explains=("grad_norm", "non_finite", "learning"),
)
def q_bound(snapshot: Snapshot, limits: ChecksConfig) -> Row:
    """|Q| is not many times the largest n-step return / (1 - discount)."""

    def times(policy: PolicyView) -> float | None:
        if policy.q_bound is None or policy.q_max_abs is None or not isfinite(policy.q_bound):
            return None
        return policy.q_max_abs / max(policy.q_bound, _Q_ALWAYS)

    found = largest(snapshot, times)
    if found is None:
        return not_measured("-", too_few(snapshot, FEW_FOR_BOUND))
    policy, over = found
    most = limits.q_bound_factor
    bound = max(policy.q_bound or 0.0, _Q_ALWAYS)
    return judged(
        f"{policy.q_max_abs or 0.0:.3g}",
        f"≤ {most * bound:.3g}",
        "fail" if over > 10 * most else "warn" if over > most else None,
        f"{policy.name}: values diverge, to {over:.3g} times what rewards allow{_scale(policy)}: "
        "lower learner.lr, update the target network less often, use learner.double",
    )


@check(
    "learning",
    "learning",
    "11.1, 11.2",
    why="Evaluations say whether it learns, by greedy episodes: loss and training returns do not.",
)
def learning(snapshot: Snapshot, limits: ChecksConfig) -> Row:
    """The verdict is none that calls for a change, and has held long enough to be one.

    Of agents that play against each other nothing is said: one's gain is another's loss.
    """
    most = limits.flat_share
    limit = f"no lasting fall, and better than chance after {percent(most, most)} of the run"
    said = [p for p in snapshot.policies if p.learning.verdict not in ("n/a", "TOO EARLY")]
    if not said or len(said) < len(snapshot.policies):
        return not_measured(limit)
    if _against_oneself(snapshot):
        return not_measured(limit, advice="what one agent gains another one loses")
    bad = [p for p in said if _is_bad(p)]
    if not bad:
        return Row(snapshot.learning.verdict, limit, "ok")
    if len(bad) < len(said):  # who competes falls when another rises, and who does is not known
        named = ", ".join(f"{p.name} {p.learning.verdict}" for p in bad)
        return not_measured(limit, named, "others do well: judge it by yourself")
    worst = next((p for p in bad if p.name == snapshot.learning.policy), bad[0])
    if worst.learning.verdict in _LEVEL_VERDICTS and _unpaid(worst):
        value, advice = worst.learning.verdict, "no reward has been met: see reward_signal"
        return not_measured(limit, value, f"{worst.name}: {advice}")
    advice = (
        "evaluations are under their best, whose weights are kept (`tuitrain eval RUN "
        "--checkpoint best`): lower learner.lr, or let it fall"
    )
    if lost := _lost(worst):
        advice = (
            "the weights of the best evaluation are kept (`tuitrain eval RUN --checkpoint best`)"
        )
    if worst.learning.verdict in _LEVEL_VERDICTS:
        advice = (
            f"evaluations, {worst.learning.level or 0.0:.4g} on average, are no better than the "
            f"first episodes, which brought {worst.first_return_mean or 0.0:.4g} by chance: look "
            "at exploration, rewards, n_frames and learner.lr"
        )
        if worst.length_max == 1:
            advice += "; and every episode ends with its first step: is that meant?"
        if worse := worse_than_chance(worst):
            advice = f"{worse}: {LOOK}"
        few, change = few_updates(worst)
        if few:
            advice = f"evaluations are no better than chance, and {few}. {change}"
        advice += _scale(worst)
    if worst.eval_kwargs:
        advice += f"; evaluations play with env.eval_kwargs = {worst.eval_kwargs}: the same task?"
    return Row(worst.learning.verdict, limit, "warn", f"{worst.name}: {lost}{advice}")


def _lost(policy: PolicyView) -> str:
    """What died with learners, if it was so much that evaluations tell of that; else empty."""
    lost = policy.lost_updates
    share = lost / (policy.updates + lost) if lost > 0 else 0.0
    if share <= _LOST_SHARE:
        return ""
    return (
        f"{lost:,} {LOST_UPDATES}, {percent(share, _LOST_SHARE)} of all it made, and its "
        "successor began from older weights: write checkpoints more often "
        "(run.checkpoint_every_s), and see in `tuitrain logs` of what it died; "
    )


def _is_bad(policy: PolicyView) -> bool:
    """Whether its verdict calls for a change, and has held long enough to be one."""
    view = policy.learning
    if view.verdict in ("FALLING", "BELOW BEST"):
        return view.under_best_evals >= _HELD_EVALUATIONS
    if view.verdict not in _LEVEL_VERDICTS or view.held_evals < _HELD_EVALUATIONS:
        return False
    return _no_better(policy)


def _no_better(policy: PolicyView) -> bool:
    """Whether its evaluations of half a run together are no better than what came by chance.

    The best of them says less: the largest of many is above chance for who has learned nothing.
    """
    level, first = policy.learning.level, policy.first_return_mean
    if level is None or first is None:
        return False
    return level - (policy.learning.level_error or 0.0) <= first


def _unpaid(policy: PolicyView) -> bool:
    """Whether neither training nor evaluations have met any reward: there is nothing to learn."""
    paid = (policy.reward_min, policy.reward_max, policy.eval_reward_min, policy.eval_reward_max)
    return policy.reward_max is not None and not any(paid)


def _against_oneself(snapshot: Snapshot) -> bool:
    """Whether what one agent gains another one loses: means of evaluations add up to 0.

    Agents that act together may be paid −1 to 1 too, or all earn nothing. Where evaluations play
    something else, as against chance, only the rewards are left to tell by.
    """
    policies = snapshot.policies
    if agents(snapshot) == 1:
        return False
    least = min((p.reward_min for p in policies if p.reward_min is not None), default=0.0)
    most = max((p.reward_max for p in policies if p.reward_max is not None), default=0.0)
    if any(p.eval_kwargs for p in policies) and least == -most < 0:
        return True
    means = [p.agents * (p.eval_return_mean or 0.0) for p in policies]
    return abs(sum(means)) < _NO_GAIN and (any(means) or least < 0 < most)


def _scale(policy: PolicyView) -> str:
    """What is said first of values that come from observations of a size no network is made for."""
    size = policy.observation_abs_max or 0.0
    if not size > _OBSERVATIONS:
        return ""
    return f"; observations are as large as {size:.3g}, so scale them to about 1 first"


def _longest(policy: PolicyView, limits: ChecksConfig) -> float:
    """The longest gradient that errors and observations explain."""
    size = max(1.0, policy.observation_abs_max or 0.0)
    return limits.grad_norm_per_td * (1 + (policy.td_abs_mean or 0.0)) * size
