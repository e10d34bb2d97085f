"""How checks stood at a run's end, by its files: events, summary and what is made again. Pure."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass
from typing import Any

from pydantic import ValidationError

from tuitrain.metrics.rewind import is_moment
from tuitrain.protocol import CheckView


@dataclass(frozen=True)
class Stretch:
    """How a check stood last.

    Attributes:
        check: as it was measured last; n/a if the run went on without measuring it any more.
        since_s: unix time at which it was raised; of one that is not any more, until when.
    """

    check: CheckView
    since_s: float

    @property
    def raised(self) -> bool:
        """Whether it is raised still."""
        return self.check.state in ("warn", "fail")


def stretches(events: Iterable[Mapping[str, Any]]) -> dict[str, Stretch]:
    """By id, of every check that has changed in the last session, since all went back last.

    Args:
        events: lines of events.jsonl, of all sessions.
    """
    found: dict[str, Stretch] = {}
    for event in events:
        data = event.get("data")
        if not isinstance(data, Mapping):
            continue
        if data.get("mark") in ("resume", "back") or data.get("on_fail") == "rollback":  # anew
            found.clear()
        check, at = _check(data), event.get("time_s")
        if check is None or not is_moment(at):
            continue
        now = Stretch(check, float(at))
        before = found.get(check.id)
        if before is not None and before.raised and now.raised:  # from warn to fail, or back
            now = Stretch(check, before.since_s)
        found[check.id] = now
    return found


def returned_for(events: Iterable[Mapping[str, Any]]) -> list[str]:
    """Ids of the checks whose failures took all back to a checkpoint in the last session, in turn.

    What was raised before is on none of the ``stretches`` any more.
    """
    found: list[str] = []
    for event in events:
        data = event.get("data")
        if not isinstance(data, Mapping):
            continue
        if data.get("mark") == "resume":
            found.clear()
        if data.get("on_fail") == "rollback" and isinstance(data.get("check"), str):
            found.append(data["check"])
    return found


def _check(data: Mapping[str, Any]) -> CheckView | None:
    if not isinstance(data.get("check"), str):
        return None
    try:
        return CheckView.model_validate({"id": data["check"], "name": data["check"], **data})
    except ValidationError:
        return None


def checks_of(summary: Mapping[str, Any]) -> list[CheckView]:
    """The checks in a summary.json; damaged ones are passed over."""
    found = []
    rows = summary.get("checks")
    for row in rows if isinstance(rows, list) else []:
        with suppress(ValidationError):
            found.append(CheckView.model_validate(row))
    return found


FAILURE = "processes"
"""The check of who has failed: made again it says so in a line, else with a traceback."""


VERDICT = "learning"
"""The check of evaluations, all of which are in the records: made again it is as it was, and goes
with the verdict that is told beside it."""


def at_the_end(
    again: Sequence[CheckView],
    summed_up: Sequence[CheckView],
    changed: Mapping[str, Stretch],
) -> list[CheckView]:
    """Every check as it was measured last.

    What the run itself has said counts more than what its records say again, but for the verdict on
    learning; what was raised when the workers ended stays so, though nothing could be measured any
    more.

    Args:
        again: made again from the records; all checks there are.
        summed_up: of summary.json; none of a run that was killed.
        changed: of the events.
    """
    own = {check.id: check for check in summed_up}
    found = []
    for check in [*again, *(c for c in summed_up if c.id not in {a.id for a in again})]:
        told, last = own.get(check.id), changed.get(check.id)
        better = {FAILURE: check.state == "fail", VERDICT: check.state != "n/a"}
        if better.get(check.id, False):  # made again
            if told is not None and check.id == FAILURE:  # which knows how many there were
                check = check.model_copy(update={"limit": told.limit})
            told = check
        elif told is None or told.state == "n/a":
            told = check if told is None or check.state != "n/a" else told
            if last is not None and last.check.state != "n/a":
                told = last.check.model_copy(update={"name": check.name})
        found.append(told)
    return found
