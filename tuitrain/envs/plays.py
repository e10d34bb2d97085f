"""Playing lanes of any kind at random, so that all that they tell can be compared.

Knows nothing of replay, networks or processes.
"""

from __future__ import annotations

import copy
from collections.abc import Callable, Iterator, Mapping
from typing import Any

import numpy as np
from numpy.typing import NDArray

from tuitrain.envs.lanes.cycles import CycleLanes, empty_cycle
from tuitrain.envs.lanes.turns import AnyLanes, TurnLanes, empty_row
from tuitrain.envs.saving.leaves import plain_copy
from tuitrain.seeding import GlobalRandom

Told = list[tuple[str, NDArray[Any]]]
"""What one step has told, by name: of which policy and what."""


def different(ours: Told, theirs: Told) -> str:
    """The first thing that is not the same in two steps; "" if everything is."""
    for (name, one), (other_name, other) in zip(ours, theirs, strict=False):
        if name != other_name:
            return f"{name} and {other_name}"
        if one.shape != other.shape:
            return f"{name} of shape {one.shape} and {other.shape}"
        if one.tobytes() != other.tobytes():
            a, b = np.atleast_1d(one).reshape(-1), np.atleast_1d(other).reshape(-1)
            at = next(n for n in range(len(a)) if a[n].tobytes() != b[n].tobytes())
            return f"{name} {_two(a[at], b[at])}"
    return "" if len(ours) == len(theirs) else f"{len(ours)} and {len(theirs)} moves"


def _two(one: Any, other: Any) -> str:
    """Both numbers, as short as they can be told apart."""
    if isinstance(one, np.floating) and f"{one:.6g}" != f"{other:.6g}":
        return f"{one:.6g} and {other:.6g}"
    return f"{one} and {other}"


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
        # whose it is is told where there are several
        self._of = {name: f"{name}: " if len(self._policies) > 1 else "" for name in self._policies}
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
            self._told += [(f"{self._of[name]}{what}", array) for what, array in _copied(row)]
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
        self._told.append((f"{self._of[policy]}observation", seen.copy()))
        draws = self._rng.random((len(seen), self._policies[policy].n_actions))
        if row.legal is not None:
            self._told.append((f"{self._of[policy]}legal", row.legal[lanes].copy()))
            draws *= row.legal[lanes]
        actions: NDArray[np.int64] = draws.argmax(1)
        return actions


def _copied(row: Any) -> Iterator[tuple[str, NDArray[Any]]]:
    for what, array in zip(row._fields, row, strict=True):
        if array is not None:
            yield what, array.copy()
