"""From checks to what is wrong: causes first, and under each what follows from it. Pure.

A raised check (warn or fail) is a cause unless another raised one explains it. Causes come in the
order fail before warn, then as the table of checks lists them: from data over environment and
settings to symptoms, learning last. But learning that is bad since a learner died with much of what
it had learned has its cause in that: it leads, and follows from nothing. And observations that are
huge where a reset keeps only a part of them are told beside it: what is kept may be a clock.
"""

from __future__ import annotations

from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, Protocol

from tuitrain.config.problems import Problem
from tuitrain.diagnosis.headlines import headline, in_part, lost_updates, shortened
from tuitrain.protocol import CheckView

CONFIG = "config"
"""Id of what is wrong with a config that is refused."""


class Known(Protocol):
    """What ranking needs of a check."""

    @property
    def id(self) -> str:
        """Stable name."""

    @property
    def explains(self) -> Collection[str]:
        """Ids of checks whose failing follows from this one's."""


@dataclass(frozen=True)
class Since:
    """When a check was raised for good: unix time, and environment steps where they are known."""

    time_s: float
    steps: int | None = None


@dataclass(frozen=True)
class Wrong:
    """One thing that is wrong.

    Attributes:
        headline: what is wrong, a sentence.
        check: what was measured, the limit, what to change.
        leads_to: raised checks that follow from it.
    """

    headline: str
    check: CheckView
    since: Since | None = None
    leads_to: tuple[CheckView, ...] = ()

    def data(self) -> dict[str, Any]:
        """As plain JSON values."""
        since = self.since
        return {
            "headline": self.headline,
            **self.check.model_dump(),
            "since_s": None if since is None else since.time_s,
            "since_steps": None if since is None else since.steps,
            "leads_to": [check.model_dump() for check in self.leads_to],
        }


@dataclass(frozen=True)
class Diagnosis:
    """What is wrong, the likeliest cause first; what is not; and what nobody knows.

    Attributes:
        doubt: why it may not be well although nothing is wrong.
        then: what to do or to ask about the doubt, sentences.
        notes: what is no fault, and worth knowing before the rest is read.
    """

    wrong: tuple[Wrong, ...] = ()
    ok: tuple[CheckView, ...] = ()
    not_measured: tuple[CheckView, ...] = field(default=())
    doubt: str = ""
    then: str = ""
    notes: tuple[str, ...] = ()


def diagnose(
    checks: Sequence[CheckView], known: Sequence[Known], since: Mapping[str, Since] | None = None
) -> Diagnosis:
    """Rank what is raised.

    Args:
        checks: every check of one moment, one view each.
        known: the table of checks, in its order.
        since: by id, when a check was raised, where that is known.
    """
    raised = {check.id: check for check in checks if check.state in ("warn", "fail")}
    place = {check.id: number for number, check in enumerate(known)}
    died = {i for i, check in raised.items() if lost_updates(check)}
    ranked = sorted(
        raised, key=lambda i: (raised[i].state != "fail", i not in died, place.get(i, len(place)))
    )
    apart = {("resets", "observations") for check in raised.values() if in_part(check)}
    follows = _follows(
        {
            c.id: [i for i in c.explains if i in raised.keys() - died and (c.id, i) not in apart]
            for c in known
        },
        ranked,
    )
    wrong = [
        Wrong(
            headline(raised[one]),
            raised[one],
            (since or {}).get(one),
            tuple(raised[other] for other in ranked if other != one and other in follows[one]),
        )
        for at, one in enumerate(ranked)
        if not any(
            # of checks that explain each other the first one is the cause
            one in follows[other] and (other not in follows[one] or ranked.index(other) < at)
            for other in ranked
            if other != one
        )
    ]
    return Diagnosis(
        tuple(wrong),
        tuple(check for check in checks if check.state == "ok"),
        tuple(check for check in checks if check.state == "n/a"),
    )


def _follows(explains: Mapping[str, Sequence[str]], ids: Sequence[str]) -> dict[str, set[str]]:
    """What each of them explains, what that explains, and so on; only of what is raised."""
    found: dict[str, set[str]] = {}
    for start in ids:
        seen, ahead = set[str](), [start]
        while ahead:
            new = [i for i in explains.get(ahead.pop(), ()) if i not in seen]
            seen.update(new)
            ahead += new
        found[start] = seen
    return found


_CATALOGUE = {
    "replay.learning_starts": "5.1",
    "replay.capacity": "5.2",
    "learner.tau": "4.2, 9.4",
    "learner.target_update_every_updates": "4.2",
    "learner.lr": "9.1",
    "learner.batch_size": "9.2",
    "exploration.epsilon_end": "9.3",
    "exploration.epsilon_decay_steps": "9.3",
}
"""Of keys whose values keep a run from learning; what the config's rules are for."""


def refused(problems: Sequence[Problem]) -> Diagnosis:
    """What is wrong with a config that no run is started with."""
    return Diagnosis(tuple(_problem(problem) for problem in problems))


def unbuilt(error: str) -> Diagnosis:
    """What is wrong with a config whose environment or network cannot be built."""
    first = " ".join(error.partition("\n")[0].split())
    said = shortened(first)
    check = CheckView(
        id=CONFIG,
        name="environment and network",
        value="cannot be built",
        limit="can be built",
        state="fail",
        advice=first if first != said else "",
    )
    return Diagnosis((Wrong(said, check),))


def _problem(problem: Problem) -> Wrong:
    check = CheckView(
        id=CONFIG,
        name=problem.key,
        value=problem.value or "n/a",
        limit=problem.message,
        state="fail",
        advice=problem.suggestion,
        catalogue_id=_CATALOGUE.get(problem.key, ""),
    )
    given = f" = {problem.value}" if problem.value else ""
    return Wrong(f"The config is refused: {problem.key}{given} {problem.message}", check)
