"""Published weights between real processes that race, are killed and are stopped."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import uuid
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from tests.unit.learning import weights_faults
from tests.unit.learning.weights_doubles import number_of, vector
from tests.unit.learning.weights_worker import DEADLINE_S, HASH, LAST, PUBLISHERS, layout_of
from tuitrain.learning.weights import WeightStore
from tuitrain.replay import segment
from tuitrain.replay.lock import LockFile, LockTimeout

ROOT = Path(__file__).parents[3]
READERS = 4
SLOTS = READERS + 2
BASE = 65_000  # soon more than 16 bits


class Place:
    """Lock file, memory, and a process that forks publishers and readers on them."""

    def __init__(self, folder: Path, numbers: int, kind: str, deadline_s: float) -> None:
        self.layout = layout_of(numbers)
        self.name = f"tuitrain-test-{uuid.uuid4().hex[:12]}"
        size = WeightStore.segment_bytes(self.layout, READERS)
        self.file = LockFile.create(folder / "locks")
        self.memory = segment.create(self.name, size, HASH)
        lock = self.file.rwlock(0, "weights", deadline_s)
        store_type = getattr(weights_faults, kind, WeightStore)
        self.store: WeightStore = store_type(self.layout, self.memory, lock, READERS)
        self.store.initialise(BASE)
        command = [sys.executable, "-m", "tests.unit.learning.weights_worker"]
        command += [str(folder / "locks"), self.name, str(numbers), str(READERS), kind]
        self.process = subprocess.Popen(
            command,
            cwd=ROOT,
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            text=True,
            start_new_session=True,
        )
        self.said: list[str] = []

    def close(self) -> None:
        os.killpg(self.process.pid, signal.SIGKILL)  # with all its children, stopped ones too
        self.process.communicate()
        self.store.close()
        self.memory.close()
        segment.unlink(self.name)
        self.file.close()

    def ask(self, command: str) -> str:
        """The answer to a command; what children say meanwhile is kept in ``said``."""
        assert self.process.stdin
        self.process.stdin.write(command + "\n")
        self.process.stdin.flush()
        while (line := self.line()).startswith(("read", "stall")):
            self.said.append(line)
        return line

    def line(self) -> str:
        assert self.process.stdout
        line = self.process.stdout.readline().strip()
        assert line, "the worker has ended"
        return line

    def start(self, *command: object) -> int:
        return int(self.ask("start " + " ".join(map(str, command))).removeprefix("pid "))

    def wait(self, pid: int) -> str:
        """How a child ended, or that it has stopped."""
        return self.ask(f"wait {pid}")

    def kill(self, pid: int) -> None:
        os.kill(pid, signal.SIGKILL)
        assert self.wait(pid) == "killed 9"

    def pull(self, reader: int = 0) -> int:
        """The newest version, which must be whole; returns its number."""
        out = vector(0, self.layout)
        got = self.store.pull(reader, out)
        number = number_of(out)
        assert number is not None, np.unique(out.view(np.int64))
        assert (got.version, got.updates, got.steps) == (number // PUBLISHERS, number, 2 * number)
        return number

    def publish(self, publisher: int = 0) -> int:
        """One publication of this process."""
        number = (self.store.version() + 1) * PUBLISHERS + publisher
        return self.store.publish(vector(number, self.layout), number, 2 * number)


@pytest.fixture
def make_place(tmp_path: Path) -> Iterator[Callable[..., Place]]:
    places: list[Place] = []

    def make(numbers: int = 64, kind: str = "WeightStore", deadline_s: float = DEADLINE_S) -> Place:
        folder = tmp_path / str(len(places))
        folder.mkdir()
        places.append(Place(folder, numbers, kind, deadline_s))
        return places[-1]

    yield make
    for place in places:
        place.close()


def until(condition: Callable[[], bool]) -> None:
    while not condition():  # the suite's own time limit ends a test that waits for ever
        os.sched_yield()


def test_publishers_killed_at_every_store(make_place: Callable[..., Place]) -> None:
    """Each is the successor of the one before, and publishes before it dies."""
    place = make_place()
    last, at, publisher, ended = BASE, 0, 0, ""
    while ended != "exited 0":
        for half in (0, 1):
            publisher += 1
            ended = place.wait(place.start("die", publisher, at, half))
            version, by = divmod(place.pull(), PUBLISHERS)
            assert by == publisher
            assert version == last + 2 or (version == last + 1 and ended == "killed 9")
            last = version
        at += 1
    assert at >= 5


def _race(place: Place, publishers: int, most: int) -> list[str]:
    """What readers say that have raced publishers at full speed, killed one after the other.

    Each publisher is killed when it has published 1 to `most` times, somewhere.
    """
    rng = np.random.default_rng(publishers)
    place.publish()
    readers = [place.start("read", reader) for reader in range(1, READERS)]
    last = place.pull() // PUBLISHERS
    for publisher in range(publishers):
        pid = place.start("publish", publisher % LAST)
        goal = last + int(rng.integers(1, most + 1))
        until(lambda goal=goal: place.store.version() >= goal)
        place.kill(pid)
        last = place.pull() // PUBLISHERS
        assert last >= goal
    place.publish(LAST)
    for pid in readers:
        assert place.wait(pid) == "exited 0"
    assert place.pull() == (last + 1) * PUBLISHERS + LAST
    return place.said


def long(*values: object) -> Any:
    return pytest.param(*values, marks=[pytest.mark.long, pytest.mark.timeout(600)])


@pytest.mark.parametrize(
    ("numbers", "publishers", "most"),
    [(20_000, 1, 2_000), (64, 30, 100), long(200_000, 1, 300_000), long(64, 1_500, 500)],
)
def test_readers_race_publishers_that_are_killed(
    make_place: Callable[..., Place], numbers: int, publishers: int, most: int
) -> None:
    said = _race(make_place(numbers), publishers, most)
    assert len(said) == READERS - 1
    assert all("whole" in line for line in said), said


@pytest.mark.parametrize("kind", ["CurrentMovedFirst", "PinsIgnored", "CurrentOverwritten"])
def test_a_race_notices_faults(make_place: Callable[..., Place], kind: str) -> None:
    place = make_place(20_000, kind)
    place.publish()
    for reader in range(READERS):
        place.start("read", reader)
    place.start("publish", 1)
    assert "mixed" in (place.said or [place.line()])[0]


def test_readers_that_stop_in_a_copy_block_nobody(make_place: Callable[..., Place]) -> None:
    """All but one of them, each with another version; the publisher goes round its slots."""
    place = make_place()
    stopped = []
    for reader in range(1, READERS):
        place.publish()
        stopped.append(place.start("stall", reader))
        assert place.wait(stopped[-1]) == "stopped"
    for _ in range(3 * SLOTS):
        version = place.publish()
        assert place.pull() // PUBLISHERS == version
    continued, *killed = stopped
    os.kill(continued, signal.SIGCONT)
    assert place.wait(continued) == "exited 0"
    assert place.said == [f"stall 1 whole {BASE + 1}"]
    for pid in killed:
        place.kill(pid)
    for reader in range(READERS):  # those of the dead are taken over by their successors
        version = place.publish()
        assert place.pull(reader) // PUBLISHERS == version
    assert (place.store._pins == -1).all()


@pytest.mark.parametrize("ends", [signal.SIGCONT, signal.SIGKILL])
def test_a_reader_that_stops_with_the_lock_is_named_and_nothing_is_half_done(
    make_place: Callable[..., Place], ends: signal.Signals
) -> None:
    """The one place where a publisher depends on a reader: for the lock's deadline at most."""
    place = make_place(deadline_s=0.1)
    before = place.publish()
    stopped = place.start("hold")
    assert place.wait(stopped) == "stopped"
    for _ in range(2):
        with pytest.raises(LockTimeout) as failed:
            place.publish()
        assert failed.value.holder_pid == stopped
        assert place.store.version() == before
    os.kill(stopped, ends)
    place.wait(stopped)
    assert place.publish() == before + 1
    assert place.pull() // PUBLISHERS == before + 1


def test_a_stopped_copy_notices_that_its_slot_was_used(make_place: Callable[..., Place]) -> None:
    place = make_place(kind="PinsIgnored")
    place.publish()
    stopped = place.start("stall", 1)
    assert place.wait(stopped) == "stopped"
    for _ in range(SLOTS):
        place.publish()
    os.kill(stopped, signal.SIGCONT)
    assert place.wait(stopped) == "exited 0"
    assert "mixed" in place.said[0]


WORDS = (1 << 16 | 2, (1 << 47) - 3 << 16 | 0xFFF1)
"""Two current words of which every byte differs."""


@pytest.mark.parametrize("kind", ["WeightStore", "WordInHalves"])
def test_the_current_word_is_one_store(make_place: Callable[..., Place], kind: str) -> None:
    """Never half of one and half of the other, in a million looks; two stores are soon seen."""
    place = make_place(kind=kind)
    header = place.store._header
    assert header.ctypes.data % 64 == 0  # inside one cache line
    header[0] = WORDS[0]
    place.start("toggle", *WORDS)
    looks, seen = 0, set()
    while looks < 1_000_000 and seen <= set(WORDS):
        seen.add(int(header[0]))
        looks += 1
    assert (seen == set(WORDS)) == (kind == "WeightStore")
