"""`run.init_from`: whose weights a new run begins with, from what a person writes to one file.

Settled at launch to the absolute path of a checkpoint, since `latest` or a run's newest is another
one tomorrow. Reads names, not content; imports no torch.
"""

from __future__ import annotations

import os
from pathlib import Path

from tuitrain.checkpoint.files import (
    BEST,
    MANIFEST_SUFFIX,
    SUFFIX,
    checkpoints,
)
from tuitrain.config.runs import RunFolder, RunFolderError, find_run

WEIGHTS_NAME = "init.pt"
"""File of the run folder with the weights that the run begins with, once the probe has seen them.

The checkpoint they came from may be pruned, or become another best, while the run goes on.
"""


def settled(text: str, folder: Path, out_dir: Path) -> str:
    """Absolute path of the checkpoint meant.

    Args:
        text: a checkpoint's file, a run's folder or name, or one of these with `/best` behind it.
        folder: what relative paths are relative to.
        out_dir: where runs are looked for by name, before `runs` in `folder`.

    Raises:
        ValueError: there is no such run, or it has no checkpoint; the message says which. An
            absolute path of a file is taken as it is: it has been settled before.
    """
    path = Path(os.path.normpath(folder / Path(text).expanduser()))
    if path.is_file() or (Path(text).is_absolute() and path.suffix in (SUFFIX, MANIFEST_SUFFIX)):
        return str(path)
    best = Path(text).name in (BEST, Path(BEST).stem) and len(Path(text).parts) > 1
    name = str(Path(text).parent) if best else text
    run = _run(name, folder, out_dir)
    if best:
        found = run.checkpoints / BEST
        if not found.is_file():
            raise ValueError(f"{run.name} has no {BEST}: it has not been evaluated yet.")
        return str(found)
    there = checkpoints(run.checkpoints)
    if not there:
        raise ValueError(f"{run.name} has no checkpoint yet.")
    return str(there[-1])


def _run(name: str, folder: Path, out_dir: Path) -> RunFolder:
    path = Path(os.path.normpath(folder / Path(name).expanduser()))
    if (path / "config.toml").is_file():
        return RunFolder(path)
    if path.name == "checkpoints" and (path.parent / "config.toml").is_file():
        return RunFolder(path.parent)
    told = []
    for place in dict.fromkeys((out_dir, folder / "runs")):
        try:
            return find_run(name, place)
        except RunFolderError as error:
            told.append(str(error))
    raise ValueError(f"is neither a checkpoint's file nor a run: {told[0]}")
