"""Checkpoints: written whole or not at all, verified when read, the newest sound one wins.

A checkpoint is an ordinary ``torch.save`` file whose SHA-256 stands in the archive comment of the
zip it is: one file and one rename, so content and checksum cannot part. It is read with
``weights_only=True``: tensors and plain values, never code. What the values mean is the caller's.
One written by several processes is such a file of each and a manifest (``manifest.py``), and
reads as if it had been one.
"""

from __future__ import annotations

import hashlib
import io
import re
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import torch

from tuitrain.checkpoint.choice import aside
from tuitrain.checkpoint.files import (
    MANIFEST_SUFFIX,
    SUFFIX,
    CheckpointError,
    check_name,
    checkpoints,
    contents,
    write_durably,
)
from tuitrain.checkpoint.manifest import parts_of, states_of
from tuitrain.checkpoint.parts import PART_SUFFIX, Part
from tuitrain.checkpoint.pruning import Warn, prune
from tuitrain.checkpoint.state import verify

__all__ = ["CheckpointError", "load", "load_whole", "newest", "save", "save_part", "write"]

_COMMENT = b"sha256="
_DIGEST_CHARS = 64
_TRAILER_BYTES = 2 + len(_COMMENT) + _DIGEST_CHARS  # length of the comment, then the comment
_END_OF_ZIP = b"PK\x05\x06"
_END_OF_ZIP_BYTES = 22
_REASON = re.compile(
    r"(?:WeightsUnpickler error: |(?=Trying to load ))(.+?)(?:[.] |[.]?$)", re.MULTILINE
)


def save(
    folder: Path, payload: dict[str, Any], name: str, keep: int, warn: Warn | None = None
) -> Path:
    """Write a checkpoint durably, then remove the oldest ones.

    The file appears under its name only when it is complete and on the disk; if anything fails
    on the way, all earlier checkpoints are still there.

    Args:
        folder: where checkpoints lie; made if absent.
        payload: tensors and plain values (numbers, text, None, lists, tuples, dicts).
        name: e.g. ``ckpt-0000001200``; names must sort by age.
        keep: how many stay (by name, newest; the one written stays in any case), at least 1.
        warn: told in words of what could not be removed.

    Returns:
        The file's path, ``folder/name.pt``.

    Raises:
        CheckpointError: the payload holds something ``load`` would refuse, or the disk is full
            or not writable (the cause says which).
    """
    if keep < 1:
        raise ValueError(f"keep must be at least 1, got {keep}")
    check_name(name)
    path = folder / (name + SUFFIX)
    write_durably(path, _pack(payload))
    prune(folder, path, keep, warn)
    return path


def write(path: Path, payload: dict[str, Any]) -> None:
    """Write one file as ``save`` does, under any name; nothing is removed for it.

    Raises:
        CheckpointError: as ``save`` does.
    """
    write_durably(path, _pack(payload))


def save_part(
    folder: Path, payload: dict[str, Any], name: str, policies: Sequence[str], updates: int
) -> Part:
    """Write one process's part of a checkpoint durably. It counts once it has been joined.

    Args:
        folder, payload: as in ``save``.
        name: see ``files.part_name``.
        policies, updates: see ``Part``.

    Raises:
        CheckpointError: as ``save`` does.
    """
    check_name(name)
    data = _pack(payload)
    path = folder / (name + PART_SUFFIX)
    write_durably(path, data)
    return Part(path.name, _told_digest(data), tuple(policies), updates)


def load(path: Path) -> dict[str, Any]:
    """Read and verify one checkpoint, whole or joined of parts; tensors come to the CPU.

    Raises:
        CheckpointError: no such file, cut short, changed since it was written, a part of another
            checkpoint, it holds something other than tensors and plain values, or it lacks a policy
            that its own spec names.
    """
    if path.suffix != MANIFEST_SUFFIX:
        whole = _load_file(path, None)
    else:
        parts = parts_of(path)
        try:
            payloads = [_load_file(path.with_name(part.file), part.sha256) for part in parts]
        except CheckpointError as error:
            raise CheckpointError(f"{error} (part of {path.name})") from error
        whole = _united(path, payloads)
    _check_complete(path, whole)
    return whole


def load_whole(path: Path) -> dict[str, Any]:
    """As ``load``, of a checkpoint whose state is sound too: what a run can go on from.

    Raises:
        CheckpointError: as ``load`` does, or the file of a state is damaged.
    """
    payload = load(path)
    for state in states_of(path):
        verify(path.with_name(state.file), state.sha256)
    return payload


