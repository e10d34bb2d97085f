"""State parts of a checkpoint: what one worker holds beside the learners, as one file.

A zip of numpy arrays (ordinary ``.npy`` entries, so any tool can read it) and one JSON tree of
plain values that refers to them. Large arrays are *columns*: written out of the memory they lie in
and read back into it, a piece at a time, so a replay is never in memory twice. Nothing in the file
is ever executed: no pickle, only numbers, text and their arrangement. Torch-free.
"""

from __future__ import annotations

import hashlib
import json
import zipfile
import zlib
from collections.abc import Callable, Mapping, Sequence
from contextlib import ExitStack
from pathlib import Path
from typing import IO, Any, NoReturn, cast

import numpy as np
from numpy.typing import NDArray

from tuitrain import regular
from tuitrain.checkpoint.files import (
    CheckpointError,
    check_name,
    put_durably,
    unreadable,
)
from tuitrain.checkpoint.parts import STATE_SUFFIX, State

PIECE_BYTES = 1 << 20
"""Written and read at once, between two ticks."""

_TREE = "state.json"
_ARRAY, _TABLE = "$array", "$dict"
_KINDS = "biufc"

Array = NDArray[Any]


def _idle() -> None:
    """Nobody needs to hear that it goes on."""


def save_state(
    folder: Path,
    name: str,
    worker: str,
    tree: Mapping[str, Any],
    columns: Mapping[str, Sequence[Array]],
    tick: Callable[[], None] = _idle,
) -> State:
    """Write one worker's state durably. It counts once it has been joined.

    Args:
        name: see ``files.part_name``.
        tree: None, bool, int, float, str, list, dict with text as keys, and numpy arrays of
            numbers or bools.
        columns: by name, the contiguous pieces, [k, ...] each, that one after the other make an
            array; nobody may write to them meanwhile.
        tick: called after every piece.

    Raises:
        CheckpointError: the tree holds something else, or the file could not be written.
    """
    check_name(name)
    path = folder / (name + STATE_SUFFIX)
    try:
        arrays: list[Array] = []
        text = json.dumps(_packed(tree, arrays, "state"))
    except (TypeError, ValueError) as error:
        raise CheckpointError(f"the state of {worker} cannot be saved: {error}") from error

    def write(file: IO[bytes]) -> str:
        hashing = _Hashing(file)
        with zipfile.ZipFile(
            cast(IO[bytes], hashing),  # it can be written to, which is all that is done
            "w",
            zipfile.ZIP_DEFLATED,
            compresslevel=1,
        ) as archive:
            with archive.open(_TREE, "w") as entry:
                entry.write(text.encode())
            for number, array in enumerate(arrays):
                _write_array(archive, f"{number}.npy", [np.asarray(array, order="C")], tick)
            for column, pieces in columns.items():
                _write_array(archive, f"{column}.npy", pieces, tick)
        return hashing.sha256.hexdigest()

    nbytes = sum(piece.nbytes for pieces in columns.values() for piece in pieces)
    nbytes += len(text) + sum(array.nbytes for array in arrays)
    return State(path.name, put_durably(path, write, nbytes), worker)


def verify(path: Path, sha256: str) -> None:
    """Look at every byte of a state part.

    Raises:
        CheckpointError: it is absent, cannot be read, or is not what was written.
    """
    digest = hashlib.sha256()
    try:
        with open(path, "rb", opener=regular.opener) as file:
            while piece := file.read(PIECE_BYTES):
                digest.update(piece)
    except OSError as error:
        raise unreadable(path, error) from error
    if digest.hexdigest() != sha256:
        raise CheckpointError(f"checkpoint {path} is damaged: its bytes do not match its SHA-256")


class StateFile:
    """A state part, open for reading.

    Attributes:
        tree: as it was given to ``save_state``, arrays included.

    Raises:
        CheckpointError: it cannot be read or is not a state part.
    """

    def __init__(self, path: Path) -> None:
        self.path = path
        self._close = ExitStack()
        try:
            file = open(path, "rb", opener=regular.opener)  # noqa: SIM115  # the stack's
            self._close.callback(file.close)
            self._archive = self._close.enter_context(zipfile.ZipFile(file))
            packed = json.loads(self._archive.read(_TREE))
            self.tree: dict[str, Any] = _unpacked(packed, self._array)
        except _UNREADABLE as error:
            self._close.close()
            self._damaged(error)

    def column(self, name: str, into: Sequence[Array], tick: Callable[[], None] = _idle) -> None:
        """Read a column into contiguous pieces of memory that together have its form.

        Raises:
            CheckpointError: there is no such column, or it has another dtype or shape.
        """
        rows = sum(len(piece) for piece in into)
        try:
            with self._archive.open(f"{name}.npy") as entry:
                shape, dtype = _header(entry)
                if (shape, dtype) != ((rows, *into[0].shape[1:]), into[0].dtype):
                    raise ValueError(
                        f"{name} is {dtype}{list(shape)}, not "
                        f"{into[0].dtype}{[rows, *into[0].shape[1:]]}"
                    )
                for piece in into:
                    _fill(entry, piece, tick)
        except _UNREADABLE as error:
            self._damaged(error)

    def _array(self, number: int) -> Array:
        with self._archive.open(f"{number}.npy") as entry:
            shape, dtype = _header(entry)
            array = np.empty(shape, dtype)
            _fill(entry, array, _idle)
        return array

    def _damaged(self, error: Exception) -> NoReturn:
        raise CheckpointError(
            f"checkpoint {self.path} is damaged or not a state part: {error}"
        ) from error

    def __enter__(self) -> StateFile:
        return self

    def __exit__(self, *_: object) -> None:
        self._close.close()


