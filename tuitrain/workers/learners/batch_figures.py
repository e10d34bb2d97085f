"""What drawn transitions look like: whether there is a reward to learn from, and anything to see.

Arithmetic on the arrays of a draw. Returns are looked at with the draw that one update in 40 is
made from; observations once per record, a bounded part of the newest draw.
"""

from __future__ import annotations

from math import prod
from typing import Any

import numpy as np
from numpy.typing import NDArray

LOOK_EVERY_UPDATES = 40

LARGE = 10.0
"""Of an observation's numbers: whether those below it are as large in half of the rows is not
asked, which takes time."""

LOOKED_ROWS = 64
LOOKED_NUMBERS = 1 << 20
"""Observations: so many rows of a draw, and no more numbers than this where they are large."""


class BatchFigures:
    """Of the draws since the last report."""

    def __init__(self) -> None:
        self._returns = ReturnFigures()
        self._states: NDArray[Any] | None = None

    def look(
        self, states: NDArray[Any], returns: NDArray[np.float32], updates: int, drawn: int
    ) -> None:
        """Take in a draw.

        Args:
            states: [B, n_frames, *observation_shape], in memory that only the next draw overwrites.
            returns, updates, drawn: see ``ReturnFigures.look``.
        """
        self._returns.look(returns, updates, drawn)
        self._states = states

    def take(self) -> dict[str, float]:
        """Fields of a `learner` record, and start anew; observations are the newest draw's."""
        if self._states is None:
            return {}
        return self._returns.take() | observation_figures(self._states)


class ReturnFigures:
    """The n-step returns of the draws since the last report."""

    def __init__(self) -> None:
        self._rows = 0
        self._nonzero = 0
        self._abs_max = 0.0

    def look(self, returns: NDArray[np.float32], updates: int, drawn: int) -> None:
        """Take in a draw if one of its updates is due to be looked at.

        Args:
            returns: float32 [B].
            updates: made so far.
            drawn: updates that this draw is for.
        """
        if -updates % LOOK_EVERY_UPDATES >= drawn:
            return
        self._rows += len(returns)
        self._nonzero += int(np.count_nonzero(returns))
        self._abs_max = max(self._abs_max, float(returns.max()), -float(returns.min()))

    def take(self) -> dict[str, float]:
        """Fields of a `learner` record, and start anew; empty if nothing has been drawn."""
        if not self._rows:
            return {}
        told = {
            "returns_abs_max": self._abs_max,
            "returns_nonzero_share": self._nonzero / self._rows,
        }
        self._rows, self._nonzero, self._abs_max = 0, 0, 0.0
        return told


def observation_figures(states: NDArray[Any]) -> dict[str, float]:
    """Whether observations differ, and how large they are: fields of a `learner` record.

    Args:
        states: [B, n_frames, *observation_shape] as drawn. Of many rows some are looked at, evenly
            spaced.

    Returns:
        `observation_spread`, the share of the numbers of a state that are not the same in all rows
        looked at, `observation_abs_max`, and `observation_size`, the largest |number| of those of
        a state that are as large in half of the rows; that is 0 for bytes, which networks divide.
        Empty for less than two rows.
    """
    size = prod(states.shape[1:])
    rows = max(2, min(LOOKED_ROWS, LOOKED_NUMBERS // max(size, 1)))
    seen = states[:: -(-len(states) // rows)]
    if len(seen) < 2 or not size:
        return {}
    low, high = seen.min(0), seen.max(0)
    most = max(abs(float(low.min())), abs(float(high.max())))
    usual = 0.0
    if seen.dtype != np.uint8:
        size_of = np.abs(seen.reshape(len(seen), -1)) if most > LARGE else None
        usual = most if size_of is None else float(np.median(size_of, 0).max())
    return {
        "observation_spread": float(np.count_nonzero(low != high)) / size,
        "observation_abs_max": most,
        "observation_size": usual,
    }
