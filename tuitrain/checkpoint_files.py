"""Checkpoints as files: their names and order, which stay, and one written in several parts.

Where several processes learn, each writes what it holds as a *part*, and whoever has heard from all
of them joins the parts by a manifest. Until that lies there under its name, the parts are nothing;
from then on they are one checkpoint. The manifest's checksums, of the parts and of itself, see to
it that none is of another one and none is lacking. What is in the files is `checkpoint.py`'s
business, so the supervisor can join without torch.
"""

from __future__ import annotations

import contextlib
import hashlib
import json
import os
import re
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import IO, Any, TypeVar

from tuitrain import regular
from tuitrain.checkpoint_parts import PART_SUFFIX, STATE_SUFFIX, Part, State
from tuitrain.disk import why

T = TypeVar("T")

Warn = Callable[[str], None]

SUFFIX = ".pt"
MANIFEST_SUFFIX = ".json"

MANIFEST_SCHEMA = 3
"""Those of 1 have no checksum and do not name the run's policies, those of 2 no state; they are
read as well."""

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


def join(
    folder: Path,
    parts: Sequence[Part],
    policies: Sequence[str],
    keep: int,
    states: Sequence[State] = (),
    warn: Warn | None = None,
) -> Path:
    """Make one checkpoint of the parts, durably, then remove the oldest checkpoints.

    Args:
        folder: where the parts lie and checkpoints go.
        parts: one of each process, written for the same request.
        policies: all of the run's; each must be in one part.
        keep: how many checkpoints stay, at least 1.
        states: of all actors, written for the same request; or none.
        warn: see ``prune``.

    Returns:
        Path of the manifest, which is read like any checkpoint.

    Raises:
        CheckpointError: a policy is in no part or in two, a part is missing, or the manifest
            cannot be written; earlier checkpoints are untouched.
    """
    if sorted(_held(parts)) != sorted(policies):
        raise CheckpointError(
            f"parts of a checkpoint hold {', '.join(sorted(_held(parts))) or 'nothing'}, but the "
            f"run's policies are {', '.join(sorted(policies))}"
        )
    files: list[Part | State] = [*parts, *states]
    if absent := [part.file for part in files if not (folder / part.file).is_file()]:
        raise CheckpointError(f"parts of a checkpoint are missing: {', '.join(absent)}")
    name = checkpoint_name(max(part.updates for part in parts))
    content = {
        "schema": MANIFEST_SCHEMA,
        "policies": list(policies),
        "parts": [part.to_dict() for part in parts],
        "states": [state.to_dict() for state in states],
    }
    content["sha256"] = _sha256_of(content)
    path = folder / (name + MANIFEST_SUFFIX)
    write_durably(path, (json.dumps(content, indent=1) + "\n").encode())
    prune(folder, path, keep, warn)
    return path


def parts_of(manifest: Path) -> list[Part]:
    """The parts of a checkpoint, by its manifest. Raises as ``read_manifest`` does."""
    return read_manifest(manifest)[0]


def states_of(checkpoint: Path) -> list[State]:
    """The states of a checkpoint; none if it is a whole file. Raises as ``read_manifest`` does."""
    return read_manifest(checkpoint)[1] if checkpoint.suffix == MANIFEST_SUFFIX else []


def read_manifest(manifest: Path) -> tuple[list[Part], list[State]]:
    """Parts and states of a checkpoint.

    Raises:
        CheckpointError: it cannot be read or is not one, it has been changed, or a policy is in two
            parts or in none.
    """
    try:
        content = json.loads(contents(manifest))
        if content["schema"] not in (1, 2, MANIFEST_SCHEMA):
            raise ValueError(f"schema {content['schema']}, not {MANIFEST_SCHEMA}")
        parts = [Part.read(fields) for fields in content["parts"]]
        states = [State.read(fields) for fields in content.get("states", ())]
        held = sorted(_held(parts))
        policies = sorted(set(held))
        if content["schema"] > 1:
            if content.pop("sha256") != _sha256_of(content):
                raise ValueError("its content does not match its SHA-256")
            policies = sorted(content["policies"])
    except (ValueError, KeyError, TypeError, RecursionError) as error:
        raise CheckpointError(
            f"checkpoint {manifest} is damaged or not a checkpoint: {error}"
        ) from error
    if not parts:
        raise CheckpointError(f"checkpoint {manifest} is damaged: it has no parts")
    if held != policies:
        raise CheckpointError(
            f"checkpoint {manifest} is damaged: its parts hold {', '.join(held)}, which is not "
            f"{', '.join(policies)}, each once"
        )
    return parts, states


def _held(parts: Sequence[Part]) -> list[str]:
    return [name for part in parts for name in part.policies]


def _sha256_of(content: dict[str, Any]) -> str:
    """Of what a manifest says, however it is spaced."""
    return hashlib.sha256(json.dumps(content, sort_keys=True).encode()).hexdigest()


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


def checkpoints(folder: Path) -> list[Path]:
    """All checkpoints of a folder, oldest first: whole files and manifests. Raises OSError."""
    found = [
        path
        for path in regular.listed(folder, f"*{SUFFIX}", f"*{MANIFEST_SUFFIX}")
        if not path.name.startswith(".") and path.name != BEST
    ]
    return sorted(found, key=lambda path: (path.stem, path.suffix))


def keep_for_good(checkpoint: Path) -> None:
    """Let no ``prune`` remove this checkpoint: a person has asked for it. Raises OSError."""
    kept_mark(checkpoint).touch(mode=0o600)


