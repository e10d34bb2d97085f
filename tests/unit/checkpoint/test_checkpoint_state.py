"""State parts: what goes in comes out, nothing else is taken for one, and memory stays flat."""

from __future__ import annotations

import errno
import math
import os
import tracemalloc
import zipfile
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from tests.unit.checkpoint.written import POLICIES, parts
from tuitrain.checkpoint.files import CheckpointError
from tuitrain.checkpoint.joining import join
from tuitrain.checkpoint.manifest import read_manifest, states_of
from tuitrain.checkpoint.parts import State
from tuitrain.checkpoint.payload import newest
from tuitrain.checkpoint.state import PIECE_BYTES, StateFile, save_state, verify

TREE: dict[str, Any] = {
    "none": None,
    "flags": [True, False],
    "whole": -(2**127),
    "number": 0.1,
    "infinite": math.inf,
    "text": "ä\n",
    "nested": {"array": np.arange(6, dtype=np.uint16).reshape(2, 3), "empty": {}, "list": []},
    "alone": np.array(7.5),
    "bools": np.array([True, False]),
    "nothing": np.zeros((0, 3), np.float32),
    "$array": 3,
    "like one": {"$array": "no array", "$dict": {"$dict": 1}},
}


def same(left: Any, right: Any) -> bool:
    if isinstance(left, np.ndarray):
        return (left.dtype, left.shape) == (right.dtype, right.shape) and bool(
            (left == right).all()
        )
    if isinstance(left, dict):
        return left.keys() == right.keys() and all(same(left[k], right[k]) for k in left)
    if isinstance(left, list):
        return len(left) == len(right) and all(map(same, left, right))
    return type(left) is type(right) and bool(left == right)


def test_a_tree_comes_back_as_it_was(tmp_path: Path) -> None:
    state = save_state(tmp_path, "0000-1-a0", "a0", TREE, {})
    verify(tmp_path / state.file, state.sha256)
    with StateFile(tmp_path / state.file) as file:
        assert same(TREE, file.tree)


@pytest.mark.parametrize(
    "value", [object(), {1: 2}, (1, 2), np.array(["text"]), np.array([None]), 1j, b"bytes"]
)
def test_what_cannot_be_read_without_code_is_not_written(value: Any, tmp_path: Path) -> None:
    with pytest.raises(CheckpointError, match=r"the state of a0 cannot be saved: state\.x"):
        save_state(tmp_path, "0000-1-a0", "a0", {"x": value}, {})
    assert list(tmp_path.iterdir()) == []


def test_a_column_is_read_into_other_pieces_than_it_was_written_from(tmp_path: Path) -> None:
    rows = np.arange(60, dtype=np.float32).reshape(10, 2, 3)
    state = save_state(tmp_path, "0000-1-a0", "a0", {}, {"0.reward": [rows[:7], rows[7:]]})
    into = [np.zeros((n, 2, 3), np.float32) for n in (4, 6)]
    with StateFile(tmp_path / state.file) as file:
        file.column("0.reward", into)
        assert (np.concatenate(into) == rows).all()
        for wrong in (np.zeros((9, 2, 3), np.float32), np.zeros((10, 2, 3), np.float64)):
            with pytest.raises(CheckpointError, match=r"0\.reward is float32\[10, 2, 3\]|10, 2, 3"):
                file.column("0.reward", [wrong])
        with pytest.raises(CheckpointError, match="damaged or not a state part"):
            file.column("1.reward", into)


def test_memory_stays_flat_however_much_is_saved(tmp_path: Path) -> None:
    rows = np.random.default_rng(1).integers(0, 4, (64, PIECE_BYTES), dtype=np.uint8)
    ticks = 0

    def tick() -> None:
        nonlocal ticks
        ticks += 1

    tracemalloc.start()
    try:
        state = save_state(tmp_path, "0000-1-a0", "a0", {}, {"0.observation": [rows]}, tick)
        _, writing = tracemalloc.get_traced_memory()
        assert ticks == 64
        tracemalloc.reset_peak()
        verify(tmp_path / state.file, state.sha256)
        with StateFile(tmp_path / state.file) as file:
            file.column("0.observation", [rows])
        _, reading = tracemalloc.get_traced_memory()
    finally:
        tracemalloc.stop()
    assert max(writing, reading) < rows.nbytes / 8


