"""The lanes of one policy whose actions are chosen a row ahead: see ``envs/lanes/cycles.py``.

A cycle tells what a row has brought and chooses the actions of the next one. So when a chunk ends,
its pending row has actions already; they are kept for the next chunk, with the version of the
weights that chose them. Who has had no turn waits, and its row moves on: what it saw and did is
copied into the next row, whose version it takes, and the row it leaves stays as one to bootstrap
from, as a final observation does.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import numpy as np
from numpy.typing import NDArray

from tuitrain.envs.lanes.cycles import CycleStep
from tuitrain.replay.layout import BOUNDARY, CUT
from tuitrain.workers.acting.policy_lanes import PolicyLanes


class AheadLanes(PolicyLanes):
    """``PolicyLanes`` for games that are played in cycles."""

    def __init__(self, *args: Any, **kwargs: Any) -> None:
        super().__init__(*args, **kwargs)
        # The first row is everybody's absence: nothing has been chosen for it.
        self._pending = np.zeros(len(self._lane_ids), np.int64), 0

    def begin(self, rows: int, stamp: int) -> None:
        """See ``PolicyLanes.begin``."""
        super().begin(rows, stamp)
        self._action[0], self._version[0] = self._pending

    def state(self) -> dict[str, Any]:
        """See ``PolicyLanes.state``."""
        action, version = self._pending
        return super().state() | {"pending": [action.copy(), version]}

    def restore(self, state: Mapping[str, Any]) -> None:
        """See ``PolicyLanes.restore``."""
        super().restore(state)
        action, version = state["pending"]
        self._pending = action, version

    def cycle(self, row: int) -> CycleStep:
        """Where the cycle of `row` is to be written: its outcome, the next row."""
        k = row - self._first
        self._action[k + 1] = 0  # of who is absent
        self._version[k + 1] = self.policy.version
        self._pending = self._action[k + 1], self.policy.version
        if self._n_frames > 1:
            self.settle(row)
            # whatever this row will bring, it does not change how long the episode has lasted
            self.writer.put_marks(row + 1, self._episodes.next_age(), 0)
        return CycleStep(
            self._observations[k + 1],
            *self._outcomes[k],
            self._legal[k + 1],
            self._absent[k],
            self._waits[k],
        )

    def choose_ahead(self, row: int, epsilon: float, lanes: NDArray[np.int64]) -> NDArray[np.int64]:
        """What the agents of these lanes do in the row after `row`; it is noted there."""
        action = self._act(row + 1, epsilon, lanes)
        self._action[row + 1 - self._first, lanes] = action
        return action

    def move_on(self, row: int) -> None:
        """The cycle of `row` is over: the rows of those who wait move on."""
        k = row - self._first
        waits = self._waits[k]
        if not waits.any():
            return
        seen, legal = self._observations, self._legal
        seen[k + 1][waits] = seen[k][waits]
        self._action[k + 1, waits] = self._action[k, waits]
        if (now := legal[k]) is not None and (after := legal[k + 1]) is not None:
            after[waits] = now[waits]

    def history(self, row: int, lane: int) -> int:
        """See ``PolicyLanes.history``: no transition begins in a row that has moved on."""
        return -1 if self._waits[row - self._first, lane] else super().history(row, lane)

    def settle(self, head: int) -> None:
        """See ``PolicyLanes.settle``."""
        first = self._settled
        at = slice(first - self._first, head - self._first)
        super().settle(head)
        waits = self._waits[at]
        if waits.any():
            # No transition begins in a row that has moved on; the one before it leads there, but
            # longer returns must not: they would discount the wait.
            self.writer.add_flags(first, waits * np.uint8(BOUNDARY))
            self.writer.add_flags(first + 1, waits * np.uint8(CUT))
            self.inserts -= int(np.count_nonzero(waits))

    def _reserve(self, rows: int) -> None:
        super()._reserve(rows)
        lanes = len(self._lane_ids)
        self._action = np.empty((rows + 1, lanes), np.int64)
        self._version = np.empty(rows + 1, np.int64)
        self._waits = np.zeros((rows, lanes), np.bool_)
