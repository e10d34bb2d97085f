"""What an actor saves beside the learners' part of a checkpoint, and goes on from.

Its rows are written by itself, between two chunks: it is their only writer, so nothing moves, and
nobody needs to pin or copy them. With them go its random streams, its environments and how far
their episodes are, where the environments can be saved.
"""

from __future__ import annotations

import json
from collections.abc import Callable
from dataclasses import asdict
from pathlib import Path
from typing import Any

from tuitrain.checkpoint.files import part_name
from tuitrain.checkpoint.state import StateFile, save_state
from tuitrain.workers.acting.actor import Actor
from tuitrain.workers.blueprint import Blueprint

SCHEMA = 1

MAX_REASON = 1_000
"""Characters of why environments do not take their state back: it must fit a message."""


def save_actor(
    blueprint: Blueprint,
    actor: Actor,
    request: int | None,
    moment: str | None,
    tick: Callable[[], None],
    warn: Callable[[str], None],
) -> dict[str, Any]:
    """Write an actor's state part, between two chunks.

    Args:
        request: number of the command that asks for it; None at the end of training.
        moment: names the boundary between rounds at which all save; None: each when it can.
        tick: called after every piece.
        warn: told, in words, that the environments could not be saved, though they can be.

    Returns:
        Fields of a ``parts.State``.

    Raises:
        CheckpointError: it could not be written; earlier checkpoints are untouched.
    """
    why = blueprint.unsaved_environment
    if moment is None:
        why = why or "saved at no boundary between rounds"
    state: dict[str, Any]
    try:
        state = actor.state(environments=not why)
    except Exception as error:  # an environment's own: it can raise anything
        why = f"{type(error).__name__}: {error}"
        state = actor.state(environments=False)
        warn(
            f"the environments of a{actor.index} could not be saved this time: {why}; a run that "
            "is resumed from this checkpoint begins new episodes"
        )
    worker = f"a{actor.index}"
    tree = {
        "schema": SCHEMA,
        "moment": moment,
        "layouts": layouts(blueprint),
        "versions": {n: s.version() for n, s in actor.stores.weights.items()},
        "unsaved": why,
        "begun_anew": actor.begun_anew,
        "actor": state,
    }
    columns = {
        f"{blueprint.policies.index(policy)}.{name}": pieces
        for policy, held in actor.rows().items()
        for name, pieces in held.items()
    }
    name = part_name(blueprint.base.session, request, worker)
    return save_state(blueprint.checkpoints(), name, worker, tree, columns, tick).to_dict()


def restore_actor(blueprint: Blueprint, actor: Actor) -> str:
    """Take over what the run's checkpoint has of this actor, if it goes on from one with state.

    An actor that replaces another one in living shards goes on with those, and takes over nothing.

    Returns:
        Why the environments do not take their state back; empty if they do, or are not to. The
        rows are taken over, but the actor is of no use: its successor begins new episodes.

    Raises:
        CheckpointError: the file has been damaged since it was looked at.
    """
    base = blueprint.base
    path = base.states.get(f"a{actor.index}")
    if path is None or not actor.first:
        return ""
    with StateFile(Path(path)) as file:
        state = file.tree["actor"]

        def fill(policy: str, columns: dict[str, list[Any]]) -> None:
            place = blueprint.policies.index(policy)
            for name, pieces in columns.items():
                file.column(f"{place}.{name}", pieces)

        actor.take_rows(state, fill)
        if base.exact:
            try:
                actor.restore(state)
            except Exception as error:  # an environment's own: it can raise anything
                return f"{type(error).__name__}: {error}"[:MAX_REASON]
    return ""


def layouts(blueprint: Blueprint) -> dict[str, Any]:
    """What the form of every policy's rows depends on, as plain values."""
    fields = {name: asdict(blueprint.replay_layout(name)) for name in blueprint.policies}
    plain: dict[str, Any] = json.loads(json.dumps(fields))
    return plain