_UNREADABLE = (
    OSError, ValueError, KeyError, TypeError, EOFError, RecursionError, NotImplementedError,
    RuntimeError, zipfile.BadZipFile, zlib.error,
)  # fmt: skip
"""What a file of any bytes can make zipfile, numpy and json raise."""


class _Hashing:
    """A file that is only written to, front to back, and the SHA-256 of what was."""

    def __init__(self, file: IO[bytes]) -> None:
        self.sha256 = hashlib.sha256()
        self._file = file

    def write(self, data: Any) -> int:
        self.sha256.update(data)
        return self._file.write(data)

    def flush(self) -> None:
        self._file.flush()


def _packed(value: Any, arrays: list[Array], where: str) -> Any:
    """`value` as JSON can hold it; arrays go into the list."""
    match value:
        case None | bool() | int() | float() | str():
            return value
        case np.ndarray():
            if value.dtype.kind not in _KINDS:
                raise TypeError(f"{where} is an array of {value.dtype}, not of numbers")
            arrays.append(value)
            return {_ARRAY: len(arrays) - 1}
        case list():
            return [_packed(item, arrays, f"{where}[{i}]") for i, item in enumerate(value)]
        case dict():
            if other := [key for key in value if not isinstance(key, str)]:
                raise TypeError(f"{where} has the key {other[0]!r}, which is no text")
            packed = {k: _packed(item, arrays, f"{where}.{k}") for k, item in value.items()}
            # so that nothing in a state can be taken for the mark of an array
            return {_TABLE: packed} if packed.keys() & {_ARRAY, _TABLE} else packed
    raise TypeError(f"{where} is a {type(value).__name__}")


def _unpacked(value: Any, array: Callable[[int], Array]) -> Any:
    if isinstance(value, list):
        return [_unpacked(item, array) for item in value]
    if not isinstance(value, dict):
        return value
    if value.keys() == {_ARRAY}:
        return array(int(value[_ARRAY]))
    if value.keys() == {_TABLE}:
        value = value[_TABLE]
    return {key: _unpacked(item, array) for key, item in value.items()}


def _write_array(
    archive: zipfile.ZipFile, name: str, pieces: Sequence[Array], tick: Callable[[], None]
) -> None:
    first = pieces[0]
    shape = (sum(len(p) for p in pieces), *first.shape[1:]) if first.ndim else ()
    nbytes = sum(piece.nbytes for piece in pieces)
    with archive.open(name, "w", force_zip64=nbytes > 1 << 30) as entry:
        np.lib.format.write_array_header_1_0(
            entry,
            {
                "descr": np.lib.format.dtype_to_descr(first.dtype),
                "fortran_order": False,
                "shape": shape,
            },
        )
        for piece in pieces:
            data = piece.reshape(-1).view(np.uint8)
            for start in range(0, len(data), PIECE_BYTES):
                entry.write(data[start : start + PIECE_BYTES].data)
                tick()


def _header(entry: IO[bytes]) -> tuple[tuple[int, ...], np.dtype[Any]]:
    if np.lib.format.read_magic(entry) != (1, 0):
        raise ValueError("an array of another version")
    shape, fortran, dtype = np.lib.format.read_array_header_1_0(entry)
    if fortran or dtype.kind not in _KINDS:
        raise ValueError(f"an array of {dtype}")
    return shape, dtype


def _fill(entry: IO[bytes], array: Array, tick: Callable[[], None]) -> None:
    data = array.reshape(-1).view(np.uint8)
    if not np.shares_memory(data, array) and data.size:
        raise ValueError("not contiguous")
    at = 0
    while at < len(data):
        got = entry.read(min(PIECE_BYTES, len(data) - at))
        if not got:
            raise EOFError("an array is cut short")
        data[at : at + len(got)] = np.frombuffer(got, np.uint8)
        at += len(got)
        tick()
