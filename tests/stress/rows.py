"""Rows that are a function of where they are, so that whoever reads one can tell if it is whole.

Every byte of a row follows from its shard, number and lane, and from the row with which its writer
began: a copy that stopped half-way, a row that was overwritten, one that a dead writer left behind
and a column that belongs to another row all differ from what must be there. It is a checksum that
also knows which row it is.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np

from tests.unit.replay.helpers import layout
from tuitrain.envs.spec import PolicySpec
from tuitrain.replay.buffer import Batch, ReplayReader
from tuitrain.replay.layout import BOUNDARY, CUT, Columns
from tuitrain.replay.shard import ShardWriter, Wait

GAMMA = 0.9
SIDE = 16
ACTIONS = 5
SHAPE = layout(
    spec=PolicySpec((SIDE, SIDE), "uint8", ACTIONS, ("agent",), masked=True),
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
_TAG_BYTES = 4 * 8
_NOISE = np.random.default_rng(0).integers(0, 256, (1009, SIDE * SIDE), np.uint8)

Array = np.ndarray[Any, Any]


def content(shard: Array, row: Array, lane: Array, base: Array) -> dict[str, Array]:
    """Columns of the given rows; the arguments are int64 [B].

    Episodes of a lane all have the same length, and are followed by a boundary row.

    Args:
        base: first row of the writer that made this one.
    """
    since = row - base
    period = 4 + 3 * lane + 2 * shard
    step = since % period
    boundary = step == period - 1
    last = step == period - 2
    even = since // period % 2 == 0
    some = row * 31 + lane * 7 + shard + base * 11
    observation = _NOISE[some % len(_NOISE)]
    tags = np.stack([shard, lane, row, base], axis=1).astype(np.int64)
    observation[:, :_TAG_BYTES] = tags.view(np.uint8).reshape(-1, _TAG_BYTES)
    cut = (since == 0) & (base > 0)
    return {
        "observation": observation.reshape(-1, SIDE, SIDE),
        "action": some % 5,
        "reward": np.where(boundary, 0, some % 1001 / 8).astype(np.float32),
        "terminated": last & even,
        "truncated": last & ~even,
        "age": step,
        "flags": (BOUNDARY * boundary + CUT * cut).astype(np.uint8),
        "version": row * 3 + shard + base,
        "stamp": row,
        "legal": ((some % 31 + 1)[:, None] >> np.arange(ACTIONS)) % 2 == 1,
    }


def base_of(observation: Array) -> Array:
    """What observations [B, SIDE, SIDE] say of their writer's first row: int64 [B]."""
    tags = observation.reshape(-1, SIDE * SIDE)[:, :_TAG_BYTES]
    return np.ascontiguousarray(tags).view(np.int64)[:, 3]


class Feed:
    """Writes those rows through a shard's writer, by turns copied and in place."""

    def __init__(self, writer: ShardWriter) -> None:
        self.writer = writer
        self._row = self._base = writer.head
        self._chunks = 0

    def write_chunk(self, wait: Wait | None = None) -> None:
        """Write and commit as many rows as a chunk may have."""
        writer, first, rows = self.writer, self._row, SHAPE.chunk_steps
        writer.begin(rows, wait)
        lines = [self._content(row) for row in range(first, first + rows + 1)]
        if not self._chunks:
            self._put_observation(first, lines[0])
        if self._chunks % 2:
            for k, line in enumerate(lines[:-1]):
                writer.put_outcome(first + k, *(line[name] for name in OUTCOME), *of_row(line))
                self._put_observation(first + k + 1, lines[k + 1])
        else:
            for place, legal, line in zip(
                writer.observations(first, rows + 1)[1:],
                writer.legal(first, rows + 1)[1:],
                lines[1:],
                strict=True,
            ):
                assert legal is not None
                place[:], legal[:] = line["observation"], line["legal"]
            columns = [np.stack([line[name] for line in lines[:-1]]) for name in OUTCOME]
            versions, stamps = np.array([of_row(line) for line in lines[:-1]]).T
            writer.put_outcome(first, *columns, versions, stamps)
            ages, flags = (np.stack([line[n] for line in lines[1:]]) for n in ("age", "flags"))
            writer.put_marks(first + 1, ages, flags)
        self._row += rows
        self._chunks += 1
        writer.commit(self._row)

    def _content(self, row: int) -> dict[str, Array]:
        lanes = np.arange(SHAPE.lanes)
        shard, rows, base = (np.full_like(lanes, x) for x in (self.writer.shard, row, self._base))
        line = content(shard, rows, lanes, base)
        line["flags"] &= BOUNDARY  # the rest is the writer's to say
        return line

    def _put_observation(self, row: int, line: dict[str, Array]) -> None:
        self.writer.put_observation(row, line["observation"], line["age"], line["flags"])
        self.writer.put_legal(row, line["legal"])


