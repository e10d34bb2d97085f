"""What the workers of the lock's stress tests do, on a page of int64 words that they share."""

from __future__ import annotations

import mmap
import os
import random
import time
from enum import IntEnum
from pathlib import Path

from tuitrain.replay.lock import RWLock

READERS = 3


class Relay(IntEnum):
    """Words of the readers that overlap. The first are theirs: inside (1), waiting there (2)."""

    TURN = READERS
    STOP = READERS + 1
    ACQUISITIONS = READERS + 2  # one word per reader from here on
    WORDS = 2 * READERS + 2


class Pair(IntEnum):
    """Words of the processes that are killed."""

    INTENDED = 0
    FIRST = 1
    SECOND = 2
    TORN = 3
    STOP = 4
    READS = 5
    WRITES = 6
    WORDS = 7


def page(path: str | Path) -> memoryview[int]:
    """The words of a file that processes share."""
    with Path(path).open("r+b") as file:
        return memoryview(mmap.mmap(file.fileno(), 0)).cast("q")


def without_gate(lock: RWLock) -> None:
    """Make it an ordinary lock that readers share, which prefers them."""
    lock._take_gate = lock._free_gate


def without_lock(lock: RWLock) -> None:
    """Make it no lock at all."""
    without_gate(lock)
    for held in (lock._read, lock._write):
        held._take = lock._free_gate


def overlap(words: memoryview[int], lock: RWLock, me: int, hold_s: float) -> None:
    """One of three readers who see to it that there is always one of them inside.

    Whoever's turn it is stays until the next in line is inside and waits for its turn there, or
    until the hold time is over.
    """
    following = (me + 1) % READERS
    while not words[Relay.STOP]:
        with lock.read():
            words[Relay.ACQUISITIONS + me] += 1
            words[me] = 1
            since = time.monotonic()
            while not words[Relay.STOP] and time.monotonic() - since < hold_s:
                turn = words[Relay.TURN]
                if turn == me:
                    if words[following] == 2:
                        words[Relay.TURN] = following
                        break
                elif (turn + 1) % READERS == me:
                    words[me] = 2  # stays until it has had its turn
                else:
                    break
                os.sched_yield()
            words[me] = 0


def mix(words: memoryview[int], lock: RWLock, seed: int) -> None:
    """Read and write two words that are equal whenever nobody writes; may be killed anywhere.

    A writer that dies between its stores leaves them different. The next writer sees that from
    what was intended, and puts them right; readers pass over it.
    """
    draw = random.Random(seed)
    while not words[Pair.STOP]:
        if draw.random() < 0.5:
            with lock.write():
                value = max(words[Pair.FIRST], words[Pair.SECOND], words[Pair.INTENDED]) + 1
                words[Pair.INTENDED] = value
                words[Pair.FIRST] = value
                os.sched_yield()
                words[Pair.SECOND] = value
                # Nobody else has been here: all three are as they were left.
                torn = not words[Pair.INTENDED] == words[Pair.FIRST] == words[Pair.SECOND] == value
                words[Pair.TORN] += torn
                words[Pair.WRITES] += 1
        else:
            with lock.read():
                first = (words[Pair.INTENDED], words[Pair.FIRST], words[Pair.SECOND])
                os.sched_yield()
                again = (words[Pair.INTENDED], words[Pair.FIRST], words[Pair.SECOND])
                words[Pair.TORN] += first != again
                words[Pair.READS] += 1
                # Different words are a dead writer's, and only where it stopped: in order.
                words[Pair.TORN] += not first[0] >= first[1] >= first[2]


def run(job: str, lock: RWLock) -> None:
    """Do a job, told as ``overlap GATE ME HOLD_S PAGE`` or ``mix GATE SEED PAGE``."""
    what, gate, number, *rest = job.split(maxsplit=4 if job.startswith("overlap") else 3)
    {"gate": lambda _: None, "no-gate": without_gate, "no-lock": without_lock}[gate](lock)
    words = page(rest[-1])
    if what == "overlap":
        overlap(words, lock, int(number), float(rest[0]))
    else:
        mix(words, lock, int(number))
