"""Which memory a transition is made of: flat indices, frame stacks, n-step returns, validity.

Pure functions on arrays. The actor stacks what it acts on and the learner what it learns from
with the same functions on the same memory, so the two cannot disagree. They know no locks: the
caller owns the rows (the writer) or has pinned them (a reader). Rows are absolute numbers that
only grow; the slot of a row is ``row mod T``.

B below is a number of samples; ``shard``, ``rows`` and ``lanes`` are int64 [B] unless said
otherwise.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np
import numpy.typing as npt

from tuitrain.replay.layout import ABSENT, BOUNDARY, CUT, Columns

Int = npt.NDArray[np.int64]


@dataclass(frozen=True)
class Ring:
    """Extent of the columns: T ``rows`` per shard, ``lanes`` per row, number of ``shards``."""

    rows: int
    lanes: int
    shards: int


@dataclass
class NStep:
    """Outcome of ``n_step``, one entry per sample; undefined where not ``valid``.

    Attributes:
        valid: bool [B], whether the transition may be learned from.
        returns: float32 [B], rewards summed with their discounts.
        discount: float32 [B], factor of the bootstrap value; 0 if the episode terminated.
        next_rows: int64 [B], row whose observation is bootstrapped from.
    """

    valid: npt.NDArray[np.bool_]
    returns: npt.NDArray[np.float32]
    discount: npt.NDArray[np.float32]
    next_rows: Int


def cells(ring: Ring, shard: Int | int, rows: Int, lanes: Int | int) -> Int:
    """Index into the ``flat_*`` columns of absolute ``rows``; the arguments broadcast."""
    index: Int = (shard * ring.rows + rows % ring.rows) * ring.lanes + lanes
    return index


def stack_rows(rows: Int, age: npt.NDArray[np.unsignedinteger[Any]], n_frames: int) -> Int:
    """Rows whose observations make the network input of each row: int64 [B, n_frames].

    Newest last. Frame k back of row i is row ``max(i - k, i - age_i)``: before an episode's
    start its first observation repeats, as gymnasium's ``FrameStackObservation`` does.
    """
    back = np.arange(n_frames - 1, -1, -1, dtype=np.int64)
    stacked: Int = rows[:, None] - np.minimum(back, age[:, None])
    return stacked


def gather_stack(
    columns: Columns,
    ring: Ring,
    shard: Int | int,
    rows: Int,
    lanes: Int,
    n_frames: int,
    out: npt.NDArray[Any],
) -> npt.NDArray[Any]:
    """Copy the stacked observations of ``rows`` into ``out`` [B, n_frames, *shape]; returns it.

    The age of each row must have been written. ``out`` must be C-contiguous and of the spec's
    dtype; nothing large is allocated (fresh pages cost several times the copy on images).
    """
    newest = cells(ring, shard, rows, lanes)
    if n_frames == 1:
        index = newest[:, None]
    else:
        age = columns.flat_age.take(newest)
        stacked = stack_rows(rows, age, n_frames)
        of = shard[:, None] if isinstance(shard, np.ndarray) else shard
        index = cells(ring, of, stacked, lanes[:, None])
    # Every index is in range by construction; with mode="raise" numpy buffers all of `out`.
    return columns.flat_observation.take(index, axis=0, out=out, mode="clip")


def n_step(
    columns: Columns,
    ring: Ring,
    shard: Int,
    rows: Int,
    lanes: Int,
    n: int,
    gamma: float,
    low: Int,
    head: Int,
    *,
    n_frames: int,
) -> NStep:
    """n-step return, its bootstrap discount and whether the transition may be used.

    From row i the rewards are summed until ``terminated``, ``truncated`` or n steps: m ≤ n
    steps. The bootstrap row is i + m and its discount γ^m, or 0 if the episode terminated: a
    truncated episode is bootstrapped from its boundary row (Pardo et al. 2018). Return and
    discount come from here together so that they cannot belong to different m.

    Row i is valid iff it is neither BOUNDARY nor ABSENT, all of i … i+m are committed
    (< ``head``), none of i+1 … i+m is CUT, and the frames of its stack are ≥ ``low``. (The frames
    of row i+m are then in the window too.)

    Args:
        low: int64 [B], first readable row of the sample's shard.
        head: int64 [B], first row of the sample's shard that is not committed.
        n_frames: length of the stack the history of which must be readable.

    Returns:
        Sums accumulated in float64 in order of k with weights ``gamma**k``, then rounded once to
        float32, so equal inputs give equal bits.
    """
    first = cells(ring, shard, rows, lanes)
    history = np.minimum(columns.flat_age.take(first), n_frames - 1)
    valid = columns.flat_flags.take(first) & (BOUNDARY | ABSENT) == 0
    valid &= rows - history >= low
    valid &= rows < head

    returns = np.zeros(rows.shape, np.float64)
    steps = np.full(rows.shape, n, np.int64)
    terminated = np.zeros(rows.shape, np.bool_)
    going = valid.copy()
    cell = first
    for k in range(n):
        if k:
            row = rows + k
            cell = cells(ring, shard, row, lanes)
            usable = row < head
            usable &= columns.flat_flags.take(cell) & CUT == 0
            valid &= usable | ~going
            going &= usable
        # Rows at or past the head may hold anything: mask before calculating with them.
        reward = np.where(going, columns.flat_reward.take(cell), np.float32(0)).astype(np.float64)
        returns += reward if k == 0 else gamma**k * reward
        ends_here = columns.flat_terminated.take(cell)
        ends_here &= going
        terminated |= ends_here
        ends_here |= columns.flat_truncated.take(cell) & going
        if n > 1:
            steps[ends_here] = k + 1
            going &= ~ends_here
    next_rows = rows + steps
    valid &= next_rows < head
    valid &= columns.flat_flags.take(cells(ring, shard, next_rows, lanes)) & CUT == 0

    powers = np.array([gamma**m for m in range(n + 1)], np.float64)
    discount = powers.take(steps)
    discount[terminated] = 0.0
    return NStep(valid, returns.astype(np.float32), discount.astype(np.float32), next_rows)


def pieces(low: int, high: int, rows: int) -> list[tuple[int, int]]:
    """Slots of rows [low, high) as at most two contiguous ranges, in row order."""
    if low >= high:
        return []
    start, count = low % rows, high - low
    first = min(count, rows - start)
    pieces = [(start, start + first)]
    if count > first:
        pieces.append((0, count - first))
    return pieces
