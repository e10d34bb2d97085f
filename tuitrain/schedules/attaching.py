"""What every worker process of a run begins with."""

from __future__ import annotations

from tuitrain.workers.blueprint import Blueprint
from tuitrain.workers.child import ChildArgs
from tuitrain.workers.link import Link
from tuitrain.workers.stores import Stores, attach


def attached(args: ChildArgs, link: Link) -> tuple[Blueprint, Stores]:
    """The blueprint and the run's shared memory, in which this worker shows what it does."""
    blueprint = args.blueprint
    assert blueprint is not None
    stores = attach(blueprint, args.handles)
    link.counters.phases.show_in(stores.board.phase_word(args.role, args.index))
    return blueprint, stores
