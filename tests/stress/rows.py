"""Rows that are a function of where they are, so that whoever reads one can tell if it is whole.

Every byte of a row follows from its shard, number and lane: a copy that stopped half-way, a row
that was overwritten and a column that belongs to another row all differ from what must be there.
It is a checksum that also knows which row it is.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np

from tests.unit.replay.helpers import layout
from tuitrain.envs.spec import PolicySpec
from tuitrain.replay.buffer import Batch, ReplayReader
from tuitrain.replay.layout import BOUNDARY, Columns
from tuitrain.replay.shard import ShardWriter, Wait

GAMMA = 0.9
SIDE = 16
SHAPE = layout(
    spec=PolicySpec((SIDE, SIDE), "uint8", 5, ("agent",)),
    n_frames=4,
    n_step=3,
    n_actors=2,
    envs_per_actor=4,
    chunk_steps=4,
    capacity=300,
    learning_starts=0,
    max_lead_inserts=0,
    n_readers=2,
)
_NOISE = np.random.default_rng(0).integers(0, 256, (1009, SIDE * SIDE), np.uint8)

Array = np.ndarray[Any, Any]


def content(shard: Array, row: Array, lane: Array) -> dict[str, Array]:
    """Columns of the given rows, which are int64 [B] like all three arguments.

    Episodes of a lane all have the same length, and are followed by a boundary row.
    """
    period = 4 + 3 * lane + 2 * shard
    step = row % period
    boundary = step == period - 1
    last = step == period - 2
    even = row // period % 2 == 0
    observation = _NOISE[(row * 31 + lane * 7 + shard) % len(_NOISE)]
    tags = np.stack([shard, lane, row], axis=1).astype(np.int64)
    observation[:, :24] = tags.view(np.uint8).reshape(-1, 24)
    return {
        "observation": observation.reshape(-1, SIDE, SIDE),
        "action": (row * 7 + lane * 3 + shard) % 5,
        "reward": np.where(boundary, 0, (row * 37 + lane) % 1001 / 8).astype(np.float32),
        "terminated": last & even,
        "truncated": last & ~even,
        "age": step,
        "flags": np.where(boundary, BOUNDARY, 0).astype(np.uint8),
        "version": row * 3 + shard,
        "stamp": row,
    }


class Feed:
    """Writes those rows through a shard's writer."""

    def __init__(self, writer: ShardWriter) -> None:
        self.writer = writer
        self._row = writer.head
        self._lanes = np.arange(SHAPE.lanes)
        self._shards = np.full(SHAPE.lanes, writer.shard)
        self._put_observation(begin=True)

    def write_chunk(self, wait: Wait | None = None) -> None:
        """Write and commit as many rows as a chunk may have."""
        writer = self.writer
        writer.begin(SHAPE.chunk_steps, wait)
        for _ in range(SHAPE.chunk_steps):
            if self._first:
                writer.put_observation(self._row, *self._first)
                self._first = ()
            row = self._now
            writer.put_outcome(
                self._row,
                row["action"],
                row["reward"],
                row["terminated"],
                row["truncated"],
                int(row["version"][0]),
                int(row["stamp"][0]),
            )
            self._row += 1
            self._put_observation()
        writer.commit(self._row)

    def _put_observation(self, *, begin: bool = False) -> None:
        self._now = content(self._shards, np.full(SHAPE.lanes, self._row), self._lanes)
        row = self._now["observation"], self._now["age"], self._now["flags"]
        self._first = row if begin else ()
        if not begin:
            self.writer.put_observation(self._row, *row)


def torn(columns: Columns, shard: int, low: int, head: int) -> list[str]:
    """Which rows of [low, head) are not what was written as these rows."""
    if low >= head:
        return []
    rows, lanes = np.repeat(np.arange(low, head), SHAPE.lanes), np.arange(SHAPE.lanes)
    lanes = np.tile(lanes, head - low)
    want = content(np.full(len(rows), shard), rows, lanes)
    slots = rows % SHAPE.ring_rows
    bad = np.zeros(len(rows), bool)
    for name, column in columns.data():
        at = column[shard]
        got = at[slots] if name in ("version", "stamp") else at[slots, lanes]
        bad |= (got != want[name]).reshape(len(rows), -1).any(1)
    return [f"row {row} is torn" for row in sorted(set(rows[bad].tolist()))]


def crossed(batch: Batch, reader: ReplayReader, head: Sequence[int]) -> list[str]:
    """What is wrong with a batch: every frame, return and bootstrap, to the last bit."""
    origin = reader.origin(batch)
    shard, lane, row = origin.shard, origin.lane, batch.rows
    first = content(shard, row, lane)
    steps = np.zeros(len(row), np.int64)
    returns, discount = np.zeros(len(row)), np.full(len(row), GAMMA**SHAPE.n_step)
    going = np.ones(len(row), bool)
    for k in range(SHAPE.n_step):
        at = content(shard, row + k, lane)
        returns += np.where(going, GAMMA**k * at["reward"].astype(np.float64), 0)
        steps += going
        over = going & (at["terminated"] | at["truncated"])
        discount[over] = np.where(at["terminated"][over], 0.0, GAMMA ** (k + 1))
        going &= ~over
    wrong = {
        "a row at or past the head": row + SHAPE.n_step >= np.asarray(head)[shard],
        "a boundary row": first["flags"] != 0,
        "action": batch.action != first["action"],
        "version": origin.version != first["version"],
        "stamp": origin.stamp != first["stamp"],
        "return": batch.returns != returns.astype(np.float32),
        "discount": batch.discount != discount.astype(np.float32),
        "state": _stack_differs(batch.state, shard, row, lane),
        "next state": _stack_differs(batch.next_state, shard, row + steps, lane),
    }
    return [name for name, of in wrong.items() if of.any()]


def _stack_differs(stack: Array, shard: Array, row: Array, lane: Array) -> Array:
    differs = np.zeros(len(row), bool)
    age = content(shard, row, lane)["age"]
    for back in range(SHAPE.n_frames):
        want = content(shard, row - np.minimum(back, age), lane)["observation"]
        differs |= (stack[:, SHAPE.n_frames - 1 - back] != want).any((1, 2))
    return differs