def flip(path: Path) -> None:
    data = bytearray(path.read_bytes())
    data[len(data) // 2] ^= 1
    path.write_bytes(data)


DAMAGES: dict[str, Callable[[Path], None]] = {
    "flipped": flip,
    "cut": lambda path: os.truncate(path, path.stat().st_size // 2),
    "empty": lambda path: os.truncate(path, 0),
    "absent": lambda path: path.unlink(),
    "of another kind": lambda path: zipfile.ZipFile(path, "w").close(),
}


@pytest.mark.parametrize("damage", DAMAGES)
def test_a_checkpoint_whose_state_is_damaged_is_passed_over(damage: str, tmp_path: Path) -> None:
    written = []
    for value in (5, 6):
        state = save_state(tmp_path, f"0000-{value}-a0", "a0", TREE, {})
        written.append(join(tmp_path, parts(tmp_path, value), POLICIES, keep=3, states=[state]))
    DAMAGES[damage](tmp_path / state.file)
    found = newest(tmp_path, with_state=True)
    assert found is not None
    assert found[0] == written[0]
    assert "0000-6-a0.state" in found[2][0]
    with pytest.raises(CheckpointError):
        verify(tmp_path / state.file, state.sha256)
    # whoever only plays needs no state
    playing = newest(tmp_path)
    assert playing is not None
    assert playing[0] == written[1]


def test_states_are_kept_and_pruned_with_their_checkpoint(tmp_path: Path) -> None:
    for value in range(1, 5):
        state = save_state(tmp_path, f"0000-{value:08d}-a0", "a0", {}, {})
        path = join(tmp_path, parts(tmp_path, value), POLICIES, keep=2, states=[state])
    assert [s.worker for s in states_of(path)] == ["a0"]
    assert sorted(p.name for p in tmp_path.glob("*.state")) == [
        "0000-00000003-a0.state",
        "0000-00000004-a0.state",
    ]
    (tmp_path / state.file).unlink()
    with pytest.raises(CheckpointError, match="parts of a checkpoint are missing"):
        join(tmp_path, read_manifest(path)[0], POLICIES, keep=2, states=[state])


@pytest.mark.parametrize("call", ["open", "write", "fsync", "replace"])
@pytest.mark.parametrize("number", [errno.ENOSPC, errno.EIO])
def test_a_state_that_cannot_be_written_takes_nothing_with_it(
    call: str, number: int, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    earlier = save_state(tmp_path, "0000-1-a0", "a0", TREE, {})

    def failing(*_: Any, **__: Any) -> Any:
        raise OSError(number, os.strerror(number))

    if call == "open":
        monkeypatch.setattr("tuitrain.checkpoint.files.open", failing, raising=False)
    elif call == "write":
        monkeypatch.setattr("tuitrain.checkpoint.state._Hashing.write", failing)
    else:
        monkeypatch.setattr(os, call, failing)
    with pytest.raises(CheckpointError, match="earlier checkpoints are untouched"):
        save_state(tmp_path, "0000-2-a0", "a0", TREE, {})
    monkeypatch.undo()
    assert [path.name for path in tmp_path.iterdir()] == [earlier.file]
    verify(tmp_path / earlier.file, earlier.sha256)


@pytest.mark.parametrize(
    "fields",
    [
        {},
        None,
        {"file": "../a.state", "sha256": "", "worker": "a0"},
        {"file": "a.part", "sha256": "", "worker": "a0"},
    ],
)
def test_only_a_state_is_read_as_one(fields: Any) -> None:
    with pytest.raises(ValueError, match=r"state"):
        State.read(fields)
