"""Checkpoints as files: their names and order, and how one is written whole or not at all."""

from __future__ import annotations

import contextlib
import os
import re
from collections.abc import Callable
from pathlib import Path
from typing import IO, TypeVar

from tuitrain import regular
from tuitrain.disk import why

T = TypeVar("T")

SUFFIX = ".pt"
MANIFEST_SUFFIX = ".json"

BEST = "best.pt"
"""Weights of the best evaluation, beside the checkpoints: never pruned, nothing goes on from it."""

CHECKPOINT = "ckpt-"
"""Names of checkpoints begin with this, those of parts with a digit."""


class CheckpointError(RuntimeError):
    """A checkpoint cannot be written or is not sound; the message says which and why."""


class Unreadable(CheckpointError):
    """It is there, but the disk or its permissions keep it from being read: it may be sound."""


def checkpoint_name(updates: int) -> str:
    """Name, without suffix, of a checkpoint in which the foremost policy has made `updates`."""
    return f"{CHECKPOINT}{updates:010d}"


def part_name(session: int, request: int | None, worker: str) -> str:
    """Name, without suffix, of a part; those of later requests sort after it.

    Args:
        session: of the run.
        request: number of the command it answers; None for the one written at the end.
        worker: who writes it.
    """
    when = "end" if request is None else f"{request:08d}"
    return f"{session:04d}-{when}-{worker}"


def check_name(name: str) -> None:
    """Raise ValueError if no file of a checkpoint can be called so."""
    if not re.fullmatch(r"[A-Za-z0-9][A-Za-z0-9._-]*", name):
        raise ValueError(f"{name!r} cannot be a checkpoint's name")


def checkpoints(folder: Path) -> list[Path]:
    """All checkpoints of a folder, oldest first: whole files and manifests. Raises OSError."""
    found = [
        path
        for path in regular.listed(folder, f"*{SUFFIX}", f"*{MANIFEST_SUFFIX}")
        if not path.name.startswith(".") and path.name != BEST
    ]
    return sorted(found, key=lambda path: (path.stem, path.suffix))


def contents(path: Path) -> bytes:
    """All of a file of a checkpoint, however large.

    Raises:
        CheckpointError: it is absent or no regular file.
        Unreadable: it cannot be read.
    """
    try:
        with open(path, "rb", opener=regular.opener) as file:
            return file.read()
    except OSError as error:
        raise unreadable(path, error) from error
    except MemoryError as error:
        raise CheckpointError(f"checkpoint {path} does not fit into memory") from error


def unreadable(path: Path, error: OSError) -> CheckpointError:
    """What to raise where a file of a checkpoint cannot be read."""
    nothing = isinstance(error, FileNotFoundError | regular.NotRegular)
    kind = CheckpointError if nothing else Unreadable
    return kind(f"checkpoint {path} cannot be read: {error.strerror}")


def write_durably(path: Path, data: bytes) -> None:
    """Put `data` on the disk under this name, whole or not at all.

    Raises:
        CheckpointError: the disk is full or not writable (the cause says which).
    """
    put_durably(path, lambda file: file.write(data), len(data))


def put_durably(path: Path, write: Callable[[IO[bytes]], T], nbytes: int) -> T:
    """Put what `write` writes on the disk under this name, whole or not at all.

    Args:
        nbytes: as much as it can be at most, for the message if there is no room.

    Returns:
        What `write` returned.

    Raises:
        CheckpointError: the disk is full or not writable (the cause says which).
    """
    temporary = path.with_name(f".{path.stem}.{os.getpid()}.tmp")
    try:
        # not its parent: a run folder that is gone stays gone
        path.parent.mkdir(mode=0o700, exist_ok=True)
        with open(temporary, "wb", opener=regular.opener) as file:
            # An environment may have set a umask under which not even its owner could read it.
            os.fchmod(file.fileno(), 0o600)
            result = write(file)
            file.flush()
            os.fsync(file.fileno())
        os.replace(temporary, path)
        sync_folder(path.parent)
        return result
    except OSError as error:
        raise CheckpointError(
            f"checkpoint {path} ({nbytes:,} bytes) could not be written: "
            f"{why(error, path.parent, nbytes)}; "
            "earlier checkpoints are untouched"
        ) from error
    finally:
        with contextlib.suppress(OSError):
            temporary.unlink(missing_ok=True)


def sync_folder(folder: Path) -> None:
    """Put the folder's list of names on the disk."""
    descriptor = os.open(folder, os.O_RDONLY | os.O_DIRECTORY)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)