def kept_mark(checkpoint: Path) -> Path:
    """The empty file that says that a checkpoint is not to be pruned."""
    return checkpoint.with_name(f"kept-{checkpoint.stem}")


def prune(folder: Path, written: Path, keep: int, warn: Warn | None = None) -> None:
    """Remove all checkpoints but `written` and the newest others, and what nobody needs.

    Those that were made by hand (``keep_for_good``) stay and do not count.

    That is parts of no checkpoint that stays, unless they are of a request later than the one that
    has just been answered, and what writers that were killed have left. Where a manifest cannot be
    read, all parts stay: some are its own.

    Args:
        warn: told in words of what could not be removed. Nothing is raised for that: what has been
            written is a checkpoint all the same.
    """
    failed: list[str] = []
    try:
        _prune(folder, written, keep, failed)
    except OSError as error:
        failed.append(f"{folder}: {error.strerror}")
    if failed and warn is not None:
        warn(
            f"old checkpoints could not be removed ({'; '.join(failed)}) and take room, until the "
            "next checkpoint is made or you remove them"
        )


def _prune(folder: Path, written: Path, keep: int, failed: list[str]) -> None:
    others = [path for path in checkpoints(folder) if path != written]
    again = [path for path in others if path.stem == written.stem]
    others = [p for p in others if p.stem != written.stem and not kept_mark(p).exists()]
    for path in [*again, *others[: max(0, len(others) - (keep - 1))]]:
        _try_to_remove(path, failed)
    marks = {kept_mark(path) for path in checkpoints(folder)}
    for mark in regular.listed(folder, "kept-*"):
        if mark not in marks:  # else what comes to be called so would be kept as well
            _try_to_remove(mark, failed)
    wanted, unsound = _wanted(folder)  # of a damaged one the parts are nobody's
    if any(isinstance(error, Unreadable) for error in unsound):
        return
    own = _files_of(written) if written.suffix == MANIFEST_SUFFIX else []
    for part in _parts_and_temporaries(folder):
        name = part.name.removeprefix(".")
        # of a later request, and perhaps being written right now
        later = bool(own) and not name.startswith(CHECKPOINT) and name >= min(own)
        if name not in wanted and not later:
            _try_to_remove(part, failed)


def discard(folder: Path, parts: Sequence[Part | State]) -> None:
    """Remove what has not become a checkpoint, so that it takes no room from the next one."""
    with contextlib.suppress(OSError):
        wanted, unsound = _wanted(folder)
        if any(isinstance(error, Unreadable) for error in unsound):
            return  # which may be the manifest of just these parts
        for part in parts:
            if part.file not in wanted:
                _try_to_remove(folder / part.file, [])


def sweep(folder: Path, *, training: bool = False) -> None:
    """Remove all that is no checkpoint's: parts left over, and files of writers that were killed.

    Only for when nobody writes. Does nothing where a manifest is damaged: whose parts lie there is
    not known then, and somebody may still want to look.

    Args:
        training: the run has not ended, so parts that are written at its end may already lie there,
            of workers that wait for others to come to theirs, and somebody may still write what
            nobody waits for any more, on a slow disk; they stay.

    Raises:
        OSError: some could not be removed, and why; all others are.
    """
    wanted, unsound = _wanted(folder)
    if unsound:
        return
    failed: list[str] = []
    for path in _parts_and_temporaries(folder):
        at_the_end = path.name.lstrip(".").split("-")[1:2] == ["end"]  # see `part_name`
        if path.name not in wanted and not (training and (at_the_end or _has_a_writer(path))):
            _try_to_remove(path, failed)
    if failed:
        raise OSError("; ".join(failed))


def _has_a_writer(path: Path) -> bool:
    """Whether a file is a temporary of a process that lives: see `put_durably`."""
    pid = path.name.removesuffix(".tmp").rpartition(".")[2]
    if path.suffix != ".tmp" or not pid.isdecimal():
        return False
    try:
        os.kill(int(pid), 0)
    except (OSError, OverflowError):
        return False
    return True


def _wanted(folder: Path) -> tuple[set[str], list[CheckpointError]]:
    """Files that the checkpoints there consist of, and why some manifests cannot say their own."""
    wanted: set[str] = set()
    unsound: list[CheckpointError] = []
    for path in regular.listed(folder, f"*{MANIFEST_SUFFIX}"):
        try:
            wanted.update(_files_of(path))
        except CheckpointError as error:
            unsound.append(error)
    return wanted, unsound


def _files_of(manifest: Path) -> list[str]:
    return [one.file for some in read_manifest(manifest) for one in some]


def _parts_and_temporaries(folder: Path) -> list[Path]:
    best = f".{Path(BEST).stem}."  # of another process, which may be writing right now
    found = regular.listed(folder, f"*{PART_SUFFIX}", f"*{STATE_SUFFIX}", ".*.tmp")
    return [path for path in found if not path.name.startswith(best)]


def _try_to_remove(path: Path, failed: list[str]) -> None:
    """Remove a file, or note that it cannot be and why."""
    try:
        _remove(path)
    except OSError as error:
        failed.append(f"{path}: {error.strerror}")


def _remove(path: Path) -> None:
    with contextlib.suppress(IsADirectoryError):  # not of tuitrain's making
        path.unlink(missing_ok=True)


def check_name(name: str) -> None:
    """Raise ValueError if no file of a checkpoint can be called so."""
    if not re.fullmatch(r"[A-Za-z0-9][A-Za-z0-9._-]*", name):
        raise ValueError(f"{name!r} cannot be a checkpoint's name")


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
