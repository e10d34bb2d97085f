"""Some of the numbers of an observation, for whoever measures and cannot look at all of them."""

from __future__ import annotations

from math import gcd, prod
from typing import Any

import numpy as np
from numpy.typing import NDArray


def entries(size: int, most: int) -> slice:
    """At most `most` of `size` numbers in a row, evenly spaced.

    The step has no common divisor with `size`, or those of an image would all lie in a few of its
    columns.
    """
    step = max(1, -(-size // most))
    while gcd(step, size) > 1:
        step += 1
    return slice(None, None, step)


def pooled(observations: NDArray[Any], most: int) -> NDArray[np.float32]:
    """All numbers of each, as at most `most` sums of neighbours: [n, *shape] -> [n, k].

    A few at the end may be left out. Equal numbers have equal sums, wherever they lie.
    """
    size = prod(observations.shape[1:])
    flat, together = observations.reshape(len(observations), size), -(-size // most)
    if together == 1:
        return flat.astype(np.float32)
    parts = size // together
    cut = flat[:, : parts * together]
    sums: NDArray[np.float32]
    if cut.dtype.itemsize == 1:  # exact in any order, so in the fastest
        ones = np.ones(together, np.float32)
        sums = cut.astype(np.float32).reshape(-1, together) @ ones
    else:
        sums = cut.reshape(-1, together).sum(1, dtype=np.float32)
    return sums.reshape(len(flat), parts)


def some(observations: NDArray[Any], most: int) -> NDArray[Any]:
    """``entries`` of each: [n, *shape] -> a view [n, k], k at most `most`."""
    size = prod(observations.shape[1:])
    return observations.reshape(len(observations), size)[:, entries(size, most)]
