"""Frame stacks for those who act without writing replay: the evaluator and a loaded policy.

A small private replay of one shard, stacked with the function that actor and learner use, so that
a greedy evaluation sees exactly what training saw.
"""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import NDArray

from tuitrain.envs.spec import PolicySpec
from tuitrain.replay.layout import MAX_AGE, ReplayLayout
from tuitrain.replay.window import Ring, gather_stack


class FrameHistory:
    """The last frames of `n_envs` environments under one policy, in private memory."""

    def __init__(self, spec: PolicySpec, n_frames: int, n_envs: int) -> None:
        layout = ReplayLayout(
            policy="history",
            spec=spec,
            n_frames=n_frames,
            n_step=1,
            n_actors=1,
            envs_per_actor=n_envs,
            chunk_steps=1,
            capacity=1,
            learning_starts=0,
            max_lead_inserts=0,
            n_readers=1,
        )
        self._columns = layout.columns(memoryview(bytearray(layout.nbytes)))
        self._ring = Ring(layout.ring_rows, layout.lanes, 1)
        self._n_frames = n_frames
        self._row = -1
        self._age = np.zeros(layout.lanes, np.int64)
        self._lanes = np.arange(layout.lanes)
        self._stacked = np.empty((layout.lanes, n_frames, *spec.observation_shape), spec.dtype)

    def push(self, observation: NDArray[Any], first: NDArray[np.bool_] | bool) -> NDArray[Any]:
        """Add one observation per lane and return the stacks [lanes, n_frames, *shape].

        Args:
            observation: [lanes, *shape] in the spec's dtype.
            first: lanes (bool[lanes], or all) in which it begins an episode.

        Returns:
            An array that the next call overwrites.
        """
        self.begin(first)[:] = observation
        return self.stack()

    def begin(self, first: NDArray[np.bool_] | bool) -> NDArray[Any]:
        """Where the next observations are to be written: [lanes, *shape].

        Args:
            first: as in ``push``.
        """
        self._row += 1
        slot = self._row % self._ring.rows
        self._age = np.where(first, 0, np.minimum(self._age + 1, MAX_AGE))
        self._columns.age[0, slot] = self._age
        where: NDArray[Any] = self._columns.observation[0, slot]
        return where

    def stack(self, lanes: slice | NDArray[np.int64] = slice(None)) -> NDArray[Any]:
        """The stacks of these lanes, whose observations have been written.

        Returns:
            An array that the next call overwrites.
        """
        ids = self._lanes[lanes]
        return gather_stack(
            self._columns,
            self._ring,
            0,
            np.full(len(ids), self._row),
            ids,
            self._n_frames,
            self._stacked[: len(ids)],
        )
