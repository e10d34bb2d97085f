"""How a run has gone by its evaluations, in words; or nothing where that is not certain. Pure."""

from __future__ import annotations

from tuitrain.diagnosis.contrast import above_chance
from tuitrain.protocol import PolicyView

LEARNED = "it has learned"
"""Begins what is said of a run that is well as far as is known, and gets no better."""

FEW_UPDATES = 1_000
"""Of who does not learn: hardly any task is learned in fewer, and most take ten times as many."""

_LOST_SHARE = 0.5
"""Of what was gained over chance: who swings by more forgets what it has learned."""


def has_learned(policy: PolicyView) -> str:
    """That greedy play is clearly better than play by chance, and since when no better still."""
    if not above_chance(policy):
        return ""
    view, first = policy.learning, policy.first_return_mean or 0.0
    last = f" over the last {view.window} evaluations" if view.window else ""
    said = f"{LEARNED}: {first:.4g} by chance, {view.newest or 0.0:.4g} now"
    return f"{said}; it no longer gets better{last}"


def unsteady(policy: PolicyView) -> tuple[str, str]:
    """That evaluations of who has learned go far up and down, and what to do then."""
    view, first = policy.learning, policy.first_return_mean
    if not view.unlike or view.lowest is None or view.highest is None or first is None:
        return "", ""
    gained = max(view.highest, view.best or view.highest) - first
    high = view.highest > first + (policy.first_return_ci95 or 0.0)
    if not high or view.highest - view.lowest <= _LOST_SHARE * gained:
        return "", ""
    said = (
        f"it is unstable: the last {view.window} evaluations returned {view.lowest:.4g} to "
        f"{view.highest:.4g}, and chance brings {first:.4g}"
    )
    return said, _steady(policy)


def fallen(policy: PolicyView) -> tuple[str, str]:
    """That a policy has fallen from its best, and what to do then; for FALLING and BELOW BEST."""
    view = policy.learning
    said = f"it has fallen from its best: evaluations are {view.verdict}"
    if view.newest is not None and view.best is not None:
        said += f", {view.newest:.4g} on average in the last 4, {view.best:.4g} in the best one"
    return said, _steady(policy)


def few_updates(policy: PolicyView) -> tuple[str, str]:
    """How few updates a policy has had that does not learn, and what makes them more."""
    if not 0 < policy.updates < FEW_UPDATES:
        return "", ""
    made = f"{policy.updates:,} update{'s' * (policy.updates != 1)}"
    ratio = f" ({policy.ratio_target:g} updates per transition)" if policy.ratio_target else ""
    return f"its network has had only {made}", (
        f"Hardly anything is learned in fewer than {FEW_UPDATES:,}: raise learner.replay_ratio"
        f"{ratio} or run.total_steps"
    )


def _steady(policy: PolicyView) -> str:
    lr = f" ({policy.lr_start:g})" if policy.lr_start else ""
    return (
        f"Lower learner.lr{lr}, or let it fall (learner.lr_schedule). The best weights are kept: "
        "`tuitrain eval RUN --checkpoint best`."
    )
