"""How checks stand: followed from snapshot to snapshot, told of when a state has held. Pure.

A number at its limit is over it in every other snapshot, and nobody wants to be told each time. So
a state counts once so many snapshots in a row have had it: few to get worse, since that is to be
told soon, and more to get better. What is not measured (n/a) now and then is no news. What a run at
work has not measured in as many snapshots in a row stands no more: n/a may be the answer, as where
an episode has ended at last.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Iterable
from dataclasses import asdict, dataclass, field
from typing import Any, Literal

from tuitrain.protocol import CheckView

Held = Literal["ok", "warn", "fail"]
Told = Literal["ok", "warn", "fail", "n/a"]

RAISE_LOOKS = 4
"""A check stands worse once so many snapshots in a row were at least as bad (two seconds)."""

CLEAR_LOOKS = 20
"""It stands better once so many in a row were at least as good."""

_STATES: tuple[Held, ...] = ("ok", "warn", "fail")
_LEVELS: dict[Told, Literal["info", "warning", "error"]] = {
    "ok": "info",
    "n/a": "info",
    "warn": "warning",
    "fail": "error",
}


@dataclass(frozen=True)
class Change:
    """A check stands otherwise than before.

    Attributes:
        check: as it was measured last.
        state, was: how it stands, and stood before; n/a: it was raised, and is measured no more.
    """

    check: CheckView
    state: Told
    was: Held

    @property
    def level(self) -> Literal["info", "warning", "error"]:
        """Of the event."""
        return _LEVELS[self.state]

    @property
    def text(self) -> str:
        """The event's text."""
        verb = {
            "ok": "is ok again",
            "n/a": "is not measured any more",
            "warn": "warns",
            "fail": "failed",
        }[self.state]
        return f"check {self.check.name} {verb}: {measured(self.check)}"

    @property
    def data(self) -> dict[str, Any]:
        """The event's values."""
        told = self.check.model_dump(include={"value", "limit", "advice", "catalogue_id"})
        return {"check": self.check.id, "state": self.state, "was": self.was} | told


@dataclass
class Raised:
    """A check that has warned or failed at some time, for whoever looks when the run is over.

    Attributes:
        check, name: its id, and what people call it.
        state: the worst it has stood at.
        first_steps, first_s: environment steps and unix time when it first stood raised.
        last_steps, last_s: when it last did.
        value, limit, advice, catalogue_id: as they were when it first stood at its worst.
    """

    check: str
    name: str
    state: Held
    first_steps: int
    first_s: float
    last_steps: int
    last_s: float
    value: str
    limit: str
    advice: str
    catalogue_id: str


@dataclass
class _Standing:
    """One check: whether it is how bad (an index of `_STATES`), and its newest looks."""

    severity: int = 0
    looks: deque[int] = field(default_factory=lambda: deque(maxlen=CLEAR_LOOKS))
    unmeasured: int = 0
    """Looks in a row, of a run at work."""

    def look_away(self) -> bool:
        """It was not measured; whether it therefore stands no more, and was raised."""
        self.unmeasured += 1
        if self.unmeasured < CLEAR_LOOKS:
            return False
        was, self.severity = self.severity, 0
        self.looks.clear()
        return was > 0

    def look(self, severity: int) -> None:
        self.unmeasured = 0
        self.looks.append(severity)
        newest = list(self.looks)[-RAISE_LOOKS:]
        if len(newest) == RAISE_LOOKS:
            self.severity = max(self.severity, min(newest))
        if len(self.looks) == CLEAR_LOOKS:
            self.severity = min(self.severity, max(self.looks))


class Standings:
    """All checks of one session of a run.

    Attributes:
        raised: by id, every check that has stood at a warning or a failure.
    """

    def __init__(self) -> None:
        self.raised: dict[str, Raised] = {}
        self._of: dict[str, _Standing] = {}

    def look(
        self, checks: Iterable[CheckView], steps: int, time_s: float, *, at_work: bool = True
    ) -> list[Change]:
        """Take in the checks of a snapshot.

        Args:
            steps: environment steps of the run by then.
            time_s: unix time.
            at_work: whether anything can be measured: not in a pause.

        Returns:
            Those that stand otherwise now, in the order of `checks`.
        """
        changes = []
        for check in checks:
            standing = self._of.setdefault(check.id, _Standing())
            was = standing.severity
            if check.state == "n/a":
                if at_work and standing.look_away():
                    changes.append(Change(check, "n/a", _STATES[was]))
                continue
            standing.look(_STATES.index(check.state))
            if standing.severity != was:
                changes.append(Change(check, _STATES[standing.severity], _STATES[was]))
            self._note(check, standing.severity, steps, time_s)
        return changes

    def failed(self) -> list[str]:
        """Ids of the checks that stand at a failure."""
        return [id_ for id_, standing in self._of.items() if standing.severity == 2]

    def begin_again(self) -> None:
        """Training has gone back: how checks stood was of what is no more."""
        self._of.clear()

    def close(self, checks: Iterable[CheckView], steps: int, time_s: float) -> list[dict[str, Any]]:
        """The session is over: all that was raised in it, with what its last snapshot raises."""
        for check in checks:
            if check.state != "n/a":
                self._note(check, _STATES.index(check.state), steps, time_s)
        return [asdict(raised) for raised in self.raised.values()]

    def _note(self, check: CheckView, severity: int, steps: int, time_s: float) -> None:
        if severity == 0:
            return
        found = self.raised.get(check.id)
        if found is None or _STATES.index(found.state) < severity:
            first = (steps, time_s) if found is None else (found.first_steps, found.first_s)
            self.raised[check.id] = Raised(
                check.id,
                check.name,
                _STATES[severity],
                *first,
                steps,
                time_s,
                check.value,
                check.limit,
                check.advice,
                check.catalogue_id,
            )
        else:
            found.last_steps, found.last_s = steps, time_s


def measured(check: CheckView) -> str:
    """What a check has measured, its limit and its advice, in words."""
    text = f"{check.value} (limit {check.limit})"
    return f"{text}: {check.advice}" if check.advice else text
