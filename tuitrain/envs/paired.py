"""Whether two settings of an environment are the same game, found out by playing both.

Each is built twice and played from the same seeds, with the same random actions, under the same
global random state. Where the two of one setting do the same, to the last bit, whatever the other
setting does otherwise is its doing. Where they do not, nothing can be said. Knows nothing of
replay, networks or processes.
"""

from __future__ import annotations

import time
from collections.abc import Callable
from dataclasses import dataclass

import numpy as np

from tuitrain.config.schema import EnvConfig
from tuitrain.envs.grouping import PolicyMap
from tuitrain.envs.make import make_lanes
from tuitrain.envs.plays import Play, Told, different
from tuitrain.envs.spec import EnvSpec

MAX_STEPS, PLAY_S = 500, 0.3
"""So many steps are compared, or as many as the first of four plays makes in so many seconds."""

_REWARD = "reward"
"""How the name of what was paid ends."""


@dataclass(frozen=True)
class Paired:
    """How two settings of an environment compare.

    Attributes:
        steps: that were compared.
        step: the first that tells something else, counted from 1; None: none does.
        what: that is something else, and what it is in either setting.
        paid: nothing but rewards is something else.
        signs: nor are rewards of another sign anywhere: they are clipped, or of another size.
    """

    steps: int
    step: int | None = None
    what: str = ""
    paid: bool = False
    signs: bool = False


def paired(
    one: EnvConfig,
    other: EnvConfig,
    policy_map: PolicyMap = "each",
    told: EnvSpec | None = None,
    clock: Callable[[], float] = time.perf_counter,
) -> Paired | None:
    """Compare two settings of an environment; takes about a second.

    Args:
        policy_map, told: as of ``make.make_lanes``.
        clock: seconds.

    Returns:
        None if nothing can be said: what is told does not follow from seeds and actions alone.

    Raises:
        whatever the environment raises; ``EnvError`` if it cannot be built.
    """
    first = _played(one, policy_map, told, MAX_STEPS, clock() + PLAY_S, clock)
    # the settings in turns: what depends on how many were built before is no setting's doing
    others = [
        _played(env, policy_map, told, len(first), None, clock) for env in (other, one, other)
    ]
    ours, theirs = (first, others[1]), (others[0], others[2])
    if _differ(*ours)[0] is not None or _differ(*theirs)[0] is not None:
        return None
    for paid in (False, True):
        step, what = _differ(first, others[0], rewards=paid)
        if step is not None:
            signs = paid and _signs(first) == _signs(others[0])
            return Paired(len(first), step, what, paid, signs)
    return Paired(len(first))


def _played(
    env: EnvConfig,
    policy_map: PolicyMap,
    told: EnvSpec | None,
    most: int,
    until: float | None,
    clock: Callable[[], float],
) -> list[Told]:
    """What the steps of one play have told: `most` of them, or until a time has come."""
    play = Play(lambda: make_lanes(env, 1, policy_map, told=told), 0)
    steps: list[Told] = []
    try:
        play.start(1)
        with play.random:
            while len(steps) < most and (until is None or not steps or clock() < until):
                steps.append(play.step())
    finally:
        play.close()
    return steps


def _differ(one: list[Told], other: list[Told], *, rewards: bool = True) -> tuple[int | None, str]:
    """The first step that tells something else, and what; None if none does.

    Args:
        rewards: whether they count.
    """
    for number, steps in enumerate(zip(one, other, strict=True), 1):
        ours, theirs = steps
        if not rewards:
            ours = [part for part in ours if not part[0].endswith(_REWARD)]
            theirs = [part for part in theirs if not part[0].endswith(_REWARD)]
        if what := different(ours, theirs):
            return number, what
    return None, ""


def _signs(steps: list[Told]) -> list[list[float]]:
    """Those of all rewards."""
    paid = [array for told in steps for name, array in told if name.endswith(_REWARD)]
    return [np.sign(array).tolist() for array in paid]