OUTCOME = "action", "reward", "terminated", "truncated"


def of_row(line: dict[str, Array]) -> tuple[int, int]:
    """Version and stamp, which all lanes share."""
    return int(line["version"][0]), int(line["stamp"][0])


def torn(columns: Columns, shard: int, low: int, head: int) -> list[str]:
    """Which rows of [low, head) are not what was written as these rows."""
    if low >= head:
        return []
    rows, lanes = np.repeat(np.arange(low, head), SHAPE.lanes), np.arange(SHAPE.lanes)
    lanes = np.tile(lanes, head - low)
    slots = rows % SHAPE.ring_rows
    base = base_of(columns.observation[shard][slots, lanes])
    want = content(np.full(len(rows), shard), rows, lanes, base)
    bad = (base < 0) | (base > rows)
    for name, column in columns.data():
        at = column[shard]
        got = at[slots] if name in ("version", "stamp") else at[slots, lanes]
        bad |= (got != want[name]).reshape(len(rows), -1).any(1)
    return [f"row {row} is torn" for row in sorted(set(rows[bad].tolist()))]


def crossed(batch: Batch, reader: ReplayReader, head: Sequence[int]) -> list[str]:
    """What is wrong with a batch: every frame, return and bootstrap, to the last bit."""
    origin = reader.origin(batch)
    shard, lane, row = origin.shard, origin.lane, batch.rows
    base = base_of(batch.state[:, -1])
    first = content(shard, row, lane, base)
    steps = np.zeros(len(row), np.int64)
    returns, discount = np.zeros(len(row)), np.full(len(row), GAMMA**SHAPE.n_step)
    going = np.ones(len(row), bool)
    for k in range(SHAPE.n_step):
        at = content(shard, row + k, lane, base)
        returns += np.where(going, GAMMA**k * at["reward"].astype(np.float64), 0)
        steps += going
        over = going & (at["terminated"] | at["truncated"])
        discount[over] = np.where(at["terminated"][over], 0.0, GAMMA ** (k + 1))
        going &= ~over
    wrong = {
        "a row at or past the head": row + SHAPE.n_step >= np.asarray(head)[shard],
        "a boundary row": first["flags"] & BOUNDARY != 0,
        "action": batch.action != first["action"],
        "version": origin.version != first["version"],
        "stamp": origin.stamp != first["stamp"],
        "return": batch.returns != returns.astype(np.float32),
        "discount": batch.discount != discount.astype(np.float32),
        "legal": (batch.legal != first["legal"]).any(1),
        "next legal": (batch.next_legal != content(shard, row + steps, lane, base)["legal"]).any(1),
        "state": _stack_differs(batch.state, shard, row, lane, base),
        "next state": _stack_differs(batch.next_state, shard, row + steps, lane, base),
    }
    return [name for name, of in wrong.items() if of.any()]


def _stack_differs(stack: Array, shard: Array, row: Array, lane: Array, base: Array) -> Array:
    differs = np.zeros(len(row), bool)
    age = content(shard, row, lane, base)["age"]
    for back in range(SHAPE.n_frames):
        want = content(shard, row - np.minimum(back, age), lane, base)["observation"]
        differs |= (stack[:, SHAPE.n_frames - 1 - back] != want).any((1, 2))
    return differs
