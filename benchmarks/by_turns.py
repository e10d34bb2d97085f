"""A double for ``TUITRAIN_TEST_DOUBLE``: workers that measure all for checks, then nothing.

All processes of a machine have one clock, so all of them change at the same moment. Each leaves a
line at its first work in a turn: what it has counted, and both its clocks. Budgets of time only
pass in turns with everything; else what is meant for the whole time would be spent in half of it.
"""

from __future__ import annotations

import json
import os
import time
from pathlib import Path
from typing import Any

from tuitrain.metrics.phases import UNTIMED, Phases
from tuitrain.parts import Parts
from tuitrain.replay import auditor
from tuitrain.replay.audit import Budget
from tuitrain.workers.acting import row_figures
from tuitrain.workers.acting.actor import Actor
from tuitrain.workers.acting.row_audit import RowAudit
from tuitrain.workers.blueprint import Blueprint
from tuitrain.workers.learners.learner import Learner

TURN_S = 2.3
"""Longer than two records, and no multiple of what is between them: else they could come in turns
of one kind only."""


def turn() -> int:
    """Which it is; everything is measured in the even ones."""
    return int(time.monotonic() / TURN_S)


def measured_s() -> float:
    """Seconds that have passed in turns with everything."""
    whole, rest = divmod(time.monotonic(), 2 * TURN_S)
    return whole * TURN_S + min(rest, TURN_S)


class Tally:
    """What a process has counted when its turns began."""

    def __init__(self, blueprint: Blueprint, name: str) -> None:
        self._path = Path(blueprint.run_dir) / f"turns-{name}-{os.getpid()}.jsonl"
        self._turn = -1

    def changes(self, count: int) -> bool:
        """Whether this is the first call in a turn."""
        if self._turn == (now := turn()):
            return False
        self._turn = now
        with self._path.open("a") as file:
            line = {"turn": now, "s": time.monotonic(), "cpu_s": time.process_time()}
            file.write(json.dumps(line | {"count": count}) + "\n")
        return True


class ActorByTurns(Actor):
    """Its count is of transitions."""

    def __init__(self, blueprint: Blueprint, *args: Any, **kwargs: Any) -> None:
        super().__init__(blueprint, *args, **kwargs)
        self._tally = Tally(blueprint, "actor")
        frames, share = blueprint.spec.n_frames, blueprint.audit_share(1)
        self._audits = (
            RowAudit(self.parts, frames, False, share, measured_s),
            RowAudit(self.parts, frames, False, 0.0),
        )
        self._figures = {name: part.figures for name, part in self.parts.items()}
        for figures in self._figures.values():
            assert figures is not None
            figures._clock = measured_s
            share = row_figures.SHARE / blueprint.actors_in_process / len(self.parts)
            figures._budget = Budget(share, measured_s(), given_s=row_figures.GIVEN_S)

    def begin(self, *args: Any, **kwargs: Any) -> None:
        """A chunk: whose turn is it?"""
        if self._tally.changes(sum(part.inserts for part in self.parts.values())):
            plain = turn() % 2
            self.audit = self._audits[plain]
            for name, part in self.parts.items():
                part.figures = None if plain else self._figures[name]
                if part.figures is not None:  # what came between is of the other turn
                    part.figures.restore(part.figures.state() | {"behind": 0})
        super().begin(*args, **kwargs)


class LearnerByTurns(Learner):
    """Its count is of updates."""

    def __init__(self, blueprint: Blueprint, *args: Any, **kwargs: Any) -> None:
        super().__init__(blueprint, *args, **kwargs)
        self._tally = Tally(blueprint, "learner")
        self._looks = {n: (p.auditor, p.figures, p.dqn.flow) for n, p in self.policies.items()}
        for audit, _, _ in self._looks.values():
            assert audit is not None
            audit._clock = measured_s
            share = blueprint.audit_share(len(self.policies))
            audit._budget = Budget(share, measured_s(), auditor.ENOUGH_S)

    def step(self, policy: str, phases: Phases = UNTIMED, *, sure: int = 1) -> None:
        """An update: whose turn is it?"""
        if self._tally.changes(sum(p.dqn.updates for p in self.policies.values())):
            for name, part in self.policies.items():
                looks = (None, None, None) if turn() % 2 else self._looks[name]
                part.auditor, part.figures, part.dqn.flow = looks
                part.reader.auditor = part.auditor
        super().step(policy, phases, sure=sure)


def double(parts: Parts) -> None:
    """Put both in place."""
    parts.replace(Actor, ActorByTurns)
    parts.replace(Learner, LearnerByTurns)
