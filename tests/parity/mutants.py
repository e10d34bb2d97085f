"""Faulty actors and learners, run in `lockstep` in the place of the real ones.

Each commits one of the faults by which a parallel trainer silently learns something else than its
sequential version. They are entry functions for ``Fleet.run(entries=...)``.
"""

from __future__ import annotations

from contextlib import nullcontext
from dataclasses import replace
from typing import Any

import numpy as np

from tuitrain.parts import PROCESS
from tuitrain.replay.limiter import Ticket
from tuitrain.replay.window import gather_stack
from tuitrain.schedules import lockstep
from tuitrain.workers.acting.actor import Actor
from tuitrain.workers.child import ChildArgs
from tuitrain.workers.learners.learner import Learner
from tuitrain.workers.link import Link


def _learner(kind: type[Learner], args: ChildArgs, link: Link) -> None:
    with PROCESS.restored() as parts:
        parts.replace(Learner, kind)
        lockstep.run_learner(args, link)


def _actor(kind: type[Actor], args: ChildArgs, link: Link) -> None:
    with PROCESS.restored() as parts:
        parts.replace(Actor, kind)
        lockstep.run_actor(args, link)


# ---- the group's double soft_update ------------------------------------------------------------


class DoubleTargetUpdate(Learner):
    """Updates the target a second time whenever the rule has updated it."""

    def step(self, policy: str, phases: Any = None, *, sure: int = 1) -> None:
        dqn = self.policies[policy].dqn
        before = dqn.target_updates
        super().step(policy, phases, sure=sure)
        if dqn.target_updates > before:
            # hard copies are idempotent, so the second one comes where it changes something:
            # at the next update, as an extra call in a loop would
            self._again = dqn
        elif getattr(self, "_again", None) is dqn:
            dqn._update_target()
            self._again = None


def double_target_update(args: ChildArgs, link: Link) -> None:
    _learner(DoubleTargetUpdate, args, link)


# ---- an actor whose frames are not the learner's -----------------------------------------------


class ShiftedStack(Actor):
    """Acts on the stack of the row before (of the same row at the very first step)."""

    def __init__(self, *args: Any) -> None:
        super().__init__(*args)
        for part in self.parts.values():
            part.choose = _shifted(part)


def _shifted(part: Any) -> Any:
    def choose(row: int, epsilon: float) -> Any:
        part._rows[:] = max(0, row - 1)
        gather_stack(
            part.writer.columns,
            part.writer.ring,
            part._shard_ids,
            part._rows,
            part._lane_ids,
            part._n_frames,
            part._stacked,
        )
        return part.policy.act(part._stacked, epsilon, part._rng)

    return choose


def shifted_stack(args: ChildArgs, link: Link) -> None:
    _actor(ShiftedStack, args, link)


# ---- weights one round older -------------------------------------------------------------------


class OlderWeights(Actor):
    """Acts in round r with W(r-2): what it pulled in the round before."""

    def pull(self) -> None:
        for part in self.parts.values():
            kept = getattr(part, "kept", None)
            fresh = np.empty_like(part.policy.buffer)
            published = part._store.pull(part._reader, fresh)
            part.policy.load(fresh if kept is None else kept, published.version)
            part.kept = fresh


def older_weights(args: ChildArgs, link: Link) -> None:
    _actor(OlderWeights, args, link)


# ---- epsilon synced too late -------------------------------------------------------------------


class StaleEpsilon(Actor):
    """Knows the global step count of the round before."""

    _stale = 0  # a heartbeat may ask before the first round

    def begin(self, ticket: Ticket, rows: int, wait: Any = None) -> None:
        self._stale = getattr(self, "_fresh", ticket.step_base)
        self._fresh = ticket.step_base
        super().begin(ticket, rows, wait)

    def planned_epsilon(self) -> float:
        ticket, self._ticket = self._ticket, replace(self._ticket, step_base=self._stale)
        try:
            return super().planned_epsilon()
        finally:
            self._ticket = ticket


def stale_epsilon(args: ChildArgs, link: Link) -> None:
    _actor(StaleEpsilon, args, link)


# ---- global random state shared by everything in the process ----------------------------------


class NoFence(Actor):
    """Environments draw from the process's own global random state."""

    def __init__(self, *args: Any) -> None:
        super().__init__(*args)
        self.random = nullcontext()


def no_fence(args: ChildArgs, link: Link) -> None:
    _actor(NoFence, args, link)


# ---- windows that are not the round's ----------------------------------------------------------


class _LooksAhead(Learner):
    """Its readers take rows past the shards' heads for committed."""

    def __init__(self, *args: Any) -> None:
        super().__init__(*args)
        for learner in self.policies.values():
            index = learner.reader._index
            index.advance = self._ahead(index.advance)

    def _ahead(self, advance: Any) -> Any:
        return lambda low, head: advance(low, head + np.where(head > 0, self.rows_ahead(), 0))

    def rows_ahead(self) -> int:
        raise NotImplementedError


class WindowTooLong(_LooksAhead):
    """Windows one row too long: the pending row counts as committed."""

    def rows_ahead(self) -> int:
        return 1


def window_too_long(args: ChildArgs, link: Link) -> None:
    _learner(WindowTooLong, args, link)


class SamplesPastWindow(_LooksAhead):
    """Reads what the actors have reserved of this round, committed or not."""

    def rows_ahead(self) -> int:
        return self.blueprint.config.actors.chunk_steps


def samples_past_window(args: ChildArgs, link: Link) -> None:
    _learner(SamplesPastWindow, args, link)


# ---- priorities that are not what was learned ---------------------------------------------------


class LatePriorities(Learner):
    """Tells the TD errors of an update only after the next one."""

    def __init__(self, *args: Any) -> None:
        super().__init__(*args)
        for learner in self.policies.values():
            learner.reader.write_priorities = _late(learner.reader.write_priorities)


def _late(write: Any) -> Any:
    kept: list[Any] = []

    def later(*given: Any) -> None:
        kept.append([array.copy() for array in given])
        if len(kept) > 1:
            write(*kept.pop(0))

    return later


def late_priorities(args: ChildArgs, link: Link) -> None:
    _learner(LatePriorities, args, link)


# ---- no fault: the harness itself must not break parity ----------------------------------------


def honest_learner(args: ChildArgs, link: Link) -> None:
    _learner(Learner, args, link)


def honest_actor(args: ChildArgs, link: Link) -> None:
    _actor(Actor, args, link)
