"""Whether an environment's state can be saved, found out by doing it.

Two pairs of copies are played. The second pair takes over the state of the first, in its plain
form, and from there on both must do the same, to the last bit. What is kept where nobody looks (in
a closure, a module, a C library) shows as a difference, and so does what the copies of an actor
share, such as one random stream: each is given its own. Knows nothing of replay, networks or
processes.
"""

from __future__ import annotations

import copy
import time
from collections.abc import Callable, Iterator, Mapping
from typing import Any

import numpy as np
from numpy.typing import NDArray

from tuitrain.config.schema import EnvConfig
from tuitrain.envs.grouping import PolicyMap
from tuitrain.envs.lanes.cycles import CycleLanes, empty_cycle
from tuitrain.envs.lanes.turns import AnyLanes, TurnLanes, empty_row
from tuitrain.envs.make import make_lanes
from tuitrain.envs.saving.leaves import plain_copy
from tuitrain.envs.saving.state import SavesState
from tuitrain.envs.spaces import EnvError
from tuitrain.envs.spec import EnvSpec
from tuitrain.seeding import GlobalRandom

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

Told = list[tuple[str, NDArray[Any]]]
"""What one step has told, by name: of which policy and what."""


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


def different(ours: Told, theirs: Told) -> str:
    """The first thing that is not the same in two steps; "" if everything is."""
    for (name, one), (other_name, other) in zip(ours, theirs, strict=False):
        if name != other_name or one.shape != other.shape:
            return f"{name} and {other_name}"
        if one.tobytes() != other.tobytes():
            a, b = np.atleast_1d(one).reshape(-1), np.atleast_1d(other).reshape(-1)
            at = next(n for n in range(len(a)) if a[n].tobytes() != b[n].tobytes())
            return f"{name} {a[at]} and {b[at]}"
    return "" if len(ours) == len(theirs) else f"{len(ours)} and {len(theirs)} moves"


class Play:
    """Random legal actions on lanes of any kind, under a global random state of their own.

    Attributes:
        lanes: what is played.
        random: its global random state; who takes many steps stays inside.
        ended: whether the last step was the end of anybody's episode.
    """

    def __init__(self, make: Callable[[], AnyLanes], seed: int) -> None:
        self.random = GlobalRandom(np.random.SeedSequence(seed))
        self._rng = np.random.default_rng(seed)
        with self.random:
            self.lanes: Any = make()
        self.ended = False
        self._policies = self.lanes.spec.policies
        self._rows: dict[str, Any] = {}
        self._told: Told = []

    def start(self, seed: int) -> None:
        """Begin an episode everywhere."""
        envs = self.lanes.n_envs
        with self.random:
            first = self.lanes.reset(list(range(seed, seed + envs)))
        if isinstance(self.lanes, TurnLanes):
            self._rows = {name: empty_row(policy, envs) for name, policy in self._policies.items()}
        elif isinstance(self.lanes, CycleLanes):
            self._rows = {name: empty_cycle(part, envs) for name, part in self._policies.items()}
        else:
            self._rows = copy.deepcopy(dict(first))

    def follow(self, other: Play) -> None:
        """Go on from where another play is: its lanes' state in plain form, its global state."""
        with other.random:
            state = plain_copy(other.lanes.state())
        self.random = copy.copy(other.random)
        with self.random:
            self.lanes.restore(state)
        self._rng, self._rows = copy.deepcopy((other._rng, other._rows))

    def step(self) -> Told:
        """One step, turn or cycle: everything that it has told."""
        self._told = []
        lanes, rows = self.lanes, self._rows
        with self.random:
            if isinstance(lanes, TurnLanes):
                lanes.turn(self._in_turn, rows)
            elif isinstance(lanes, CycleLanes):
                lanes.cycle(self._ahead, rows)
            else:
                everybody = slice(None)
                lanes.step({name: self._choose(name, everybody) for name in rows}, rows)
        for name, row in rows.items():
            self._told += [(f"{name}: {what}", array) for what, array in _copied(row)]
        self.ended = any((row.terminated | row.truncated).any() for row in rows.values())
        return self._told

    def metrics(self) -> Mapping[str, Any]:
        """What the environment has told of itself since the last call."""
        metrics = getattr(self.lanes, "metrics", None)
        return {} if metrics is None else metrics.take() | {"refused": metrics.refused}

    def close(self) -> None:
        """Close the environment."""
        with self.random:
            self.lanes.close()

    def _in_turn(self, policy: str, place: int) -> NDArray[np.int64]:
        return self._choose(policy, slice(place, None, len(self._policies[policy].agents)))

    def _ahead(self, policy: str, lanes: NDArray[np.int64]) -> NDArray[np.int64]:
        return self._choose(policy, lanes)

    def _choose(self, policy: str, lanes: Any) -> NDArray[np.int64]:
        """Note what these lanes see; random actions among those that are legal."""
        row = self._rows[policy]
        seen = row.observation[lanes]
        self._told.append((f"{policy}: observation", seen.copy()))
        draws = self._rng.random((len(seen), self._policies[policy].n_actions))
        if row.legal is not None:
            self._told.append((f"{policy}: legal", row.legal[lanes].copy()))
            draws *= row.legal[lanes]
        actions: NDArray[np.int64] = draws.argmax(1)
        return actions


def _copied(row: Any) -> Iterator[tuple[str, NDArray[Any]]]:
    for what, array in zip(row._fields, row, strict=True):
        if array is not None:
            yield what, array.copy()
