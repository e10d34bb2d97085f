"""Going back: which measurements of before do not count any more.

A run that goes on from a checkpoint goes on from counts that its files are past already. Nothing is
deleted from metrics.jsonl; a `rewind` record says from where training went on, and every reader
leaves out what was measured before it of a stretch that was trained again. So a run that was
killed at step 70,000 and resumed from 60,000 has one curve and no zigzag. Pure.

In `async` a learner's successor goes back alone: steps go on, updates do not. Its rewind stands at
the newest step, so nothing measured over steps is void; over *updates* what was measured of the
lost ones is (``Rewind.loses``).
"""

from __future__ import annotations

import sys
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass, field
from typing import Any, TypeGuard, TypeVar

KIND = "rewind"

R = TypeVar("R", bound=Mapping[str, Any])


@dataclass(frozen=True)
class Rewind:
    """The counts from which a run went on.

    Attributes:
        steps: environment steps.
        updates: per policy.
    """

    steps: int
    updates: Mapping[str, int] = field(default_factory=dict)

    @classmethod
    def of(cls, record: Mapping[str, Any]) -> Rewind | None:
        """From a record; None if it is none, or does not say from where."""
        steps, updates = record.get("steps"), record.get("updates")
        if record.get("kind") != KIND or not is_number(steps):
            return None
        counts = updates if isinstance(updates, Mapping) else {}
        return cls(int(steps), {str(k): int(v) for k, v in counts.items() if is_number(v)})

    def record(self, session: int, why: str) -> dict[str, Any]:
        """The line for metrics.jsonl, without its time."""
        return {
            "kind": KIND,
            "steps": self.steps,
            "updates": dict(self.updates),
            "session": session,
            "why": why,
        }

    def voids(self, record: Mapping[str, Any]) -> bool:
        """Whether an earlier record was measured after these counts; a rewind never was.

        At the same step the updates decide: a learner may owe some when the last step is done.
        """
        steps = record.get("steps")
        if not is_number(steps) or record.get("kind") == KIND:
            return False
        return steps > self.steps or (steps == self.steps and self.loses(record))

    def loses(self, record: Mapping[str, Any]) -> bool:
        """Whether an earlier record counts updates of its policy that have been lost."""
        updates, kept = record.get("updates"), self.updates.get(str(record.get("policy")))
        if kept is None or not is_number(updates) or record.get("kind") == KIND:
            return False
        return updates > kept

    def before(self, later: Rewind | None) -> Rewind:
        """One that voids what either of them does, as far as steps tell them apart."""
        if later is None or self.steps < later.steps:
            return self
        if later.steps < self.steps:
            return later
        both = {**self.updates, **later.updates}
        least = {k: min(self.updates.get(k, v), v) for k, v in both.items()}
        return Rewind(self.steps, least)


def surviving(records: Iterable[R]) -> Iterator[R]:
    """The records that no later rewind has made void, in their order; rewinds are among them.

    Args:
        records: in the order of time. Gone through twice; what can be gone through only once is
            kept in memory meanwhile.
    """
    if iter(records) is records:
        records = list(records)
    rewinds = [
        (place, rewind)
        for place, record in enumerate(records)
        if (rewind := Rewind.of(record)) is not None
    ]
    limits: list[tuple[int, Rewind]] = []  # up to each place, what all later rewinds void together
    for place, rewind in reversed(rewinds):
        limits.append((place, rewind.before(limits[-1][1] if limits else None)))
    for place, record in enumerate(records):
        while limits and limits[-1][0] <= place:
            limits.pop()
        if not limits or not limits[-1][1].voids(record):
            yield record


def newest_steps(records: Iterable[Mapping[str, Any]]) -> int:
    """The most environment steps that any of them counts; 0 if none does."""
    found = (record.get("steps") for record in records)
    return max((int(steps) for steps in found if is_number(steps)), default=0)


def is_number(value: object) -> TypeGuard[float]:
    """Whether it counts something: a finite number; whoever edits a file may put NaN there."""
    if not isinstance(value, int | float) or isinstance(value, bool):
        return False
    return abs(value) <= sys.float_info.max  # also of whole numbers that no float holds


def is_moment(value: object) -> TypeGuard[float]:
    """Whether it can be a unix time, of which a date is told: before the year 4000."""
    return is_number(value) and 0 <= value < 2**36
