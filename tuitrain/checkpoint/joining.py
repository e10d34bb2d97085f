"""One checkpoint out of what several processes have written.

Where several processes learn, each writes what it holds as a *part*, and whoever has heard from all
of them joins the parts by a manifest. What is in the files is `payload.py`'s business, so the
supervisor can join without torch.
"""

from __future__ import annotations

import json
from collections.abc import Sequence
from pathlib import Path

from tuitrain.checkpoint.files import (
    MANIFEST_SUFFIX,
    CheckpointError,
    checkpoint_name,
    write_durably,
)
from tuitrain.checkpoint.manifest import MANIFEST_SCHEMA, held_by, sha256_of
from tuitrain.checkpoint.parts import Part, State
from tuitrain.checkpoint.pruning import Warn, prune


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
    if sorted(held_by(parts)) != sorted(policies):
        raise CheckpointError(
            f"parts of a checkpoint hold {', '.join(sorted(held_by(parts))) or 'nothing'}, but the "
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
    content["sha256"] = sha256_of(content)
    path = folder / (name + MANIFEST_SUFFIX)
    write_durably(path, (json.dumps(content, indent=1) + "\n").encode())
    prune(folder, path, keep, warn)
    return path
