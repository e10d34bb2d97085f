"""The shared memory of a run, assembled: who makes which segment and which lock guards it.

The supervisor calls ``create`` once and keeps every descriptor; each worker it spawns, and each
successor of a dead one, gets these as ``handles()`` and calls ``attach`` with them. Torch-free.
"""

from __future__ import annotations

import hashlib
from collections.abc import Callable
from dataclasses import dataclass, field
from fractions import Fraction
from pathlib import Path

import numpy as np

from tuitrain.learning.weights import WeightStore
from tuitrain.metrics.phases import Stay, stay
from tuitrain.parts import the
from tuitrain.replay import segment
from tuitrain.replay.buffer import PolicyReplay
from tuitrain.replay.limiter import Limiter
from tuitrain.replay.lock import LockFile, RWLock
from tuitrain.replay.segment import Segment
from tuitrain.workers.blueprint import Blueprint
from tuitrain.workers.board import Board
from tuitrain.workers.handles import Handle, StoreHandles

NAME_PREFIX = "tuitrain"


@dataclass
class Stores:
    """All shared state of a run, attached to this process."""

    limiter: Limiter
    board: Board
    replays: dict[str, PolicyReplay]
    weights: dict[str, WeightStore]
    _locks: LockFile
    _segments: list[Segment] = field(default_factory=list)

    def handles(self) -> StoreHandles:
        """The descriptors, for a worker that is being spawned. Only the creator has them."""
        return StoreHandles(
            Handle(self._locks.fileno()), tuple(Handle(item.fileno()) for item in self._segments)
        )

    def stay(self, role: str, index: int) -> Stay | None:
        """What a worker says in shared memory that it is doing."""
        return stay(self.board.phase_word(role, index)[0])

    def shards(self) -> dict[str, list[dict[str, float | None]]]:
        """Per policy, what is known of every shard of its replay."""
        return {name: replay.look() for name, replay in self.replays.items()}

    def unlink(self) -> None:
        """Remove the names; whoever has a handle can attach all the same."""
        for item in self._segments:
            segment.unlink(item.name)

    def close(self) -> None:
        """Detach. What was created stays until ``unlink_all``."""
        self.replays.clear()
        self.weights.clear()
        del self.limiter, self.board
        for item in self._segments:
            item.close()
        self._locks.close()


def segment_prefix(run_id: str) -> str:
    """Every shared-memory name of a run begins like this."""
    return f"{NAME_PREFIX}-{run_id}-"


def needed_bytes(blueprint: Blueprint) -> int:
    """Shared memory that the run will reserve."""
    return sum(nbytes for _, nbytes, _ in _plan(blueprint))


def create(blueprint: Blueprint) -> Stores:
    """Reserve and initialise everything.

    Raises:
        SegmentSpaceError: /dev/shm is too small; nothing has been created.
    """
    segment.check_space(needed_bytes(blueprint))
    locks = LockFile.create(Path(blueprint.lock_path))
    stores = _assemble(blueprint, locks, segment.create)
    names = blueprint.policies
    base = blueprint.base
    seen = (
        [base.since_inserts.get(p, 0) for p in names],
        [base.since_updates.get(p, 0) for p in names],
    )
    before = [base.before_replay(p) for p in names]
    stores.limiter.set_base(
        base.steps - base.since_steps, [n for n, _ in before], [n for _, n in before]
    )
    stores.limiter.set_counts(base.since_steps, *seen)
    for place, name in enumerate(names):
        if name in base.ratios:
            ratio, *since = base.ratios[name]
            stores.limiter.set_ratio(place, Fraction(ratio), *since)
        stores.limiter.change_ratio(place, blueprint.config.learner.updates_per_transition)
    board = stores.board
    board.eval_request = board.eval_taken = board.eval_done = base.evaluations
    board.eval_steps = base.steps  # none of these is due any more
    for name in names:
        stores.replays[name].initialise()
        # who goes on exactly publishes the weights of then once more, as the version they were
        stores.weights[name].initialise(base.versions.get(name, 0) - base.exact)
    return stores


