"""Which checkpoints stay, and what is no checkpoint's and goes."""

from __future__ import annotations

import contextlib
import os
from collections.abc import Callable, Collection, Sequence
from pathlib import Path

from tuitrain import regular
from tuitrain.checkpoint.files import (
    BEST,
    CHECKPOINT,
    MANIFEST_SUFFIX,
    CheckpointError,
    Unreadable,
    checkpoints,
)
from tuitrain.checkpoint.manifest import files_of
from tuitrain.checkpoint.parts import PART_SUFFIX, STATE_SUFFIX, Part, State

Warn = Callable[[str], None]


def keep_for_good(checkpoint: Path) -> None:
    """Let no ``prune`` remove this checkpoint: a person has asked for it. Raises OSError."""
    kept_mark(checkpoint).touch(mode=0o600)


def kept_mark(checkpoint: Path) -> Path:
    """The empty file that says that a checkpoint is not to be pruned."""
    return checkpoint.with_name(f"kept-{checkpoint.stem}")


def hold(folder: Path, names: Collection[str]) -> None:
    """Let no ``prune`` remove these checkpoints, and again all others that were held. OSError."""
    wanted = {held_mark(folder / name) for name in names if (folder / name).exists()}
    there = set(regular.listed(folder, "held-*"))
    for mark in wanted - there:
        mark.touch(mode=0o600)
    for mark in there - wanted:
        mark.unlink(missing_ok=True)


def held_mark(checkpoint: Path) -> Path:
    """The empty file that says that a run which is on its way may go back to this checkpoint."""
    return checkpoint.with_name(f"held-{checkpoint.stem}")


def prune(folder: Path, written: Path, keep: int, warn: Warn | None = None) -> None:
    """Remove all checkpoints but `written` and the newest others, and what nobody needs.

    Those that were made by hand (``keep_for_good``) or are held stay and do not count.

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
    others = [p for p in others if p.stem != written.stem and not _is_marked(p)]
    for path in [*again, *others[: max(0, len(others) - (keep - 1))]]:
        _try_to_remove(path, failed)
    marks = {mark(path) for path in checkpoints(folder) for mark in (kept_mark, held_mark)}
    for mark in regular.listed(folder, "kept-*", "held-*"):
        if mark not in marks:  # else what comes to be called so would be kept as well
            _try_to_remove(mark, failed)
    wanted, unsound = _wanted(folder)  # of a damaged one the parts are nobody's
    if any(isinstance(error, Unreadable) for error in unsound):
        return
    own = files_of(written) if written.suffix == MANIFEST_SUFFIX else []
    for part in _parts_and_temporaries(folder):
        name = part.name.removeprefix(".")
        # of a later request, and perhaps being written right now
        later = bool(own) and not name.startswith(CHECKPOINT) and name >= min(own)
        if name not in wanted and not later:
            _try_to_remove(part, failed)


def _is_marked(checkpoint: Path) -> bool:
    return kept_mark(checkpoint).exists() or held_mark(checkpoint).exists()


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
            wanted.update(files_of(path))
        except CheckpointError as error:
            unsound.append(error)
    return wanted, unsound


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
