"""Publishers and readers of weights as processes of their own, to be killed and stopped.

This process only forks: each command is carried out by a child that opens lock file and memory
itself, so an import is paid for once. One line of standard input per command, one line of output
per answer; children write lines of their own, which begin with their command.
"""

from __future__ import annotations

import os
import signal
import sys

import numpy as np

from tests.unit.learning import weights_faults
from tests.unit.learning.weights_doubles import Interrupted, number_of, vector, watch
from tests.unit.replay.stores import Stores, die_for_real
from tuitrain.learning.weights import WeightStore
from tuitrain.learning.weights_layout import WeightsLayout
from tuitrain.replay import segment
from tuitrain.replay.lock import LockFile

HASH = bytes(32)
DEADLINE_S = 60.0
PUBLISHERS = 1000
"""Numbers are version * PUBLISHERS + publisher, so equal versions of two publishers differ."""
LAST = PUBLISHERS - 1
"""Readers stop when they see a version of this publisher."""


def layout_of(numbers: int) -> WeightsLayout:
    """A vector of so many numbers."""
    return WeightsLayout((("w", "int64", (numbers,)),))


class Child:
    """One process on the store."""

    def __init__(self, path: str, name: str, numbers: int, readers: int, kind: str) -> None:
        layout = layout_of(numbers)
        self.numbers = layout
        self.memory = segment.attach(name, WeightStore.segment_bytes(layout, readers), HASH)
        lock = LockFile.open(path).rwlock(0, "weights", DEADLINE_S)
        store_type = getattr(weights_faults, kind, WeightStore)
        self.store: WeightStore = store_type(layout, self.memory, lock, readers)

    def publish_once(self, publisher: int) -> None:
        """The number says version and publisher; update and step counts follow from it."""
        number = (self.store.version() + 1) * PUBLISHERS + publisher
        self.store.publish(vector(number, self.numbers), number, 2 * number)

    def publish(self, publisher: int) -> None:
        """For ever."""
        while True:
            self.publish_once(publisher)

    def die(self, publisher: int, at: int, half: int) -> None:
        """One whole publication, and one during which this process is killed at a store."""
        self.publish_once(publisher)
        stores = Stores(self.memory.buf, die_for_real)
        watch(self.store, stores)
        with stores.counting(at, half=bool(half)):
            self.publish_once(publisher)

    def read(self, reader: int) -> None:
        """Pull at full speed until ``LAST`` publishes; one line then, or at a mixture."""
        out, last, pulls, number = vector(0, self.numbers), 0, 0, 0
        while number % PUBLISHERS != LAST:
            got = self.store.pull(reader, out)
            found = number_of(out)
            facts = (got.version, got.updates, got.steps)
            if found is None or facts != (found // PUBLISHERS, found, 2 * found):
                return say(f"read {reader} mixed {facts} {np.unique(out.view(np.int64))[:4]}")
            if got.version < last:
                return say(f"read {reader} fell from {last} to {got.version}")
            number, last, pulls = found, got.version, pulls + 1
        return say(f"read {reader} whole {pulls}")

    def stall(self, reader: int) -> None:
        """Stop in the middle of a copy; whole or mixed once continued."""
        out = vector(0, self.numbers)

        def stop() -> None:
            if 0 < np.count_nonzero(out.view(np.int64)) < len(out) // 8:
                os.kill(os.getpid(), signal.SIGSTOP)

        for i, slot in enumerate(self.store._slots):
            self.store._slots[i] = slot.view(Interrupted)
            self.store._slots[i].others = stop
        got = self.store.pull(reader, out)
        number = number_of(out)
        whole = number is not None and got.version == number // PUBLISHERS
        say(f"stall {reader} {'whole' if whole else 'mixed'} {got.version}")

    def hold(self) -> None:
        """Stop in the few instructions for which a reader holds the lock."""
        with self.store._lock.read():
            os.kill(os.getpid(), signal.SIGSTOP)

    def toggle(self, first: int, second: int) -> None:
        """Move the current word between two values for ever."""
        while True:
            for word in (first, second):
                self.store._move(word & 0xFFFF, word >> 16)


def say(line: str) -> None:
    """One write, so that lines of several children stay apart."""
    os.write(1, f"{line}\n".encode())


def main() -> None:
    """``start METHOD ARGUMENTS`` answers ``pid N``; ``wait N`` answers how it ended or stopped."""
    path, name, numbers, readers, kind = sys.argv[1:6]
    for line in sys.stdin:
        command, *words = line.split()
        if command == "wait":
            _, status = os.waitpid(int(words[0]), os.WUNTRACED)
            if os.WIFSTOPPED(status):
                say("stopped")
            elif os.WIFSIGNALED(status):
                say(f"killed {os.WTERMSIG(status)}")
            else:
                say(f"exited {os.WEXITSTATUS(status)}")
            continue
        pid = os.fork()
        if pid == 0:
            child = Child(path, name, int(numbers), int(readers), kind)
            getattr(child, words[0])(*map(int, words[1:]))
            os._exit(0)
        say(f"pid {pid}")


if __name__ == "__main__":
    main()
