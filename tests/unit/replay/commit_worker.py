"""A process that writes a shard and is killed or stopped at one of its stores."""

from __future__ import annotations

import sys

import numpy as np

from tests.unit.replay.helpers import layout
from tests.unit.replay.stores import Stores, die_for_real, stand_still
from tests.unit.replay.story import TAGS, Scribe, stories
from tuitrain.envs.spec import PolicySpec
from tuitrain.replay import segment
from tuitrain.replay.lock import LockFile
from tuitrain.replay.shard import ShardWriter

ROWS = 3
SHAPE = layout(
    spec=PolicySpec((TAGS,), "float32", 5, ("agent",), masked=True),
    n_frames=3,
    n_step=2,
    envs_per_actor=2,
    chunk_steps=ROWS,
    capacity=8,
    learning_starts=0,
    max_lead_inserts=2,
    n_readers=2,
)
DEADLINE_S = 60.0


def begin_story(writer: ShardWriter, chunks: int, *, in_place: bool) -> Scribe:
    """A past of so many chunks, the same whenever and wherever it is written."""
    past, rng = stories(SHAPE.n_actors, SHAPE.lanes)[0], np.random.default_rng(chunks)
    scribe = Scribe(writer, past, rng, end_chance=0.1, in_place=in_place)
    for chunk in range(chunks):
        scribe.write(ROWS, stamp=chunk, version=chunk)
    return scribe


def main(path: str, name: str, chunks: int, store: int, how: str) -> None:
    """Write so many chunks, then one more up to the given store, or to half of it."""
    memory = segment.attach(name, SHAPE.nbytes, SHAPE.layout_hash())
    stores = Stores(memory.buf, stand_still if how == "stop" else die_for_real)
    columns = stores.watch(SHAPE.columns(memory.buf))
    lock = LockFile.open(path).rwlock(0, "shard 0", DEADLINE_S)
    scribe = begin_story(ShardWriter(columns, 0, lock), chunks, in_place=True)
    with stores.counting(store, half=how == "half"):
        scribe.write(ROWS, stamp=99, version=99)


if __name__ == "__main__":
    main(sys.argv[1], sys.argv[2], int(sys.argv[3]), int(sys.argv[4]), sys.argv[5])
