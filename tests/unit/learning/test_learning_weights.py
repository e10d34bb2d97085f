"""Published weights: whole versions only, whoever dies or stalls; every tensor arrives."""

from __future__ import annotations

import pickle
import subprocess
import sys
import threading
from collections.abc import Iterator
from contextlib import contextmanager

import numpy as np
import pytest

from tuitrain.learning.weights import (
    HISTORY_VERSIONS,
    NothingPublishedError,
    WeightsLayout,
    WeightStore,
    sha256,
)

LAYOUT = WeightsLayout(
    (("w", "float32", (3, 5)), ("scalar", "int64", ()), ("flag", "bool", (7,)), ("e", "int8", (0,)))
)


class ThreadLock:
    """Many readers or one writer among threads; also counts what is held, for the assertions."""

    def __init__(self) -> None:
        self._condition = threading.Condition()
        self.readers = 0
        self.writing = False

    @contextmanager
    def read(self) -> Iterator[None]:
        with self._condition:
            self._condition.wait_for(lambda: not self.writing)
            self.readers += 1
        try:
            yield
        finally:
            with self._condition:
                self.readers -= 1
                self._condition.notify_all()

    @contextmanager
    def write(self) -> Iterator[None]:
        with self._condition:
            self._condition.wait_for(lambda: not self.writing and not self.readers)
            self.writing = True
        try:
            yield
        finally:
            with self._condition:
                self.writing = False
                self._condition.notify_all()


class Memory:
    def __init__(self, nbytes: int) -> None:
        self.buf = memoryview(bytearray(nbytes))


class Killed(BaseException):
    """Stands for the death of the process: nothing after it runs."""


def vector(value: int, layout: WeightsLayout = LAYOUT) -> np.ndarray:
    return np.full(layout.nbytes, value, np.uint8)


def new_store(n_readers: int = 2, base: int = 0) -> tuple[WeightStore, Memory]:
    memory = Memory(WeightStore.segment_bytes(LAYOUT, n_readers))
    store = WeightStore(LAYOUT, memory, ThreadLock(), n_readers)
    store.initialise(base)
    return store, memory


# ---- layout --------------------------------------------------------------------------------------


def test_layout_by_hand() -> None:
    assert LAYOUT.sizes == (60, 8, 7, 0)
    assert LAYOUT.offsets == (0, 64, 80, 96)
    assert LAYOUT.nbytes == 96
    assert WeightsLayout(()).nbytes == 0


def test_layout_survives_json_and_hash_sees_every_change() -> None:
    assert WeightsLayout.from_dict(LAYOUT.to_dict()) == LAYOUT
    base = ("w", "float32", (3, 5))
    others = [("v", "float32", (3, 5)), ("w", "int32", (3, 5)), ("w", "float32", (5, 3))]
    hashes = {WeightsLayout((entry,)).layout_hash() for entry in [base, *others]}
    assert len(hashes) == 4
    assert all(len(h) == 32 for h in hashes)


def test_layout_refuses_what_it_cannot_carry() -> None:
    with pytest.raises(ValueError, match=r"qint8.*supported.*float32"):
        WeightsLayout((("w", "qint8", (1,)),))
    with pytest.raises(ValueError, match="same name"):
        WeightsLayout((("w", "int8", ()), ("w", "int8", ())))


# ---- publishing ----------------------------------------------------------------------------------


def test_versions_grow_by_one_from_the_base_and_carry_their_facts() -> None:
    store, _ = new_store(base=41)
    out = vector(0)
    assert (store.version(), store.published()) == (41, False)
    with pytest.raises(NothingPublishedError):
        store.pull(0, out)
    for i in range(1, 20):
        assert store.publish(vector(i), updates=10 * i, steps=100 * i) == 41 + i
        assert store.version() == 41 + i
        got = store.pull(i % 2, out)
        assert (got.version, got.updates, got.steps) == (41 + i, 10 * i, 100 * i)
        assert got.time_s > 1.7e9
        assert (out == i).all()


