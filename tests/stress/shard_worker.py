"""One writer or one reader of a replay, in a process of its own, as fast as it can.

``write`` goes on until it is killed. ``read`` ends when it has seen enough or found a fault, and
says so in one line of JSON.
"""

from __future__ import annotations

import atexit
import json
import os
import select
import sys
import time
from collections.abc import Callable

import numpy as np

from tests.stress.rows import GAMMA, SHAPE, Feed, crossed, torn
from tests.unit.replay import faulty
from tuitrain.replay import segment
from tuitrain.replay.buffer import PolicyReplay
from tuitrain.replay.layout import HEADER_HEAD, HEADER_TAIL, ReplayDamaged
from tuitrain.replay.lock import LockFile, RWLock
from tuitrain.replay.shard import ShardWriter

DEADLINE_S = 60.0
BATCH = 64


def attach(path: str, name: str) -> tuple[PolicyReplay, list[RWLock]]:
    """The replay, and the locks of its shards."""
    file = LockFile.open(path)
    memory = segment.attach(name, SHAPE.nbytes, SHAPE.layout_hash())
    locks = [file.rwlock(a, f"shard {a}", DEADLINE_S) for a in range(SHAPE.n_actors)]
    return PolicyReplay(SHAPE, memory, locks), locks


def spin(predicate: Callable[[], bool], _: str) -> None:
    """Wait for a pin by looking again."""
    while not predicate():
        os.sched_yield()


def write(path: str, name: str, shard: int, kind: str) -> None:
    """Feed a shard for ever, with the writer or one of those that are faulty."""
    store, locks = attach(path, name)
    make: type[ShardWriter] = getattr(faulty, kind, ShardWriter)
    feed = Feed(make(store.columns, shard, locks[shard]))
    while True:
        feed.write_chunk(spin)


def read(path: str, name: str, index: int, windows: int, rows: int, seconds: float) -> None:
    """Pin and sample until there were so many windows and rows, so much time has passed, and
    standard input is closed."""
    store, locks = attach(path, name)
    reader, rng = store.reader(index, GAMMA), np.random.default_rng(index)
    atexit.register(reader.unpin)  # also after an error: nobody shall wait for this one
    began = time.monotonic()
    seen = checked = sampled = 0
    faults: list[str] = []
    head = [0] * SHAPE.n_actors
    while not faults and (
        not may_end() or seen < windows or min(head) < rows or time.monotonic() < began + seconds
    ):
        try:
            window = reader.pin()
        except ReplayDamaged as error:
            faults.append(str(error))
            break
        before, head = head, window.head.tolist()
        seen += min(now - then for now, then in zip(head, before, strict=True)) > 0
        for shard, end in enumerate(head):
            pinned = int(store.columns.pins[shard, index])
            faults += torn(store.columns, shard, pinned, end)
            checked += end - pinned
        for _ in range(4):
            if window.sampleable:
                faults += crossed(reader.sample(window, BATCH, rng), reader, head)
                sampled += BATCH
        reader.unpin()
        if seen % 8 == 0:
            faults += torn_under_the_lock(store, locks)
    took = time.monotonic() - began
    said = {"windows": seen, "rows": checked, "sampled": sampled, "head": min(head), "took_s": took}
    print(json.dumps(said | {"faults": sorted(set(faults))}))


def may_end() -> bool:
    """Whether whoever started this process needs it no longer."""
    return bool(select.select([sys.stdin], [], [], 0)[0])


def torn_under_the_lock(store: PolicyReplay, locks: list[RWLock]) -> list[str]:
    """Faults of all rows that may be read, and not only of what a window keeps of them."""
    faults = []
    for shard, lock in enumerate(locks):
        with lock.read():
            tail, head = (int(store.columns.header[shard, at]) for at in (HEADER_TAIL, HEADER_HEAD))
            faults += torn(store.columns, shard, tail, head)
    return faults


if __name__ == "__main__":
    if sys.argv[1] == "write":
        write(sys.argv[2], sys.argv[3], int(sys.argv[4]), sys.argv[5])
    else:
        read(sys.argv[2], sys.argv[3], *map(int, sys.argv[4:7]), float(sys.argv[7]))
