"""A double for ``TUITRAIN_TEST_DOUBLE``: workers that measure all for checks, then nothing.

All processes of a machine have one clock, so all of them change at the same moment. Each leaves a
line at its first work in a turn: what it has counted, and both its clocks. Budgets of time only
pass in turns with everything; else what is meant for the whole time would be spent in half of it.
For the same reason an actor's look at its rows, which records call for, is at as many as were
written in turns with everything, the newest ones.
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
from tuitrain.workers.acting.row_figures import RowFigures
from tuitrain.workers.blueprint import Blueprint
from tuitrain.workers.learners.learner import Learner

TURN_S = 0.137
"""A core of a shared machine is slower or faster by some per cent for about a second at a time, so
turns are much shorter. What is done once a second falls into turns of both kinds."""


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
        path = Path(blueprint.run_dir) / f"turns-{name}-{os.getpid()}.jsonl"
        self._file = path.open("w", buffering=1)
        self._turn = -1

    def changes(self, count: int) -> bool:
        """Whether this is the first call in a turn."""
        if self._turn == (now := turn()):
            return False
        self._turn = now
        line = {"turn": now, "s": time.monotonic(), "cpu_s": time.process_time(), "count": count}
        self._file.write(json.dumps(line) + "\n")
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
        self._figures: dict[str, RowFigures] = {}
        self._left: dict[str, int] = {}
        """Head of each policy's rows when its figures were put aside."""
        for name, part in self.parts.items():
            assert part.figures is not None
            self._figures[name] = part.figures
            part.figures._clock = measured_s
            share = row_figures.SHARE / blueprint.actors_in_process / len(self.parts)
            part.figures._budget = Budget(share, measured_s(), given_s=row_figures.GIVEN_S)

    def begin(self, *args: Any, **kwargs: Any) -> None:
        """A chunk: whose turn is it?"""
        if self._tally.changes(sum(part.inserts for part in self.parts.values())):
            plain = turn() % 2
            self.audit = self._audits[plain]
            for name, part in self.parts.items():
                if plain and part.figures is not None:
                    self._left[name] = part.writer.head
                if not plain and part.figures is None:
                    _pass_over(self._figures[name], part.writer.head - self._left[name])
                part.figures = None if plain else self._figures[name]
        super().begin(*args, **kwargs)


def _pass_over(figures: RowFigures, rows: int) -> None:
    """So many rows have come without them: look at as many less of those that wait for a look."""
    if figures._looked is not None:
        figures._looked += rows
        figures._noted = [part for part in figures._noted if part[0] >= figures._looked]
        figures._noted_cells = sum(noted.size for _, noted in figures._noted)


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
