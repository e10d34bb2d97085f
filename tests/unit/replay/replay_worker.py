"""A process that reserves and commits with a limiter until nothing is left, or it is killed."""

from __future__ import annotations

import os
import sys
from fractions import Fraction

import numpy as np

from tuitrain.replay import segment
from tuitrain.replay.limiter import InsertsEnded, Limiter
from tuitrain.replay.limiter_rule import LimiterRule
from tuitrain.replay.lock import LockFile

HASH = bytes(32)
DEADLINE_S = 60.0


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
    reserve(sys.argv[2], sys.argv[3], *map(int, sys.argv[4:]))
