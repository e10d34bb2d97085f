"""Going on from an earlier checkpoint: which is meant, and where the newer ones go meanwhile.

A run always goes on from the newest checkpoint in its folder, so to go back the newer ones are
moved into a folder beside it. They are kept; if the run does not come up they are moved back, by
its supervisor or, where that was killed, by the next `resume`. Knows files and names, not what is
in them.
"""

from __future__ import annotations

import contextlib
import json
import os
import re
from pathlib import Path

from tuitrain import regular
from tuitrain.checkpoint.files import (
    BEST,
    CHECKPOINT,
    MANIFEST_SUFFIX,
    checkpoints,
    contents,
    sync_folder,
)
from tuitrain.checkpoint.pruning import kept_mark

_ASIDE = re.compile(r"set-aside-(\d+)")
_PENDING = "set-aside.pending"
_RETURN = "going-back-"
"""The empty file of this name and a checkpoint's says that a living run is on its way back to that;
empty, for a full disk has room for a name where it has none for a byte."""


class NoSuchCheckpoint(ValueError):
    """Nothing, or nothing to resume from, is called that; the message says what there is."""


def choose(folder: Path, text: str) -> Path:
    """The checkpoint that a person means.

    Args:
        folder: the run's checkpoints.
        text: a number of updates, or a file's name with or without its suffix.

    Raises:
        NoSuchCheckpoint: there is none of that name; the message lists those that there are.
    """
    name = Path(text).name
    if name in (BEST, Path(BEST).stem):
        raise NoSuchCheckpoint(
            f"{BEST} holds weights alone, no optimizer and no target network, so nothing can go on "
            "from it; `tuitrain launch CONFIG --init-from RUN/best` starts a new run with them"
        )
    there = checkpoints(folder)
    for path in reversed(there):
        if name in (path.name, path.stem) or (name.isdecimal() and _updates(path) == int(name)):
            return path
    listed = ", ".join(_told(path) for path in there) or "none"
    raise NoSuchCheckpoint(f"no checkpoint {text!r} in {folder}; there are: {listed}")


def set_aside(folder: Path, chosen: Path, *, best: bool = False) -> list[Path]:
    """Move the checkpoints newer than `chosen`, with what belongs to them, until it is settled.

    Args:
        best: the best weights as well. Whoever can read them puts those back that are not newer
            (``best_aside``): a file's name does not say it.

    Returns:
        The checkpoints that were moved, as they were called.

    Raises:
        NoSuchCheckpoint: `chosen` has gone meanwhile.
        OSError: some could not be moved.
    """
    there = checkpoints(folder)
    if chosen not in there:
        raise NoSuchCheckpoint(f"{chosen.name} is not there any more")
    newer = there[there.index(chosen) + 1 :]
    best = best and (folder / BEST).is_file()
    if not newer and not best:
        return []
    kept = {name for path in there if path not in newer for name in _named_by(path)}
    pending = folder / _PENDING
    pending.mkdir(mode=0o700, exist_ok=True)  # some may lie there: a start may pass over more
    for path in newer:
        own = [name for name in _named_by(path) if name not in kept]
        own.append(kept_mark(path).name)
        for name in [path.name, *own]:  # the manifest first: what is there is whole
            with contextlib.suppress(FileNotFoundError):
                os.rename(folder / name, pending / name)
    if best:
        os.rename(folder / BEST, pending / BEST)
    sync_folder(pending)
    sync_folder(folder)
    return newer


def unsettled(folder: Path) -> list[Path]:
    """The checkpoints that were moved and may yet come back, as they are called now."""
    pending = folder / _PENDING
    return checkpoints(pending) if pending.is_dir() else []


def best_aside(folder: Path) -> Path | None:
    """The best weights that were moved and are not settled yet; None if none were."""
    path = folder / _PENDING / BEST
    return path if path.is_file() else None


def best_back(folder: Path) -> None:
    """Put them back: they are not of what the run has gone back behind. Raises OSError."""
    os.rename(folder / _PENDING / BEST, folder / BEST)
    sync_folder(folder)


def keep_aside(folder: Path) -> Path | None:
    """The run has gone on: what was moved stays where it is, under a name of its own.

    Returns:
        The folder; None if nothing was moved.
    """
    pending = folder / _PENDING
    if not pending.is_dir():
        return None
    with contextlib.suppress(OSError):  # it is not empty
        pending.rmdir()
        return None
    taken = [int(found[1]) for p in folder.iterdir() if (found := _ASIDE.fullmatch(p.name))]
    kept = folder / f"set-aside-{max(taken, default=0) + 1}"
    os.rename(pending, kept)
    sync_folder(folder)
    return kept


def put_back(folder: Path) -> list[Path]:
    """The run has not come up: what was moved lies where it was.

    Returns:
        The checkpoints that are back; empty if none had been moved.
    """
    pending = folder / _PENDING
    if not pending.is_dir():
        return []
    parts_first = sorted(
        pending.iterdir(), key=lambda path: (path.name.startswith(CHECKPOINT), path.name)
    )
    for path in parts_first:
        os.rename(path, folder / path.name)
    pending.rmdir()
    sync_folder(folder)
    return [folder / path.name for path in parts_first if path.name.startswith(CHECKPOINT)]


def begin_return(folder: Path, checkpoint: Path) -> None:
    """A living run goes back to this checkpoint; until it is settled a resume does so as well.

    Else a run that is killed on its way would be gone on from the newest, of after the failure,
    and the one that it went back to be pruned. Raises OSError.
    """
    end_return(folder)
    (folder / f"{_RETURN}{checkpoint.stem}").touch(mode=0o600)


def returning_to(folder: Path) -> Path | None:
    """The checkpoint that the run was on its way back to; None if it was not, or that has gone."""
    try:
        marks = {path.name for path in regular.listed(folder, f"{_RETURN}*")}
        there = checkpoints(folder) if marks else []
    except OSError:
        return None
    return next((path for path in there if f"{_RETURN}{path.stem}" in marks), None)


def end_return(folder: Path) -> None:
    """The run has gone on, from wherever it did. Raises OSError."""
    for mark in regular.listed(folder, f"{_RETURN}*"):
        mark.unlink(missing_ok=True)


def aside(folder: Path) -> list[Path]:
    """Folders of checkpoints that were moved, for good or not yet. Raises OSError."""
    return [path for path in regular.listed(folder, "set-aside*") if path.is_dir()]


def _named_by(path: Path) -> list[str]:
    """Files that a manifest names, however damaged it is; of a whole file none."""
    if path.suffix != MANIFEST_SUFFIX:
        return []
    try:
        content = json.loads(contents(path))
        lists = [value for value in content.values() if isinstance(value, list)]
    except (RuntimeError, ValueError, AttributeError, RecursionError):
        return []
    found = [fields for each in lists for fields in each if isinstance(fields, dict)]
    names = [str(fields["file"]) for fields in found if "file" in fields]
    return [n for n in names if Path(n).name == n and not n.startswith((CHECKPOINT, "."))]


def _updates(path: Path) -> int | None:
    number = path.stem.removeprefix(CHECKPOINT)
    return int(number) if number.isdecimal() else None


def _told(path: Path) -> str:
    updates = _updates(path)
    return path.name if updates is None else f"{updates} ({path.name})"
