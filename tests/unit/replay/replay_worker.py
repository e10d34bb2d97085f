"""A process that writes one shard at full speed, or reserves and commits, until it is killed."""

from __future__ import annotations

import os
import sys
from collections.abc import Callable
from fractions import Fraction

import numpy as np

from tests.unit.replay.helpers import Feeder, layout
from tuitrain.replay import segment
from tuitrain.replay.buffer import PolicyReplay
from tuitrain.replay.limiter import InsertsEnded, Limiter, LimiterRule
from tuitrain.replay.lock import LockFile
from tuitrain.replay.shard import Wait

HASH = bytes(32)
DEADLINE_S = 60.0


def spin(predicate: Callable[[], bool], _: str) -> None:
    """Wait for a pin by looking again."""
    while not predicate():
        os.sched_yield()


def write(path: str, name: str, shard: int, honour_pins: bool) -> None:
    """Feed a shard for ever."""
    shape = layout()
    file = LockFile.open(path)
    memory = segment.attach(name, shape.nbytes, shape.layout_hash())
    locks = [file.rwlock(a, f"shard {a}", DEADLINE_S) for a in range(shape.n_actors)]
    feed = Feeder(PolicyReplay(shape, memory, locks).writer(shard), np.random.default_rng(shard))
    if not honour_pins:
        feed.writer._unpinned = lambda tail: True  # type: ignore[method-assign]
    wait: Wait = spin
    while True:
        feed.write_chunk(shape.chunk_steps, wait)


def reserve(path: str, name: str, actor: int, total: int, actors: int) -> None:
    """Reserve and commit until nothing is left, then print what was committed."""
    words = int(np.prod(Limiter.table_shape(1, actors)))
    memory = segment.attach(name, words * 8, HASH)
    table = np.frombuffer(memory.buf, np.int64).reshape(Limiter.table_shape(1, actors))
    lock = LockFile.open(path).rwlock(0, "limiter", DEADLINE_S)
    shared = Limiter(
        table, [LimiterRule(Fraction(1, 2), 50, Fraction(20), 4 * actors)], lock, total, actors
    )
    steps = 0
    try:
        while True:
            if shared.reserve(actor, [4], 4) is None:
                os.sched_yield()
                continue
            shared.commit(actor, [3], 4)
            steps += 4
    except InsertsEnded:
        shared.retire(actor)
    print(steps)


if __name__ == "__main__":
    if sys.argv[1] == "write":
        write(sys.argv[2], sys.argv[3], int(sys.argv[4]), sys.argv[5] == "honour")
    else:
        reserve(sys.argv[2], sys.argv[3], *map(int, sys.argv[4:]))
