"""What learners have answered about a checkpoint, made into one: joined, where it came in parts.

Parts that do not make a checkpoint are removed at once: on a disk that is nearly full they would
keep the next one from being written.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import Any

from tuitrain.checkpoint.files import CheckpointError
from tuitrain.checkpoint.joining import join
from tuitrain.checkpoint.parts import Part, State
from tuitrain.checkpoint.pruning import discard
from tuitrain.supervisor.run import Run
from tuitrain.supervisor.snapshot import SavedCounts

__all__ = ["CheckpointError", "checkpoint_of"]


def checkpoint_of(run: Run, answers: Iterable[Mapping[str, Any]]) -> str | None:
    """Path of the checkpoint that all these answers together amount to, noted in the run.

    Args:
        answers: what each worker said, with `path` if it has written a whole checkpoint, with
            `part` if it has written its part of one, `states` if states that belong to it.

    Returns:
        None if nobody has written anything.

    Raises:
        CheckpointError: there are parts, but they could not be joined; the message says why.
    """

    def warn(text: str) -> None:
        run.journal.event(text, level="warning")

    told, saved = [], []
    counts = SavedCounts()
    for answer in answers:
        counts.add(answer)
        if isinstance(path := answer.get("path"), str):
            for text in answer.get("warnings", ()):
                warn(text)
            run.note_checkpoint(path, counts)
            return path
        if "part" in answer:
            told.append(answer["part"])
        saved += answer.get("states", ())
    if not told and not saved:
        return None
    folder = run.folder.checkpoints
    parts: list[Part] = []
    states: list[State] = []
    try:
        parts = [Part.read(fields) for fields in told]
        states = [State.read(fields) for fields in saved]
        if states and (absent := set(run.state_of) - {state.worker for state in states}):
            raise CheckpointError(f"the state of {', '.join(sorted(absent))} has not been saved")
        policies = [policy.name for policy in run.view.policies]
        joined = join(folder, parts, policies, run.config.run.keep_checkpoints, states, warn)
    except (ValueError, OSError, CheckpointError) as error:
        discard(folder, [*parts, *states])
        raise CheckpointError(str(error)) from error
    run.note_checkpoint(str(joined), counts)
    return str(joined)
