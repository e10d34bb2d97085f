"""Checkpoints as files: their names and order, which stay, and one written in several parts.

Where several processes learn, each writes what it holds as a *part*, and whoever has heard from all
of them joins the parts by a manifest. Until that lies there under its name, the parts are nothing;
from then on they are one checkpoint, and the manifest's checksums see to it that none is of another
one. What is in the files is `checkpoint.py`'s business, so the supervisor can join without torch.
"""

from __future__ import annotations

import json
import os
from collections.abc import Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

SUFFIX = ".pt"
MANIFEST_SUFFIX = ".json"
PART_SUFFIX = ".part"
MANIFEST_SCHEMA = 1

CHECKPOINT = "ckpt-"
"""Names of checkpoints begin with this, those of parts with a digit."""


class CheckpointError(RuntimeError):
    """A checkpoint cannot be written or is not sound; the message says which and why."""


@dataclass(frozen=True)
class Part:
    """What one process has written of a checkpoint.

    Attributes:
        file: its name, in the folder of the checkpoints.
        sha256: of its content, as the file itself says.
        policies: whose learning is in it.
        updates: most updates that any of them has made.
    """

    file: str
    sha256: str
    policies: tuple[str, ...]
    updates: int

    @classmethod
    def read(cls, fields: Any) -> Part:
        """From plain values. Raises ValueError if they are no part."""
        try:
            part = cls(
                str(fields["file"]),
                str(fields["sha256"]),
                tuple(map(str, fields["policies"])),
                int(fields["updates"]),
            )
        except (TypeError, KeyError) as error:
            raise ValueError(f"not a part of a checkpoint: {fields!r}") from error
        if Path(part.file).name != part.file or not part.file.endswith(PART_SUFFIX):
            raise ValueError(f"{part.file!r} cannot be the name of a part")
        return part

    def to_dict(self) -> dict[str, Any]:
        """Plain values, for a message or a manifest."""
        return asdict(self) | {"policies": list(self.policies)}


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


def join(folder: Path, parts: Sequence[Part], policies: Sequence[str], keep: int) -> Path:
    """Make one checkpoint of the parts, durably, then remove the oldest checkpoints.

    Args:
        folder: where the parts lie and checkpoints go.
        parts: one of each process, written for the same request.
        policies: all of the run's; each must be in one part.
        keep: how many checkpoints stay, at least 1.

    Returns:
        Path of the manifest, which is read like any checkpoint.

    Raises:
        CheckpointError: a policy is in no part or in two, a part is missing, or the manifest
            cannot be written; earlier checkpoints are untouched.
    """
    held = [name for part in parts for name in part.policies]
    if sorted(held) != sorted(policies):
        raise CheckpointError(
            f"parts of a checkpoint hold {', '.join(sorted(held)) or 'nothing'}, but the run's "
            f"policies are {', '.join(sorted(policies))}"
        )
    if absent := [part.file for part in parts if not (folder / part.file).is_file()]:
        raise CheckpointError(f"parts of a checkpoint are missing: {', '.join(absent)}")
    name = checkpoint_name(max(part.updates for part in parts))
    content = {"schema": MANIFEST_SCHEMA, "parts": [part.to_dict() for part in parts]}
    path = folder / (name + MANIFEST_SUFFIX)
    write_durably(path, (json.dumps(content, indent=1) + "\n").encode())
    prune(folder, path, keep)
    return path


def parts_of(manifest: Path) -> list[Part]:
    """The parts of a checkpoint, by its manifest.

    Raises:
        CheckpointError: it cannot be read or is not one.
    """
    try:
        content = json.loads(manifest.read_bytes())
        if content["schema"] != MANIFEST_SCHEMA:
            raise ValueError(f"schema {content['schema']}, not {MANIFEST_SCHEMA}")
        parts = [Part.read(fields) for fields in content["parts"]]
    except OSError as error:
        raise CheckpointError(f"checkpoint {manifest} cannot be read: {error.strerror}") from error
    except (ValueError, KeyError, TypeError) as error:
        raise CheckpointError(
            f"checkpoint {manifest} is damaged or not a checkpoint: {error}"
        ) from error
    if not parts:
        raise CheckpointError(f"checkpoint {manifest} is damaged: it has no parts")
    return parts


def checkpoints(folder: Path) -> list[Path]:
    """All checkpoints of a folder, oldest first: whole files and manifests."""
    found = [
        path
        for suffix in (SUFFIX, MANIFEST_SUFFIX)
        for path in folder.glob(f"*{suffix}")
        if not path.name.startswith(".")
    ]
    return sorted(found, key=lambda path: (path.stem, path.suffix))


def prune(folder: Path, written: Path, keep: int) -> None:
    """Remove all checkpoints but `written` and the newest others, and what nobody needs.

    That is parts of no checkpoint that stays, unless they are of a request later than the one that
    has just been answered, and what writers that were killed have left.
    """
    others = [path for path in checkpoints(folder) if path != written]
    again = [path for path in others if path.stem == written.stem]
    others = [path for path in others if path.stem != written.stem]
    for path in [*again, *others[: max(0, len(others) - (keep - 1))]]:
        path.unlink(missing_ok=True)
    own: list[str] = []
    wanted: set[str] = set()
    for path in folder.glob(f"*{MANIFEST_SUFFIX}"):
        try:
            files = [part.file for part in parts_of(path)]
        except CheckpointError:
            continue  # damaged: its parts are nobody's
        wanted.update(files)
        if path == written:
            own = files
    for part in [*folder.glob(f"*{PART_SUFFIX}"), *folder.glob(".*.tmp")]:
        name = part.name.removeprefix(".")
        # of a later request, and perhaps being written right now
        later = bool(own) and not name.startswith(CHECKPOINT) and name >= min(own)
        if name not in wanted and not later:
            part.unlink(missing_ok=True)


def write_durably(path: Path, data: bytes) -> None:
    """Put `data` on the disk under this name, whole or not at all.

    Raises:
        CheckpointError: the disk is full or not writable (the cause says which).
    """
    temporary = path.with_name(f".{path.stem}.{os.getpid()}.tmp")
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        with open(temporary, "wb") as file:
            file.write(data)
            file.flush()
            os.fsync(file.fileno())
        os.replace(temporary, path)
        sync_folder(path.parent)
    except OSError as error:
        temporary.unlink(missing_ok=True)
        raise CheckpointError(
            f"checkpoint {path} ({len(data):,} bytes) could not be written: {error.strerror}; "
            "earlier checkpoints are untouched"
        ) from error


def sync_folder(folder: Path) -> None:
    """Put the folder's list of names on the disk."""
    descriptor = os.open(folder, os.O_RDONLY | os.O_DIRECTORY)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)