def test_second_attachment_sees_the_same_store() -> None:
    store, memory = new_store()
    store.publish(vector(7), 3)
    other = WeightStore(LAYOUT, memory, ThreadLock(), 2)
    out = vector(0)
    assert other.pull(1, out).version == 1
    assert sha256(out) == sha256(vector(7)) != sha256(vector(8))


def test_stalled_readers_block_nobody() -> None:
    """All readers but one stop while they copy, each on another version, for ever."""
    n_readers = 4
    store, _ = new_store(n_readers)
    out = vector(0)
    held = {}
    for reader in range(n_readers - 1):
        store.publish(vector(reader + 1), 0)
        store._pins[reader] = int(store._header[0]) & 0xFFFF
        held[reader] = int(store._pins[reader])
    assert len(set(held.values())) == n_readers - 1
    for i in range(50):
        value = 100 + i
        store.publish(vector(value), 0)
        store.pull(n_readers - 1, out)
        assert (out == value).all()
    for reader, slot in held.items():
        assert (store._slots[slot] == reader + 1).all(), "a pinned slot was overwritten"


def test_without_pins_a_slow_reader_would_be_overwritten() -> None:
    """The guard of the test above can fail: the same without the pin."""
    store, _ = new_store(2)
    store.publish(vector(1), 0)
    slot = int(store._header[0]) & 0xFFFF
    for i in range(10):
        store.publish(vector(100 + i), 0)
    assert not (store._slots[slot] == 1).all()


def test_current_slot_is_never_written() -> None:
    store, _ = new_store(1)
    for i in range(1, 30):
        store.publish(vector(i), 0)
        assert store._free_slot() != int(store._header[0]) & 0xFFFF


STEPS = ("_free_slot", "_fill", "_record", "_move")


