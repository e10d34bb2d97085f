"""What a check is, and the rows that all families of checks make."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from math import isfinite
from typing import TYPE_CHECKING

from tuitrain.protocol import CheckState, CheckView, PolicyView, Snapshot

if TYPE_CHECKING:
    from tuitrain.config.checks import ChecksConfig

WORKING = ("starting", "running", "paused")
"""States of a run that is not over."""

TOO_FEW = "learner records"
"""Ends what a check has measured that waits for more of them."""


@dataclass(frozen=True)
class Row:
    """What a check has found: the changing part of a ``CheckView``.

    Attributes:
        value: what was measured, in words.
        limit: what it is held against, in words.
        advice: what to change; empty while there is nothing to do.
    """

    value: str
    limit: str
    state: CheckState
    advice: str = ""


Judge = Callable[[Snapshot, "ChecksConfig"], Row]


@dataclass(frozen=True)
class Check:
    """One check: a pure function of a snapshot and the limits, and what is known about it.

    Attributes:
        id: stable name, e.g. `replay_ratio`.
        name: the same for a person.
        catalogue_id: the failures of docs/catalogue.md that it guards against.
        why: one sentence: what is checked, and why it matters.
        judge: measures; ``not_measured`` of what it does not know, never "ok".
        explains: ids of the checks that fail because this one does: cause before symptom.
    """

    id: str
    name: str
    catalogue_id: str
    why: str
    judge: Judge
    explains: tuple[str, ...] = ()

    def run(self, snapshot: Snapshot, limits: ChecksConfig) -> CheckView:
        """The row that a user sees."""
        row = self.judge(snapshot, limits)
        advice = row.advice
        if len(snapshot.policies) == 1:  # whose it is is told where there are several
            advice = advice.removeprefix(f"{snapshot.policies[0].name}: ")
        return CheckView(
            id=self.id,
            name=self.name,
            value=row.value,
            limit=row.limit,
            state=row.state,
            advice=advice,
            catalogue_id=self.catalogue_id,
        )


def check(
    id_: str, name: str, catalogue_id: str, *, why: str, explains: tuple[str, ...] = ()
) -> Callable[[Judge], Check]:
    """Make a check of the function below."""
    return lambda judge: Check(id_, name, catalogue_id, why, judge, explains)


def not_measured(limit: str, value: str = "n/a", advice: str = "") -> Row:
    """Nothing is known, so nothing is said to be well."""
    return Row(value, limit, "n/a", advice)


def too_few(snapshot: Snapshot, wanted: int) -> str:
    """What has been measured where so many learner records are waited for."""
    counts = [p.learner_records for p in snapshot.policies if p.learner_records is not None]
    least = min(counts, default=wanted)
    return f"{least} of {wanted} {TOO_FEW}" if 0 < least < wanted else "n/a"


def largest(
    snapshot: Snapshot, of: Callable[[PolicyView], float | None]
) -> tuple[PolicyView, float] | None:
    """The policy where this is largest, and how large; None if it was measured nowhere.

    What is no finite number is not measured: `non_finite` tells of it.
    """
    return max(_measured(snapshot, of), key=lambda row: row[1], default=None)


def smallest(
    snapshot: Snapshot, of: Callable[[PolicyView], float | None]
) -> tuple[PolicyView, float] | None:
    """The policy where this is smallest, and how small; None if it was measured nowhere."""
    return min(_measured(snapshot, of), key=lambda row: row[1], default=None)


def _measured(
    snapshot: Snapshot, of: Callable[[PolicyView], float | None]
) -> list[tuple[PolicyView, float]]:
    rows = [(p, of(p)) for p in snapshot.policies]
    return [(p, value) for p, value in rows if value is not None and isfinite(value)]


def agents(snapshot: Snapshot) -> int:
    """That act in one environment, of all policies."""
    return sum(policy.agents for policy in snapshot.policies)


LEARNS = ("IMPROVING", "FLAT AT BEST")
"""Verdicts on a policy that has got better."""


def better_than_chance(policy: PolicyView) -> bool:
    """Whether evaluations prove that something was learned: so what is done matters.

    The newest is clearly above the first episodes, which were played at random; or all together
    say that it got better.
    """
    if policy.learning.verdict in LEARNS:
        return True
    mean, ci95, first = policy.eval_return_mean, policy.eval_return_ci95, policy.first_return_mean
    return None not in (mean, ci95, first) and (mean or 0.0) - 2 * (ci95 or 0.0) > (first or 0.0)


def judged(value: str, limit: str, bad: CheckState | None, advice: str) -> Row:
    """A row that is `bad`, with its advice, or else well."""
    return Row(value, limit, bad or "ok", advice if bad else "")


def percent(share: float, limit: float) -> str:
    """A share in words, with as many digits as it takes to see on which side of its limit it is."""
    for digits in range(5):
        text = f"{share:.{digits}%}"
        shown = float(text[:-1]) / 100
        if (shown > limit, shown < limit) == (share > limit, share < limit):
            return text
    return f"{share:%}"
