"""The matrix: which fault strikes whom at which moment. Pure.

A case has a stable name, `async/learner/publishing:7/SIGKILL`: schedule, role, moment, the so
manieth line (or system call) of the moment, fault. Moments are in ``MOMENTS``.
"""

from __future__ import annotations

import functools
import itertools
import random
from collections.abc import Iterator
from dataclasses import dataclass, replace
from typing import Literal

from tests.faults.moments import FAULTS, MOMENTS, Moment

__all__ = ["ERRORS", "FAULTS", "Case", "Outcome", "cells", "draw"]

Outcome = Literal["goes on", "ends", "dies"]
"""The run goes on; it ends in order, with a summary; its supervisor is gone without a word."""

ERRORS = ("ENOSPC", "EIO", "ENOMEM", "EMFILE")

NAMES = {"actor": "a0", "learner": "learner", "evaluator": "eval", "trainer": "trainer"}


@dataclass(frozen=True)
class Case:
    """One cell of the matrix, and where in its moment the fault strikes."""

    schedule: str
    role: str
    moment: str
    at: int
    fault: str
    operation: str = ""

    @property
    def name(self) -> str:
        """As ``parse`` reads it."""
        at = f"{self.operation} {self.at}" if self.operation else str(self.at)
        return f"{self.schedule}/{self.role}/{self.moment}:{at}/{self.fault}"

    @classmethod
    def parse(cls, name: str) -> Case:
        """The case of a name.

        Raises:
            ValueError: there is no such cell.
        """
        try:
            schedule, role, where, fault = name.split("/")
            moment, at = where.split(":")
            operation, _, number = at.rpartition(" ")
            case = cls(schedule, role, moment, int(number), fault, operation)
        except ValueError:
            raise ValueError(f"{name!r} is not SCHEDULE/ROLE/MOMENT:AT/FAULT") from None
        if case.cell not in _every_cell() and case.fault not in ERRORS:
            raise ValueError(f"{name!r}: there is no such cell; see tests/faults/moments.py")
        return case

    @property
    def cell(self) -> tuple[str, ...]:
        """All but where in the moment."""
        return self.schedule, self.role, self.moment, self.fault, self.operation

    @property
    def where(self) -> Moment:
        """Its moment."""
        return MOMENTS[self.role][self.moment]

    @property
    def worker(self) -> str:
        """Name of the process that the fault strikes; "" if it is none of the run's own."""
        return "supervisor" if self.role == "supervisor" else NAMES.get(self.role, "")

    @property
    def places(self) -> tuple[str, ...]:
        """Functions in which it strikes, in full."""
        places = self.where.within if self.operation else self.where.places
        return tuple(f"tuitrain.{place}" for place in places)


def cells() -> Iterator[Case]:
    """Every cell, at the first line; those of system calls at every call that is tried."""
    for role, moments in MOMENTS.items():
        for name, moment in moments.items():
            for schedule in moment.schedules:
                for fault in moment.faults:
                    yield Case(schedule, role, name, 1, fault)
                for operation, most in moment.calls:
                    # a start is dear: there the seed chooses one of the errors for each call
                    errors = moment.errors[:1] if moment.provoke == "start" else moment.errors
                    for error, at in itertools.product(errors, range(1, most + 1)):
                        yield Case(schedule, role, name, at, error, operation)


@functools.cache
def _every_cell() -> frozenset[tuple[str, ...]]:
    return frozenset(case.cell for case in cells())


def draw(seed: int, count: int) -> list[Case]:
    """So many cases: every cell in turn, in an order and at lines that the seed decides."""
    rng = random.Random(seed)
    every = list(cells())
    out: list[Case] = []
    while len(out) < count:
        rng.shuffle(every)
        for case in every:
            if not case.operation:
                case = replace(case, at=rng.randint(1, case.where.lines))
            elif case.where.provoke == "start":
                case = replace(case, fault=rng.choice(case.where.errors))
            out.append(case)
    return out[:count]
