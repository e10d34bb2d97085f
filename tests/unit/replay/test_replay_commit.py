"""The commit protocol: the writer dies at every single store, and nobody ever sees half a row.

One clean chunk is written to count its stores; then the same chunk is written once for each of
them and the writer dies there, before the store or in its middle. What is readable must be what
was committed, whoever holds a pin, and a successor must go on without a transition across the cut.
"""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import uuid
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from tests.unit.replay import commit_worker
from tests.unit.replay.commit_worker import ROWS, SHAPE, begin_story
from tests.unit.replay.faulty import HeadFirst, HidesTheCut, PassesPins, TailStays
from tests.unit.replay.helpers import Memory, NullLock
from tests.unit.replay.stores import Died, Stores
from tests.unit.replay.story import Expected, Scribe, cut_rows, torn_rows
from tuitrain.replay import segment
from tuitrain.replay.buffer import PolicyReplay, ReplayReader, Window
from tuitrain.replay.layout import HEADER_HEAD, HEADER_TAIL, ReplayDamaged
from tuitrain.replay.lock import LockFile, LockTimeout
from tuitrain.replay.shard import ShardWriter

GAMMA = 0.9
CHUNKS = range(2 * SHAPE.ring_rows // ROWS)
"""Chunks written before the one that is interrupted: the ring is empty, part full, wraps in that
chunk at each of its rows, has wrapped."""
SOME = (0, 1, SHAPE.ring_rows // ROWS, CHUNKS[-1])

MakeWriter = Callable[[Any, int, Any], ShardWriter]


@dataclass
class Scene:
    """Shard 0 with a past, shard 1 untouched; maybe a window that a reader has pinned."""

    store: PolicyReplay
    stores: Stores
    scribe: Scribe
    reader: ReplayReader
    window: Window | None
    make: MakeWriter
    in_place: bool
    lock: Any = field(default_factory=NullLock)

    def successor(self) -> Scribe:
        """The next writer of the shard."""
        writer = self.make(self.store.columns, 0, self.lock)
        rng = np.random.default_rng(99)
        return Scribe(writer, self.scribe.story, rng, end_chance=0.1, in_place=self.in_place)


def scene(
    chunks: int,
    *,
    pinned: bool = False,
    succeeds: bool = False,
    in_place: bool = True,
    make: MakeWriter = ShardWriter,
) -> Scene:
    """Up to the chunk in which the writer is to die.

    Args:
        pinned: a reader has pinned a window.
        succeeds: the writer that is to die is itself the successor of one that died.
        in_place: it fills rows where they lie.
        make: the writer's class.
    """
    memory = Memory(SHAPE.nbytes)
    store = PolicyReplay(SHAPE, memory, [NullLock()] * SHAPE.n_actors)
    store.initialise()
    stores = Stores(memory.buf)
    columns = stores.watch(store.columns)
    scribe = begin_story(make(columns, 0, NullLock()), chunks, in_place=in_place)
    if succeeds:
        rng, writer = np.random.default_rng(98), make(columns, 0, NullLock())
        scribe = Scribe(writer, scribe.story, rng, end_chance=0.1, in_place=in_place)
    reader = store.reader(0, GAMMA)
    window = reader.pin() if pinned else None
    return Scene(store, stores, scribe, reader, window, make, in_place)


def count_stores(chunks: int, **kind: Any) -> int:
    """Stores of the clean chunk."""
    place = scene(chunks, **kind)
    with place.stores.counting():
        place.scribe.write(ROWS, stamp=99, version=99)
    return place.stores.count


def faults(chunks: int, store: int, half: bool, **kind: Any) -> list[str]:
    """What is wrong after the writer died at a store, and after its successor has gone on."""
    place = scene(chunks, **kind)
    before = place.store.columns.header[0].copy()
    with pytest.raises(Died), place.stores.counting(store, half=half):
        place.scribe.write(ROWS, stamp=99, version=99)
    return what_is_left(place, before) + what_follows(place)


def what_is_left(place: Scene, before: np.ndarray[Any, Any]) -> list[str]:
    """What is wrong with the memory that a dead writer leaves; ``before`` is the older header."""
    columns, past = place.store.columns, place.scribe.story
    tail, head = (int(columns.header[0, at]) for at in (HEADER_TAIL, HEADER_HEAD))
    found = []
    if head not in (before[HEADER_HEAD], before[HEADER_HEAD] + ROWS) or tail > head:
        found.append(f"tail {tail} and head {head}")
    past.settle(head)
    found += [f"row {row} is torn" for row in torn_rows(columns, past)]
    if place.window is not None:
        if tail > place.window.low[0]:
            found.append("the tail passed a pin")
        found += expected(place, place.window).draw(
            place.reader, place.window, np.random.default_rng(5)
        )
    return found


def what_follows(place: Scene) -> list[str]:
    """What is wrong with what a successor writes, until the ring is its own."""
    columns, past, cut = place.store.columns, place.scribe.story, place.scribe.story.head
    following, found, asked = place.successor(), [], 0

    def wait(predicate: Callable[[], bool], reason: str) -> None:
        nonlocal asked
        asked += 1
        place.store.release(0)
        assert predicate()

    for chunk in range(SHAPE.ring_rows // ROWS + 1):
        following.write(ROWS, stamp=100 + chunk, version=100 + chunk, wait=wait)
        if chunk == 0:
            if cut and cut_rows(columns, past)[-1:] != [cut]:
                found.append("the cut is not marked")
            if place.window is None:
                found += sampled(place)
    # the pins of a reader that has died hold a full ring, and only until they are released
    if asked != (place.window is not None):
        found.append(f"the successor waited {asked} times")
    found += [f"row {row} is torn at the end" for row in torn_rows(columns, past)]
    return found + sampled(place)


def sampled(place: Scene) -> list[str]:
    """What is wrong with what a reader of its own can draw now."""
    reader = place.store.reader(1, GAMMA)
    window = reader.pin()
    try:
        return expected(place, window).draw(reader, window, np.random.default_rng(5))
    finally:
        reader.unpin()


def expected(place: Scene, window: Window) -> Expected:
    return Expected(
        [place.scribe.story],
        window.low[:1].tolist(),
        window.head[:1].tolist(),
        n_frames=SHAPE.n_frames,
        n_step=SHAPE.n_step,
        gamma=GAMMA,
    )


KINDS = [
    pytest.param({"in_place": False}, id="copied"),
    pytest.param({}, id="in-place"),
    pytest.param({"pinned": True}, id="pinned"),
    pytest.param({"succeeds": True}, id="successor"),
]


@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize(
    "chunks",
    [pytest.param(n, marks=[] if n in SOME else pytest.mark.long) for n in CHUNKS],
)
def test_a_writer_that_dies_at_any_store_leaves_whole_rows_and_a_successor_goes_on(
    chunks: int, kind: dict[str, bool]
) -> None:
    count = count_stores(chunks, **kind)
    assert count > 8 + ROWS, "hardly a store was counted"
    for store in range(count):
        for half in (False, True):
            found = faults(chunks, store, half, **kind)
            assert not found, (store, half)


STORES = count_stores(CHUNKS[-1])


class Shared:
    """A replay in shared memory with locks between processes, and one process that writes it.

    ``twin`` is the same past in private memory: it says what that process writes.
    """

    def __init__(self, folder: Path) -> None:
        self.twin = scene(CHUNKS[-1])
        self.before = self.twin.store.columns.header[0].copy()
        self.name = f"tuitrain-test-{uuid.uuid4().hex[:12]}"
        self.file = LockFile.create(folder / "locks")
        memory = segment.create(self.name, SHAPE.nbytes, SHAPE.layout_hash())
        # nobody but the process that is to die ever holds one for long
        self.locks = [self.file.rwlock(a, f"shard {a}", 0.2) for a in range(SHAPE.n_actors)]
        self.store = PolicyReplay(SHAPE, memory, self.locks)
        self.store.initialise()
        self.process: subprocess.Popen[bytes] | None = None

    def write_until(self, store: int, how: str) -> int:
        """Let a process write until it is killed or stopped at a store; its wait status."""
        args = [self.file.path, self.name, CHUNKS[-1], store, how]
        self.process = subprocess.Popen(
            [sys.executable, commit_worker.__file__, *map(str, args)],
            env=os.environ | {"PYTHONPATH": str(Path(__file__).parents[3])},
        )
        _, status = os.waitpid(self.process.pid, os.WUNTRACED)
        if not os.WIFSTOPPED(status):
            self.process.returncode = os.waitstatus_to_exitcode(status)
        return status

    def faults(self, store: int) -> list[str]:
        """What is wrong with what the process has left, and with what its successor writes."""
        with pytest.raises(Died), self.twin.stores.counting(store):
            self.twin.scribe.write(ROWS, stamp=99, version=99)
        reader = self.store.reader(0, GAMMA)
        place = Scene(
            self.store, self.twin.stores, self.twin.scribe, reader, None, ShardWriter, True,
            self.locks[0],
        )  # fmt: skip
        return what_is_left(place, self.before) + what_follows(place)

    def close(self) -> None:
        if self.process is not None and self.process.returncode is None:
            self.process.kill()
            self.process.wait()
        self.file.close()
        segment.unlink(self.name)


@pytest.fixture
def shared(tmp_path: Path) -> Iterator[Shared]:
    made = Shared(tmp_path)
    yield made
    made.close()


@pytest.mark.parametrize(
    ("store", "how"),
    [
        pytest.param(
            store,
            how,
            # by default: holding the lock at the tail's move and at the head's, and in the middle
            marks=[]
            if (store, how) in ((0, "half"), (STORES // 2, "half"), (STORES - 1, "before"))
            else pytest.mark.long,
        )
        for store in range(STORES)
        for how in ("before", "half")
    ],
)
def test_a_process_that_is_killed_at_any_store_leaves_whole_rows_and_free_locks(
    shared: Shared, store: int, how: str
) -> None:
    status = shared.write_until(store, how)
    assert os.WIFSIGNALED(status)
    assert os.WTERMSIG(status) == signal.SIGKILL
    assert not shared.faults(store)


@pytest.mark.parametrize("store", [0, STORES // 2])
def test_a_process_that_is_stopped_is_named_and_its_end_frees_the_shard(
    shared: Shared, store: int
) -> None:
    """At the tail's move it holds the shard's lock; later it holds nothing that others need."""
    assert os.WIFSTOPPED(shared.write_until(store, "stop"))
    assert shared.process is not None
    reader = shared.store.reader(1, GAMMA)
    if store == 0:
        with pytest.raises(LockTimeout) as error:
            reader.pin()
        assert error.value.holder_pid == shared.process.pid
    else:
        assert reader.pin().sampleable > 0
    shared.process.kill()
    shared.process.wait()
    assert not shared.faults(store)


@pytest.mark.parametrize(
    ("mutant", "kind"),
    [
        (TailStays, {}),
        (PassesPins, {"pinned": True}),
        (HeadFirst, {}),
        (HidesTheCut, {"succeeds": True}),
    ],
)
def test_a_writer_that_breaks_the_protocol_is_caught(
    mutant: MakeWriter, kind: dict[str, bool]
) -> None:
    chunks = CHUNKS[-1]
    caught = 0
    for store in range(count_stores(chunks, make=mutant, **kind)):
        try:
            caught += bool(faults(chunks, store, False, make=mutant, **kind))
        except (AssertionError, pytest.fail.Exception, ReplayDamaged):  # rows that nobody wrote
            caught += 1
    assert caught > 0


def test_a_store_past_the_count_is_noticed() -> None:
    place = scene(1)
    with pytest.raises(AssertionError, match="not counted"), place.stores.counting():
        place.store.columns.reward[0, 0] = 7


def test_stores_of_every_form_are_counted() -> None:
    place = scene(1)
    columns = place.scribe.writer.columns
    reward = columns.reward[0, 0]
    with place.stores.counting():
        reward[:] = 1
        reward[0] = 2
        reward[np.array([0, 1])] = 3
        reward += 1
        np.add(reward, 1, out=reward)
        np.copyto(reward, np.float32(9))
        np.take(np.zeros(3, np.float32), [0, 1], out=reward)
        reward.fill(5)
        columns.header[0, 3] = 1
    assert place.stores.count == 9
