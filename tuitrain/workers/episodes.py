"""Where every lane is in its episode: ages and boundaries of rows, returns of what has ended.

Works on any number of vector steps at once, because sixteen cost little more than one. Plain
arrays, no shard: [k, n] below is k consecutive rows of n lanes.
"""

from __future__ import annotations

from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from tuitrain.metrics.counters import EpisodeStats


class After(NamedTuple):
    """What follows from k outcomes.

    Attributes:
        age: int64 [k, n], steps since the episode began, of the rows after each of the k.
        over: bool [k, n], whether the rows after each of the k are boundary rows.
        transitions: how many of the k·n are no boundary rows themselves.
    """

    age: NDArray[np.int64]
    over: NDArray[np.bool_]
    transitions: int


class Episodes:
    """The episodes of n lanes under NEXT_STEP autoreset (see ``envs/vector.py``).

    An episode's length is its environment steps, its return their undiscounted rewards.
    """

    def __init__(self, lanes: int) -> None:
        self.stats = EpisodeStats()
        self._lanes = np.arange(lanes)
        self._age = np.zeros(lanes, np.int64)
        self._over = np.zeros(lanes, np.bool_)
        self._return = np.zeros(lanes, np.float64)

    def follow(
        self,
        reward: NDArray[np.float32],
        terminated: NDArray[np.bool_],
        truncated: NDArray[np.bool_],
    ) -> After:
        """Take in the outcomes of the next k rows, [k, n] each, k at least 1."""
        number = np.arange(1, len(reward) + 1)[:, None]  # of the row after each, from 1
        over = terminated | truncated
        boundary = np.empty_like(over)
        boundary[0] = self._over
        boundary[1:] = over[:-1]
        # After a boundary row an episode begins. Number of the row in which the episode of each
        # row after began: not positive where that was before these rows.
        began = np.maximum.accumulate(np.where(boundary, number, -self._age), axis=0)
        age = number - began
        total = np.cumsum(reward, axis=0, dtype=np.float64)
        if over.any():
            k, lanes = np.nonzero(over)
            returns = total[k, lanes] - self._before(began[k, lanes], total, lanes)
            for value, length in zip(returns.tolist(), age[k, lanes].tolist(), strict=True):
                self.stats.add(value, length)
        self._return = total[-1] - self._before(began[-1], total, self._lanes)
        self._age, self._over = age[-1], over[-1]
        return After(age, over, boundary.size - int(np.count_nonzero(boundary)))

    def _before(
        self, began: NDArray[np.int64], total: NDArray[np.float64], lanes: NDArray[np.int64]
    ) -> NDArray[np.float64]:
        """What `total` holds of rewards before episodes that began in row `began`.

        Negative where they began before these rows: their return so far is missing in it.
        """
        inside = total[np.maximum(began - 1, 0), lanes]  # row began - 1 is a boundary row: reward 0
        before: NDArray[np.float64] = np.where(began > 0, inside, -self._return[lanes])
        return before