def newest(
    folder: Path, *, with_state: bool = False
) -> tuple[Path, dict[str, Any], list[str]] | None:
    """The newest sound checkpoint of a folder.

    Args:
        with_state: one whose state is damaged counts as damaged.

    Returns:
        Its path, its payload, and one line for each newer one that was passed over because it is
        damaged (show them to the user); None if the folder holds no checkpoint at all.

    Raises:
        CheckpointError: there are checkpoints and all of them are damaged.
    """
    skipped: list[str] = []
    for path in reversed(checkpoints(folder)):
        try:
            payload = load_whole(path) if with_state else load(path)
            return path, payload, skipped
        except CheckpointError as error:
            skipped.append(str(error))
    if skipped:
        moved = any(checkpoints(place) for place in aside(folder))
        others = " but those that were put aside" if moved else ""
        raise CheckpointError(f"every checkpoint{others} is damaged:\n" + "\n".join(skipped))
    return None


def _united(path: Path, payloads: list[dict[str, Any]]) -> dict[str, Any]:
    """What the parts hold together: tables are united, of counts the largest is taken.

    Raises:
        CheckpointError: they do not agree on anything else.
    """
    whole = dict(payloads[0])
    for payload in payloads[1:]:
        for key, value in payload.items():
            before = whole.get(key)
            if isinstance(value, dict) and isinstance(before, dict):
                whole[key] = before | value
            elif type(value) is int and type(before) is int:
                whole[key] = max(before, value)
            elif value != before:
                raise CheckpointError(
                    f"checkpoint {path} is damaged: {key} is {before!r} in one part and "
                    f"{value!r} in another"
                )
    return whole


def _check_complete(path: Path, payload: dict[str, Any]) -> None:
    """Raise CheckpointError unless it holds what it says itself that there is."""
    try:
        named, held = set(payload["spec"]["policies"]), set(payload["policies"])
    except (KeyError, TypeError):
        return  # it says nothing of policies
    if named != held:
        raise CheckpointError(
            f"checkpoint {path} is damaged: it holds {', '.join(sorted(held)) or 'nothing'}, but "
            f"its environment's policies are {', '.join(sorted(named))}"
        )


def _load_file(path: Path, sha256: str | None) -> dict[str, Any]:
    data = contents(path)
    _verify(path, data)
    if sha256 is not None and _told_digest(data) != sha256:
        raise CheckpointError(f"checkpoint {path} is damaged: it is a part of another checkpoint")
    return _unpack(path, data)


def _told_digest(data: bytes) -> str:
    """The SHA-256 that a packed checkpoint says of itself."""
    return data[-_DIGEST_CHARS:].decode("ascii", "replace")


def _pack(payload: dict[str, Any]) -> bytes:
    stream = io.BytesIO()
    torch.save(payload, stream)
    data = stream.getvalue()
    if data[-_END_OF_ZIP_BYTES:][:4] != _END_OF_ZIP or data[-2:] != b"\0\0":
        raise CheckpointError("torch.save wrote a file of an unknown form")
    body = data[:-2]  # without the length of the archive comment, which is empty
    comment = _COMMENT + hashlib.sha256(body).hexdigest().encode()
    packed = body + len(comment).to_bytes(2, "little") + comment
    try:  # here, where the values are known, and not in front of somebody who wants to resume
        torch.load(io.BytesIO(packed), map_location="cpu", weights_only=True)
    except Exception as error:
        raise CheckpointError(
            f"a checkpoint may hold tensors and plain values only: {_reason(error)}"
        ) from error
    return packed


def _verify(path: Path, data: bytes) -> None:
    body, trailer = data[:-_TRAILER_BYTES], data[-_TRAILER_BYTES:]
    if not trailer[2:].startswith(_COMMENT) or body[-_END_OF_ZIP_BYTES + 2 :][:4] != _END_OF_ZIP:
        raise CheckpointError(
            f"checkpoint {path} ({len(data):,} bytes) is cut short or not a checkpoint"
        )
    if hashlib.sha256(body).hexdigest().encode() != trailer[-_DIGEST_CHARS:]:
        raise CheckpointError(f"checkpoint {path} is damaged: its bytes do not match its SHA-256")


def _unpack(path: Path, data: bytes) -> dict[str, Any]:
    try:
        payload = torch.load(io.BytesIO(data), map_location="cpu", weights_only=True)
    except Exception as error:
        raise CheckpointError(f"checkpoint {path} cannot be read: {_reason(error)}") from error
    if not isinstance(payload, dict):
        raise CheckpointError(f"checkpoint {path} holds a {type(payload).__name__}, not a dict")
    return payload


def _reason(error: Exception) -> str:
    text = re.sub(r"\x1b\[\d*m", "", str(error)).strip()
    # Torch puts advice (to trust the file) around the reason; only the reason is passed on.
    reason = _REASON.search(text)
    return reason[1] if reason else text.split("\n", 1)[0] or type(error).__name__