def attach(blueprint: Blueprint, handles: StoreHandles | None = None) -> Stores:
    """Open what the supervisor created.

    Args:
        handles: its descriptors, with which no name is needed; None: by name (tools, tests).

    Raises:
        SegmentMismatch: a segment has another layout than this process computes.
        FileNotFoundError: without handles: the run's memory is gone.
    """
    path = Path(blueprint.lock_path)
    if handles is None:
        return _assemble(blueprint, LockFile.open(path), segment.attach)
    descriptors = iter(handles.segments)

    def adopt(name: str, nbytes: int, layout_hash: bytes) -> Segment:
        return segment.adopt(next(descriptors).fd, name, nbytes, layout_hash)

    return _assemble(blueprint, LockFile.adopt(handles.lock.fd, path), adopt)


def unlink_all(run_id: str) -> list[str]:
    """Remove every segment of a run; returns the names removed."""
    names = segment.list_names(segment_prefix(run_id))
    return [name for name in names if segment.unlink(name)]


def _plan(blueprint: Blueprint) -> list[tuple[str, int, bytes]]:
    """(name, payload bytes, layout hash) of every segment: control, then per policy two."""
    prefix = segment_prefix(blueprint.run_id)
    policies, actors = len(blueprint.policies), blueprint.n_actors
    learners = blueprint.n_learners
    words = _limiter_words(blueprint) + Board.size(policies, actors, learners)
    control_hash = hashlib.sha256(f"control {policies} {actors} {words}".encode()).digest()
    plan = [(f"{prefix}control", words * 8, control_hash)]
    for i, policy in enumerate(blueprint.policies):
        replay = blueprint.replay_layout(policy)
        weights = blueprint.weights[policy]
        plan.append((f"{prefix}replay{i}", replay.nbytes, replay.layout_hash()))
        plan.append(
            (
                f"{prefix}weights{i}",
                WeightStore.segment_bytes(weights, actors + 1),
                weights.layout_hash(),
            )
        )
    return plan


def _limiter_words(blueprint: Blueprint) -> int:
    return int(np.prod(Limiter.table_shape(len(blueprint.policies), blueprint.n_actors)))


def _assemble(
    blueprint: Blueprint, locks: LockFile, open_segment: Callable[[str, int, bytes], Segment]
) -> Stores:
    plan = _plan(blueprint)
    segments: list[Segment] = []
    try:
        for name, nbytes, layout_hash in plan:
            segments.append(open_segment(name, nbytes, layout_hash))
    except BaseException:
        for item in segments:
            item.close()
        locks.close()
        raise
    deadline_s = blueprint.config.supervisor.lock_deadline_s
    actors, policies = blueprint.n_actors, blueprint.policies
    resource = iter(range(1 + len(policies) * (1 + actors)))

    def lock(name: str) -> RWLock:
        return locks.rwlock(next(resource), name, deadline_s)

    control = np.frombuffer(segments[0].buf, dtype=np.int64)
    words = _limiter_words(blueprint)
    limiter = the(Limiter)(
        control[:words].reshape(Limiter.table_shape(len(policies), actors)),
        [blueprint.limiter_rule(p) for p in policies],
        lock("limiter"),
        blueprint.config.run.total_steps,
        actors,
    )
    sizes = len(policies), actors, blueprint.n_learners
    board = Board(control[words : words + Board.size(*sizes)], *sizes)
    replays: dict[str, PolicyReplay] = {}
    weights: dict[str, WeightStore] = {}
    for i, policy in enumerate(policies):
        shard_locks = [lock(f"replay {policy} a{a}") for a in range(actors)]
        replays[policy] = PolicyReplay(
            blueprint.replay_layout(policy), segments[1 + 2 * i], shard_locks
        )
        weights[policy] = the(WeightStore)(
            blueprint.weights[policy], segments[2 + 2 * i], lock(f"weights {policy}"), actors + 1
        )
    return Stores(limiter, board, replays, weights, locks, segments)
