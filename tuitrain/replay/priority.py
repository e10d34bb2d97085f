"""Which transitions to draw more often: proportional prioritized replay (Schaul et al. 2016).

A transition is drawn with probability p^alpha / sum of p^alpha, p being its last |TD error|; one
that has just become sampleable gets the greatest priority seen. The bias is corrected by weights
(N P)^-beta, scaled so that the greatest of a batch is 1. Priorities belong to the learner alone:
one owner, no lock. Knows cells and rows, not what is in them.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np
import numpy.typing as npt

from tuitrain.replay.index import Moved
from tuitrain.replay.window import Int

Float = npt.NDArray[np.float64]

_FAN_OUT = 64
"""Children of a node. With 64 a million leaves need four levels, and a whole level of a draw is a
few numpy calls; with 2 it would be twenty levels of calls on nearly nothing."""


@dataclass(frozen=True)
class PriorityRule:
    """How priorities are made of TD errors.

    Attributes:
        alpha: exponent of the priority; 0 draws uniformly.
        beta_start: exponent of the correction before the first update; it grows linearly to 1.
        epsilon: added to |TD error|, so that nothing is never drawn again.
    """

    alpha: float
    beta_start: float
    epsilon: float

    def beta(self, updates: float, total_updates: int) -> float:
        """Exponent of the correction after so many updates."""
        done = min(1.0, updates / max(1, total_updates))
        return self.beta_start + (1.0 - self.beta_start) * done


class SumTree:
    """Leaves with values ≥ 0 that are drawn in proportion to them; vectorised.

    A node keeps the running sums of its children, so finding a leaf is one comparison per level,
    and nothing is ever added up incrementally: sums are made from the values themselves and can't
    drift. Equal values give equal bits, in whatever order they came. They are made when they are
    asked for: between two draws of a learner lie the priorities of many updates.

    Args:
        size: number of leaves.
    """

    def __init__(self, size: int) -> None:
        self._values: list[Float] = []  # per level, leaves first: [nodes, fan-out]
        self._sums: list[Float] = []  # running sums of the same, with a leading 0
        count = size
        while True:
            nodes = -(-count // _FAN_OUT)
            self._values.append(np.zeros((nodes, _FAN_OUT)))
            self._sums.append(np.zeros((nodes, _FAN_OUT + 1)))
            if nodes == 1:
                break
            count = nodes
        self._leaves = self._values[0].reshape(-1)
        self._changed = np.zeros(len(self._values[0]), np.bool_)
        """Nodes right above leaves that have changed since sums were made."""

    @property
    def total(self) -> float:
        """Sum of all values."""
        self._add_up()
        return float(self._sums[-1][0, -1])

    @property
    def leaves(self) -> Float:
        """All values, where they lie."""
        return self._leaves

    def get(self, leaves: Int) -> Float:
        """Values of leaves."""
        return self._leaves.take(leaves)

    def set(self, leaves: Int, values: Float | float) -> None:
        """Give leaves other values; of equal leaves the last counts."""
        self._leaves[leaves] = values
        self._changed[leaves // _FAN_OUT] = True

    def clear(self, start: int, stop: int) -> None:
        """Set leaves [start, stop) to 0."""
        if stop > start:
            self._leaves[start:stop] = 0.0
            self._changed[start // _FAN_OUT : (stop - 1) // _FAN_OUT + 1] = True

    def find(self, mass: Float) -> Int:
        """The leaf in which each ``mass`` in [0, total) of the running sum of all leaves lies.

        Never a leaf whose value is 0. ``mass`` [B] is used up. int64 [B].
        """
        self._add_up()
        top = self._sums[-1][0]
        np.minimum(mass, np.nextafter(top[-1], 0.0), out=mass)
        node: Int = top[1:].searchsorted(mass, side="right")
        mass -= top.take(node)
        for sums in self._sums[-2::-1]:
            here = sums.take(node, axis=0)
            # What is left of the mass may be rounded up to the node's sum, where no child is.
            np.minimum(mass, np.nextafter(here[:, -1], 0.0), out=mass)
            child = (here[:, 1:] > mass[:, None]).argmax(1)
            mass -= here[np.arange(len(child)), child]
            node = node * _FAN_OUT + child
        return node

    def _add_up(self) -> None:
        """Make the sums above leaves that have changed."""
        nodes = np.flatnonzero(self._changed)
        if not len(nodes):
            return
        self._changed[:] = False
        for level, (values, sums) in enumerate(zip(self._values, self._sums, strict=True)):
            if 2 * len(nodes) > len(values):  # nearly all: cheaper without an index
                nodes = np.arange(len(values))
                np.cumsum(values, axis=1, out=sums[:, 1:])
            else:
                sums[nodes, 1:] = values[nodes].cumsum(1)
            if level + 1 < len(self._values):
                self._values[level + 1].reshape(-1)[nodes] = sums[nodes, -1]
                nodes = np.unique(nodes // _FAN_OUT)


class Priorities:
    """The priorities of one reader's sampleable transitions.

    Args:
        rule: how TD errors become priorities.
        row: int64 [cells], the absolute row that lies in each cell (the index's own array).

    Attributes:
        stale: priorities that came too late, for rows that are overwritten or left out.
        greatest: p^alpha that new transitions get.
    """

    def __init__(self, rule: PriorityRule, row: Int) -> None:
        self.rule = rule
        self.stale = 0
        self.greatest = 1.0
        self._row = row
        self._tree = SumTree(len(row))

    def move(self, moved: Moved) -> None:
        """Follow the index: what left is not drawn again, what entered will be soon."""
        for start, stop in moved.left:
            self._tree.clear(start, stop)
        self._tree.set(moved.entered, self.greatest)

    def state(self) -> dict[str, Any]:
        """The priorities of all that can be drawn: which rows, in which cells, what."""
        leaves = self._tree.leaves
        drawable = np.flatnonzero(leaves)
        return {
            "greatest": self.greatest,
            "cells": drawable,
            "rows": self._row.take(drawable),
            "values": leaves.take(drawable),
        }

    def restore(self, state: Mapping[str, Any]) -> None:
        """Give the transitions that are here as they were then the priorities they had then."""
        self.greatest = state["greatest"]
        cells, values = state["cells"], state["values"]
        here = (self._row.take(cells) == state["rows"]) & (self._tree.get(cells) > 0.0)
        self._tree.set(cells[here], values[here])

    def of_shards(self, shards: int) -> tuple[Float, Float]:
        """Per shard the sum of all priorities, and the greatest: float64 [shards] each."""
        by_shard = self._tree.leaves[: len(self._row)].reshape(shards, -1)
        return by_shard.sum(1), by_shard.max(1)

    def draw(self, batch_size: int, batches: int, rng: np.random.Generator) -> Int:
        """Cells of ``batches`` batches, one after the other: int64 [batches * batch_size].

        Stratified as in the paper: one draw from each of ``batch_size`` equal parts of the sum.
        """
        mass = rng.random((batches, batch_size))
        mass += np.arange(batch_size)
        mass *= self._tree.total / batch_size
        return self._tree.find(mass.reshape(-1))

    def weights(
        self, drawn: Int, sampleable: int, beta: float, batch_size: int
    ) -> npt.NDArray[np.float32]:
        """Importance weights of drawn cells, the greatest of each batch 1. float32 [B]."""
        probability = self._tree.get(drawn).reshape(-1, batch_size)
        probability *= sampleable / self._tree.total
        weights = probability**-beta
        weights /= weights.max(1, keepdims=True)
        return weights.astype(np.float32).reshape(-1)

    def write(self, drawn: Int, rows: Int, td_error: npt.NDArray[Any]) -> None:
        """New priorities of transitions that have been learned from.

        What is not in the replay any more, or is another row by now, is dropped and counted.

        Args:
            drawn: int64 [B], cells.
            rows: int64 [B], absolute rows that lay there when they were drawn.
            td_error: float [B], of any sign. Infinite or undefined ones give the greatest priority.
        """
        rule = self.rule
        priority = (np.abs(td_error.astype(np.float64)) + rule.epsilon) ** rule.alpha
        np.copyto(priority, self.greatest, where=~np.isfinite(priority))
        fresh = (self._row.take(drawn) == rows) & (self._tree.get(drawn) > 0.0)
        if not fresh.all():
            self.stale += len(fresh) - int(np.count_nonzero(fresh))
            drawn, priority = drawn[fresh], priority[fresh]
        if len(drawn):
            self.greatest = max(self.greatest, float(priority.max()))
            self._tree.set(drawn, priority)
