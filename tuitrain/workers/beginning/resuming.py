"""Where a run goes on: at its newest sound checkpoint, if that was made with what the run has now.

The probe asks, so that a checkpoint that does not fit is refused before any worker is started.
Environment and networks are compared as values, not by their hashes: what was stored before specs
had some field is read as it was meant then.
"""

from __future__ import annotations

import contextlib
from pathlib import Path
from typing import Any

from torch import nn

from tuitrain.checkpoint.choice import aside, best_aside, best_back
from tuitrain.checkpoint.files import checkpoints
from tuitrain.checkpoint.payload import CheckpointError, load, newest
from tuitrain.envs.spec import EnvSpec
from tuitrain.learning.saved import RestoreError, check_modules_fit
from tuitrain.metrics.rewind import Rewind
from tuitrain.workers.blueprint import Base

CHECKPOINT_SCHEMA = 1


class CannotResume(RuntimeError):
    """The checkpoint was made with another environment or network; the message says in what."""


def read_base(folder: Path | None) -> tuple[Base, dict[str, Any], list[str]]:
    """Counters and content of the newest good checkpoint, or zeros and nothing.

    Args:
        folder: of the checkpoints; None of a run that has no folder yet.

    Returns:
        Also one line for each newer checkpoint that was passed over because it is damaged.

    Raises:
        CheckpointError: there are checkpoints, but all are damaged.
        CannotResume: it was written in another form.
    """
    if folder is None or not folder.is_dir() or (found := newest(folder, with_state=True)) is None:
        return Base(), {}, []
    path, payload, skipped = found
    if payload["schema"] != CHECKPOINT_SCHEMA:
        raise CannotResume(
            f"{path} has checkpoint schema {payload['schema']}; this version of tuitrain reads "
            f"{CHECKPOINT_SCHEMA}"
        )
    session = _last_session(folder, payload, passed_over=bool(skipped)) + 1
    base = Base(
        session=session,
        stream=session,
        steps=payload["steps"],
        inserts=payload["inserts"],
        updates=payload["updates"],
        versions=payload["versions"],
        checkpoint=str(path),
        began={
            n: (passed, payload["updates"][n]) for n, passed in payload.get("passed", {}).items()
        },
        reproducible=False,  # unless ``taking_over`` finds all of its state
    )
    return base, payload, skipped


def settle_best(folder: Path, base: Base) -> list[str]:
    """Put best weights that were moved with the newer checkpoints back if they are not newer.

    What was earned after the checkpoint that was gone back to is void, and nothing that is measured
    from there on may have to beat it.

    Returns:
        What to tell of those that stay aside.
    """
    if (path := best_aside(folder)) is None:
        return []
    try:
        best = load(path)
        steps = int(best["steps"])
        counts = [{"steps": steps, "policy": p, "updates": n} for p, n in best["updates"].items()]
    except (CheckpointError, KeyError, TypeError, ValueError, AttributeError) as error:
        return [f"the best weights of before are put aside, for they cannot be read: {error}"]
    back_to = Rewind(base.steps, base.updates)
    if not any(back_to.voids(count) for count in counts):
        best_back(folder)
        return []
    return [
        f"the best weights of before, of {steps:,} environment steps, came after the checkpoint "
        "and are put aside; the best is looked for anew"
    ]


def of_this_session(folder: Path, session: int) -> tuple[Path, dict[str, Any]] | None:
    """The newest sound checkpoint that this session has written, and its content; None if none.

    Others are a predecessor's start at best, which the run's base names already. They may be later
    ones, of another past: a checkpoint that was passed over because its state is damaged stays
    where it is if it cannot be put aside, and its networks can be read.
    """
    for path in reversed(checkpoints(folder)):
        try:
            payload = load(path)
        except CheckpointError:
            continue
        if payload["session"] == session:
            return path, payload
    return None


def _last_session(folder: Path, payload: dict[str, Any], *, passed_over: bool) -> int:
    """The last one that has left a checkpoint that can be read, though perhaps not gone on from.

    Args:
        payload: of the checkpoint that is gone on from.
        passed_over: whether there are newer ones beside it; others may have been put aside.
    """
    places = [*aside(folder), *([folder] if passed_over else [])]
    return max(int(payload["session"]), *map(_session_of_newest, places), 0)


def _session_of_newest(folder: Path) -> int:
    """Of the newest checkpoint that can be read: in one folder a later session has newer ones."""
    for path in reversed(checkpoints(folder)):
        with contextlib.suppress(CheckpointError):
            return int(load(path).get("session", 0))
    return 0


def check_environment(payload: dict[str, Any], spec: EnvSpec) -> None:
    """Raise ``CannotResume`` unless the checkpoint was made with this environment.

    Args:
        payload: of a checkpoint; empty if there is none, which always fits.
    """
    if not payload:
        return
    different = spec.differences(EnvSpec.from_dict(payload["spec"]))
    if different:
        raise CannotResume(
            "the checkpoint was made with another environment than this run has now ("
            f"here: now; there: in the checkpoint): {'; '.join(different)}; undo the change, or "
            "launch a new run"
        )


def check_network(payload: dict[str, Any], policy: str, network: nn.Module) -> None:
    """Raise ``CannotResume`` unless the checkpoint's weights of `policy` fit its network.

    Args:
        payload: as above.
    """
    if not payload:
        return
    stored = payload["policies"][policy]["dqn"]["online"]
    try:
        check_modules_fit("online", network.state_dict(), stored)
    except RestoreError as error:
        raise CannotResume(
            f"the checkpoint's weights of {policy} do not fit the network that learner.network, "
            f"learner.dueling and [algorithm] give now: {error}; undo the change, or launch a new "
            "run"
        ) from error