@pytest.mark.parametrize("step", STEPS)
@pytest.mark.parametrize("when", ["before", "half", "after"])
def test_publisher_killed_at_any_step(step: str, when: str) -> None:
    """Readers, before and after a successor comes, see whole versions; no number is reused."""

    class Dying(WeightStore):
        armed = False

    def wrap(name: str):  # type: ignore[no-untyped-def]
        original = getattr(WeightStore, name)

        def method(self, *args):  # type: ignore[no-untyped-def]
            if not (self.armed and name == step):
                return original(self, *args)
            if when == "half" and name == "_fill":
                slot, flat = args
                self._slots[slot][: len(flat) // 2] = flat[: len(flat) // 2]
            elif when == "half" and name == "_record":
                self._records[args[0], 0] = 999
            elif when == "after":
                original(self, *args)
            raise Killed

        return method

    for name in STEPS:
        setattr(Dying, name, wrap(name))
    memory = Memory(WeightStore.segment_bytes(LAYOUT, 2))
    lock = ThreadLock()
    store = Dying(LAYOUT, memory, lock, 2)
    store.initialise()
    reader = WeightStore(LAYOUT, memory, lock, 2)
    out = vector(0)
    for i in (1, 2, 3):
        store.publish(vector(i), i, 10 * i)
    seen = {reader.pull(0, out).version: out.copy()}
    reader._pins[1] = int(reader._header[0]) & 0xFFFF  # a second reader in mid-copy
    store.armed = True
    with pytest.raises(Killed):
        store.publish(vector(200), 4, 40)
    assert (lock.readers, lock.writing) == (0, False)

    moved = step == "_move" and when == "after"
    got = reader.pull(0, out)
    expected = (4, 4, 40, 200) if moved else (3, 3, 30, 3)
    assert (got.version, got.updates, got.steps) == expected[:3]
    assert (out == expected[3]).all()
    assert (reader._slots[reader._pins[1]] == 3).all()
    seen[got.version] = out.copy()

    successor = WeightStore(LAYOUT, memory, lock, 2)
    for i in range(8):
        version = successor.publish(vector(50 + i), 5 + i)
        got = reader.pull(0, out)
        assert got.version == version
        assert version not in seen, "a version number was given out twice"
        assert (out == 50 + i).all()
        seen[version] = out.copy()


def test_reader_that_died_pinned_is_replaced_by_its_successor() -> None:
    store, _ = new_store(1)
    store.publish(vector(1), 0)
    store._pins[0] = int(store._header[0]) & 0xFFFF
    out = vector(0)
    for i in range(2, 10):
        store.publish(vector(i), 0)
    store.pull(0, out)
    assert (out == 9).all()
    assert store._pins[0] == -1


def test_pin_is_given_up_when_the_copy_fails(monkeypatch: pytest.MonkeyPatch) -> None:
    store, _ = new_store()
    store.publish(vector(1), 0)
    out = vector(0)
    out.flags.writeable = False
    with pytest.raises(ValueError, match="read-only"):
        store.pull(0, out)
    assert store._pins[0] == -1


def test_concurrent_readers_never_see_a_mixed_vector() -> None:
    layout = WeightsLayout((("w", "uint8", (200_000,)),))
    memory = Memory(WeightStore.segment_bytes(layout, 3))
    store = WeightStore(layout, memory, ThreadLock(), 3)
    store.initialise()
    store.publish(vector(0, layout), 0)
    last, mixed = 300, []

    def read(reader: int) -> None:
        out, version = vector(0, layout), 0
        while version < last:
            got = store.pull(reader, out)
            if got.version < version or len(set(out[::997].tolist())) != 1:
                mixed.append(got)
            if out[0] != got.updates % 251:
                mixed.append(got)
            version = got.version

    threads = [threading.Thread(target=read, args=(i,)) for i in range(3)]
    for thread in threads:
        thread.start()
    for i in range(1, last):
        store.publish(vector(i % 251, layout), i)
    for thread in threads:
        thread.join()
    assert mixed == []


def test_updates_at_version_and_what_is_forgotten() -> None:
    store, _ = new_store(base=5)
    n = HISTORY_VERSIONS + 10
    flat = vector(1)
    for i in range(1, n + 1):
        store.publish(flat, updates=3 * i)
    newest = 5 + n
    oldest = newest + 2 - HISTORY_VERSIONS
    asked = np.array([0, 5, 6, oldest - 1, oldest, newest, newest + 1])
    got = store.updates_at_version(asked).tolist()
    assert got == [-1, -1, -1, -1, 3 * (oldest - 5), 3 * n, -1]
    times = store.time_ns_at_version(asked)
    assert ((times > 0) == (np.array(got) > 0)).all()


def test_wrong_vectors_readers_and_memory_are_refused() -> None:
    store, memory = new_store(2)
    for bad in (np.zeros(95, np.uint8), np.zeros(96, np.int8), np.zeros((96, 1), np.uint8)):
        with pytest.raises(ValueError, match=r"uint8\[96\], got"):
            store.publish(bad, 0)
        with pytest.raises(ValueError, match=r"uint8\[96\], got"):
            store.pull(0, bad)
    for reader in (-1, 2):
        with pytest.raises(IndexError):
            store.pull(reader, vector(0))
    with pytest.raises(ValueError, match=r"weights need .* bytes, the segment has"):
        WeightStore(LAYOUT, memory, ThreadLock(), 3)
    with pytest.raises(TypeError, match="attach"):
        pickle.dumps(store)


def test_close_lets_go_of_the_memory() -> None:
    store, memory = new_store()
    store.close()
    memory.buf.release()  # BufferError while anything still looks at it


def test_supervisor_modules_do_not_import_torch() -> None:
    modules = ["weights", "exploration", "lr", "target_rule"]
    code = "import sys, tuitrain.seeding, tuitrain.loading, " + ", ".join(
        f"tuitrain.learning.{m}" for m in modules
    )
    code += "; sys.exit('torch' in sys.modules)"
    assert subprocess.run([sys.executable, "-c", code]).returncode == 0
