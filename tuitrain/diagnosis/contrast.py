"""Evaluations against what else is known of returns: by chance, in training, each other. Pure.

Each answers in words, or with nothing where intervals meet or something was not measured.
"""

from __future__ import annotations

from tuitrain.diagnosis.verdict import MIN_EVALUATIONS
from tuitrain.protocol import PolicyView

LOOK = (
    "look at what the network is given (observations of a size of about 1?), at its last layer "
    "(linear, not bounded?), at layers without gradients, at algorithm.v_min and v_max, at "
    "learner.lr, and at whether evaluations play what training does"
)
"""Where greedy play is worse than play by chance."""


def worse_than_chance(policy: PolicyView) -> str:
    """How greedy play is clearly worse than the first episodes, which were played by chance."""
    first = _interval(policy.first_return_mean, policy.first_return_ci95)
    now = _newest(policy)
    if first is None or now is None or now[1] >= first[0]:
        return ""
    return (
        f"evaluations are worse than random play: {_newest_told(policy)}, the first episodes, by "
        f"chance, {_told(policy.first_return_mean, policy.first_return_ci95)}"
    )


def above_chance(policy: PolicyView) -> str:
    """How greedy play is clearly better than the first episodes were."""
    first = _interval(policy.first_return_mean, policy.first_return_ci95)
    now = _newest(policy)
    if first is None or now is None or now[0] <= first[1]:
        return ""
    return (
        f"evaluations are better than random play ({_newest_told(policy)}, by chance "
        f"{_told(policy.first_return_mean, policy.first_return_ci95)})"
    )


def below_training(policy: PolicyView) -> str:
    """How greedy play is clearly worse than training was meanwhile, though that explores."""
    recent = _interval(policy.recent_return_mean, policy.recent_return_ci95)
    now = _newest(policy)
    if recent is None or now is None or now[1] >= recent[0]:
        return ""
    return (
        f"evaluations return less than training did meanwhile, though that explores: "
        f"{_newest_told(policy)}, training "
        f"{_told(policy.recent_return_mean, policy.recent_return_ci95)}"
    )


def above_training(policy: PolicyView) -> bool:
    """Whether greedy play is clearly better than training was meanwhile, as it should be."""
    recent = _interval(policy.recent_return_mean, policy.recent_return_ci95)
    now = _newest(policy)
    return recent is not None and now is not None and now[0] > recent[1]


def all_alike(policy: PolicyView) -> tuple[str, str]:
    """That all episodes of many evaluations have returned the same, and what to ask then."""
    view = policy.learning
    if view.alike < max(MIN_EVALUATIONS, min(view.n_evals, 2 * MIN_EVALUATIONS)):
        return "", ""
    mean = view.mean or 0.0
    said = f"each of the last {view.alike} evaluations returned exactly {mean:.4g}"
    first = _interval(policy.first_return_mean, policy.first_return_ci95)
    if first is not None and mean > first[1]:
        ask = (
            "Is that the most that can be had (then it is solved), or does a limit end every "
            "episode?"
        )
    else:
        ask = (
            "Is that the least that can be had (then nothing is found yet: explore for longer, or "
            "give a reward on the way), the most (then it is solved), or does a limit end every "
            "episode?"
        )
    if policy.length_max == 1:
        ask += " Every episode ends with its first step: is that meant?"
    return said, ask


def _newest(policy: PolicyView) -> tuple[float, float] | None:
    return _interval(policy.learning.newest, policy.learning.newest_ci95)


def _interval(mean: float | None, half: float | None) -> tuple[float, float] | None:
    return None if mean is None or half is None else (mean - half, mean + half)


def _newest_told(policy: PolicyView) -> str:
    told = _told(policy.learning.newest, policy.learning.newest_ci95)
    return f"{told} in the last {MIN_EVALUATIONS}"


def _told(mean: float | None, half: float | None) -> str:
    return f"{mean or 0.0:.4g} ± {half or 0.0:.2g}"
