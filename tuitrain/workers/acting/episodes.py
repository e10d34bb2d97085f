"""Where every lane is in its episode: ages and boundaries of rows, returns of what has ended.

Works on any number of vector steps at once, because sixteen cost little more than one. Plain
arrays, no shard: [k, n] below is k consecutive rows of n lanes.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import asdict
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray

from tuitrain.metrics.counters import EpisodeStats
from tuitrain.replay.layout import ABSENT, BOUNDARY


class After(NamedTuple):
    """What follows from k outcomes.

    Attributes:
        age: int64 [k, n], steps since the episode began, of the rows after each of the k.
        flags: uint8 [k, n], BOUNDARY and ABSENT of the rows after each of the k.
        idle: bool [k, n], which of the k rows are no transitions: boundary rows and absences.
        transitions: how many of the k·n are some.
    """

    age: NDArray[np.int64]
    flags: NDArray[np.uint8]
    idle: NDArray[np.bool_]
    transitions: int


class Episodes:
    """The episodes of n lanes under NEXT_STEP autoreset (see ``envs/lanes/vector.py``).

    An episode's length is its environment steps, its return their undiscounted rewards. An agent's
    episode begins when it comes and ends when it leaves, whatever the others do.
    """

    def __init__(self, lanes: int) -> None:
        self.stats = EpisodeStats()
        self._lanes = np.arange(lanes)
        self._age = np.zeros(lanes, np.int64)
        self._idle = np.zeros(lanes, np.bool_)
        self._return = np.zeros(lanes, np.float64)

    def begin(self, absent: NDArray[np.bool_] | None) -> None:
        """Say who is absent in the first row, bool [n]; None is nobody."""
        if absent is not None:
            self._idle = absent.copy()

    def state(self) -> dict[str, Any]:
        """Where every lane is, and what has not been reported yet, as plain values and arrays."""
        return {
            "age": self._age.copy(),
            "idle": self._idle.copy(),
            "return": self._return.copy(),
            "stats": asdict(self.stats),
        }

    def restore(self, state: Mapping[str, Any]) -> None:
        """Go on where ``state`` was taken. ``stats`` stays the same object.

        What a state of an older version does not have counts from here on.
        """
        self._age, self._idle, self._return = (state[k].copy() for k in ("age", "idle", "return"))
        for name, value in state["stats"].items():
            setattr(self.stats, name, value)

    def next_age(self) -> NDArray[np.int64]:
        """int64 [n], age of the row after the next outcome, which does not depend on it."""
        return np.where(self._idle, 0, self._age + 1)

    def follow(
        self,
        reward: NDArray[np.float32],
        terminated: NDArray[np.bool_],
        truncated: NDArray[np.bool_],
        absent: NDArray[np.bool_] | None = None,
        *,
        by_chance: bool = False,
    ) -> After:
        """Take in the outcomes of the next k rows, [k, n] each, k at least 1.

        Args:
            absent: who is absent in the row after each; None is nobody.
            by_chance: whether what ends in them was played by chance.
        """
        rows = len(reward)
        number = np.arange(1, rows + 1)[:, None]  # of the row after each
        over = terminated | truncated
        flags = over * np.uint8(BOUNDARY)
        rests = over
        if absent is not None:
            flags |= absent * np.uint8(ABSENT)
            rests = over | absent
        idle = np.empty_like(over)
        idle[0] = self._idle
        idle[1:] = rests[:-1]
        # After a row that is no transition an episode begins. Number of the row in which the
        # episode of each row after began: not positive where that was before these rows.
        began = np.maximum.accumulate(np.where(idle, number, -self._age), axis=0)
        age = number - began
        # Row k: the rewards of the k rows before it. What an episode has brought since it began is
        # a difference; row 0 stands for all beginnings before these rows.
        total = np.empty((rows + 1, len(self._lanes)))
        np.negative(self._return, out=total[0])
        np.add.accumulate(reward, axis=0, out=total[1:])
        began = np.maximum(began, 0)
        if over.any():
            k, lanes = np.nonzero(over)
            returns = total[k + 1, lanes] - total[began[k, lanes], lanes]
            cut = ~terminated[k, lanes]
            self.stats.add(
                returns.tolist(), age[k, lanes].tolist(), cut.tolist(), by_chance=by_chance
            )
        self._return = total[-1] - total[began[-1], self._lanes]
        self._age, self._idle = age[-1], rests[-1]
        return After(age, flags, idle, idle.size - int(np.count_nonzero(idle)))
