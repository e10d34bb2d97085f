"""What episodes begin with, in training and in evaluation, and whether that can be the same.

Kept as sums of some numbers of the first observations, so that they can lie in shared memory and be
put together. The test asks how likely so small a part of all first observations, taken out of them
at random, has a mean that far from that of all (Serfling 1974, Hoeffding's inequality for samples
without replacement): of each number, and of its squared distance from the mean. It assumes nothing
of how observations are distributed but that each episode's is drawn for itself; so a number that
is nearly always the same, and now was another once, is no proof, and one that is always another is.
Pure.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray

from tuitrain.replay.entries import some

ENTRIES = 32
"""Numbers of an observation that are looked at."""
LEAST = 5
"""Episodes of either kind without which nothing is said."""
NOISE = 1e-5
"""Numbers that differ by less, in shares of their size, are the same."""

_COUNT, _MEAN, _SQUARES, _LEAST, _MOST = range(5)
SHAPE = 5, ENTRIES
"""Of a table: per number of an observation how many there were, their mean, the sum of squared
distances from it, the smallest and the largest. All zeros of none."""

Table = NDArray[np.float64]

NOTHING = np.zeros(SHAPE)


def table_of(observations: NDArray[Any]) -> Table:
    """The table of n observations [n, *shape]: at most ``ENTRIES`` numbers of each."""
    seen = some(observations, ENTRIES).astype(np.float64)
    table = np.zeros(SHAPE)
    if len(seen):
        at = slice(seen.shape[1])
        table[_COUNT, at] = len(seen)
        table[_MEAN, at] = mean = seen.mean(0)
        table[_SQUARES, at] = ((seen - mean) ** 2).sum(0)
        table[_LEAST, at], table[_MOST, at] = seen.min(0), seen.max(0)
    return table


def together(tables: Sequence[Table]) -> Table:
    """The table of all that these are of."""
    total = NOTHING.copy()
    for given in tables:
        table = given.copy()  # another process may write there
        if not table[_COUNT].any():
            continue
        if not total[_COUNT].any():
            total = table
            continue
        count = total[_COUNT] + table[_COUNT]
        there = np.maximum(count, 1)
        apart = table[_MEAN] - total[_MEAN]
        total[_SQUARES] += table[_SQUARES] + apart**2 * total[_COUNT] * table[_COUNT] / there
        total[_MEAN] += apart * table[_COUNT] / there
        total[_LEAST] = np.minimum(total[_LEAST], table[_LEAST])
        total[_MOST] = np.maximum(total[_MOST], table[_MOST])
        total[_COUNT] = count
    return total


def differ(table: Table) -> bool:
    """Whether not all of these observations were the same."""
    return bool((table[_LEAST] < table[_MOST]).any())


def difference_p(one: Table, other: Table) -> float | None:
    """Bound of the chance that tables of the same kind of observations are so different.

    Corrected for how many numbers were compared. None if either has less than ``LEAST``
    observations.
    """
    few, many = sorted((one, other), key=lambda table: float(table[_COUNT].max()))
    count = float(few[_COUNT].max())
    if count < LEAST:
        return None
    pool = together([few, many])
    size = np.maximum(np.abs(pool[_LEAST]), np.abs(pool[_MOST]))
    varies = pool[_MOST] - pool[_LEAST] > NOISE * size
    if not varies.any():
        return 1.0
    few, pool = few[:, varies], pool[:, varies]
    share = count / (1.0 - (count - 1.0) / pool[_COUNT])
    mean = pool[_MEAN]
    squared = few[_SQUARES] / count + (few[_MEAN] - mean) ** 2
    widest = np.maximum(pool[_MOST] - mean, mean - pool[_LEAST]) ** 2
    strays = np.concatenate(
        [
            (few[_MEAN] - mean) / (pool[_MOST] - pool[_LEAST]),
            (squared - pool[_SQUARES] / pool[_COUNT]) / widest,
        ]
    )
    exponent = 2.0 * np.concatenate([share, share]) * strays**2
    return min(1.0, 2.0 * len(exponent) * math.exp(-float(exponent.max())))
