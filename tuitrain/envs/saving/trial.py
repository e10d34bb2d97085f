"""Whether an environment's state can be saved, found out by doing it.

Two pairs of copies are played. The second pair takes over the state of the first, in its plain
form, and from there on both must do the same, to the last bit. What is kept where nobody looks (in
a closure, a module, a C library) shows as a difference, and so does what the copies of an actor
share, such as one random stream: each is given its own. Knows nothing of replay, networks or
processes.
"""

from __future__ import annotations

import time
from collections.abc import Callable

from tuitrain.config.schema import EnvConfig
from tuitrain.envs.grouping import PolicyMap
from tuitrain.envs.lanes.turns import AnyLanes
from tuitrain.envs.make import make_lanes
from tuitrain.envs.plays import Play, Told, different
from tuitrain.envs.saving.leaves import plain_copy
from tuitrain.envs.saving.state import SavesState
from tuitrain.envs.spaces import EnvError
from tuitrain.envs.spec import EnvSpec

COPIES = 2
"""Of an environment in each pair: as few as can share something."""

MAX_BUILD_S = 2.0
"""An environment that takes longer to build is not built four times more at every start."""

ENDS, MAX_WARM_UP_STEPS, WARM_UP_S = 2, 2_000, 0.2
"""One pair is played until so many episodes have ended, or for so long, before its state is saved.
"""

STEPS = 200, 50, 50, 50, 50
"""How many steps are compared, and then again from the state that they have led to."""

MIN_COMPARISONS, MIN_STEPS = 2, 4
COMPARE_S = 0.4
"""For all comparisons together; these many are made however slow the environment is."""


def why_not(
    env_config: EnvConfig,
    policy_map: PolicyMap = "each",
    told: EnvSpec | None = None,
    clock: Callable[[], float] = time.perf_counter,
) -> str:
    """Why the state of an environment cannot be saved, in words; "" if it can.

    Takes about half a second, and less where episodes are short; a call of a slow environment may
    make it more. Whatever the environment raises is a reason.

    Args:
        policy_map, told: as of ``make.make_lanes``.
        clock: seconds.
    """
    plays: list[Play] = []
    try:
        return _tried(plays, env_config, policy_map, told, clock)
    except EnvError as error:
        return str(error)
    except Exception as error:
        return f"trying it failed: {type(error).__name__}: {error}"
    finally:
        for play in plays:
            play.close()


def _tried(
    plays: list[Play],
    env_config: EnvConfig,
    policy_map: PolicyMap,
    told: EnvSpec | None,
    clock: Callable[[], float],
) -> str:
    def make() -> AnyLanes:
        return make_lanes(env_config, COPIES, policy_map, told=told)

    began = clock()
    plays.append(Play(make, 0))
    if (took_s := (clock() - began) / COPIES) > MAX_BUILD_S:
        return f"building it takes {took_s:.1f} s, too long to try it out at every start"
    if not isinstance(plays[0].lanes, SavesState):
        return "its lanes have no methods state() and restore(state)"
    plays[0].start(1)
    plain_copy(plays[0].lanes.state())  # what cannot be saved at all is not played first
    plays.append(Play(make, 2))
    first, second = plays
    ends = steps = 0
    until = clock() + WARM_UP_S
    with first.random:
        while ends < ENDS and steps < MAX_WARM_UP_STEPS and clock() < until:
            first.step()
            ends += first.ended
            steps += 1
    # the warm-up mostly leaves an episode's end; the others are wherever that leads to
    until = clock() + COMPARE_S
    for number, most in enumerate(STEPS):
        if number >= MIN_COMPARISONS and clock() >= until:
            break
        share = (until - clock()) / 4  # for one of the two pairs, and what comes after
        if difference := _compared(first, second, most, share, clock):
            return difference
    return ""


def _compared(
    first: Play, second: Play, most: int, limit_s: float, clock: Callable[[], float]
) -> str:
    """Let `second` go on from the state of `first`; how it goes on otherwise, or ""."""
    second.start(3)  # else it would know from the last time what it is to be told
    second.follow(first)
    steps: list[Told] = []
    until = clock() + limit_s
    with first.random:
        while len(steps) < MIN_STEPS or (len(steps) < most and clock() < until):
            steps.append(first.step())
    # not in turns: what both share unseen is to have moved on when the second one comes
    with second.random:
        for number, told in enumerate(steps, 1):
            if difference := different(told, second.step()):
                return f"after restoring it behaved differently (step {number}: {difference})"
    ours, theirs = first.metrics(), second.metrics()
    return "" if ours == theirs else "after restoring it told other metrics"
