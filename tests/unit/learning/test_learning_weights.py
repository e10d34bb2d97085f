"""Published weights: layouts, versions and their facts, and what is refused."""

from __future__ import annotations

import pickle
import subprocess
import sys

import numpy as np
import pytest

from tests.unit.learning.weights_doubles import Memory, TurnLock
from tuitrain.learning.weights import HISTORY_VERSIONS, NothingPublishedError, WeightStore
from tuitrain.learning.weights_layout import WeightsLayout, sha256

LAYOUT = WeightsLayout(
    (("w", "float32", (3, 5)), ("scalar", "int64", ()), ("flag", "bool", (7,)), ("e", "int8", (0,)))
)


def vector(value: int, layout: WeightsLayout = LAYOUT) -> np.ndarray:
    return np.full(layout.nbytes, value, np.uint8)


def new_store(n_readers: int = 2, base: int = 0) -> tuple[WeightStore, Memory]:
    memory = Memory(n_readers, LAYOUT)
    store = WeightStore(LAYOUT, memory, TurnLock(), n_readers)
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
    other = WeightStore(LAYOUT, memory, TurnLock(), 2)
    out = vector(0)
    assert other.pull(1, out).version == 1
    assert sha256(out) == sha256(vector(7)) != sha256(vector(8))


def test_pin_is_given_up_when_the_copy_fails(monkeypatch: pytest.MonkeyPatch) -> None:
    store, _ = new_store()
    store.publish(vector(1), 0)
    out = vector(0)
    out.flags.writeable = False
    with pytest.raises(ValueError, match="read-only"):
        store.pull(0, out)
    assert store._pins[0] == -1


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
        WeightStore(LAYOUT, memory, TurnLock(), 3)
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
