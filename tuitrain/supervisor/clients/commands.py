"""Commands to workers: sent, and held open until every worker asked has carried them out.

A command is done when each of its workers has acknowledged it, has ended, or has let the deadline
pass; who did which is in its `Outcome`. The reports at the end turn outcomes into the one line and
the values that a client is answered with. Knows messages, not processes.
"""

from __future__ import annotations

import asyncio
import itertools
from collections.abc import Callable, Collection, Iterable, Mapping
from dataclasses import dataclass, field
from typing import Any, Literal

from tuitrain.protocol import WeightsHeld
from tuitrain.supervisor.crew.liveness import Deadline
from tuitrain.workers import messages
from tuitrain.workers.messages import Ack, ToWorker

Kind = Literal[
    "pause", "unpause", "resync", "checkpoint", "evaluate", "see", "conclude", "set", "stop"
]

DEADLINES_S: dict[Kind, float] = {
    "pause": 30.0,
    "unpause": 30.0,
    "resync": 30.0,
    "checkpoint": 120.0,
    "evaluate": 30.0,
    "see": 5.0,
    "conclude": 30.0,
    "set": 30.0,
    "stop": 20.0,
}
"""How long workers get to carry out a command. `stop` is replaced by the config's."""


@dataclass
class Outcome:
    """What became of a command.

    Attributes:
        acks: who carried it out, and what they answered.
        missing: who had not answered when the deadline passed.
        ended: who ended before answering.
        unreachable: who could not be told: the pipe is full or gone.
        unsaved: why what was carried out does not amount to a checkpoint; empty if it does.
    """

    kind: Kind
    deadline_s: float
    acks: dict[str, Ack] = field(default_factory=dict)
    missing: list[str] = field(default_factory=list)
    ended: list[str] = field(default_factory=list)
    unreachable: list[str] = field(default_factory=list)
    unsaved: str = ""

    @property
    def refused(self) -> dict[str, str]:
        """Who acknowledged a failure, and why."""
        return {n: str(a.result.get("error", "failed")) for n, a in self.acks.items() if not a.ok}

    @property
    def ok(self) -> bool:
        """Everybody did it."""
        return not (self.missing or self.ended or self.unreachable or self.refused or self.unsaved)

    def add(self, other: Outcome) -> None:
        """Count what became of another command as this one's: the two were one thing to do."""
        self.acks |= other.acks
        self.missing += other.missing
        self.ended += other.ended
        self.unreachable += other.unreachable

    def trouble(self) -> str:
        """Who did not do it and why, in words; empty if all did."""
        parts = []
        if self.missing:
            parts.append(f"no answer from {_names(self.missing)} within {self.deadline_s:g} s")
        if self.ended:
            parts.append(f"{_names(self.ended)} ended before answering")
        if self.unreachable:
            parts.append(f"{_names(self.unreachable)} cannot be reached")
        parts += [f"{name}: {why}" for name, why in self.refused.items()]
        if self.unsaved:
            parts.append(self.unsaved)
        return "; ".join(parts)

    def result(self) -> dict[str, Any]:
        """The values for a reply."""
        return {
            "answers": {name: ack.result for name, ack in self.acks.items()},
            "missing": self.missing,
            "ended": self.ended,
            "unreachable": self.unreachable,
            "refused": self.refused,
        }


@dataclass
class _Pending:
    outcome: Outcome
    waiting: set[str]
    deadline: Deadline
    done: asyncio.Future[Outcome]


class Commands:
    """All commands that have not been answered by everyone."""

    def __init__(self) -> None:
        self._ids = itertools.count(1)
        self._pending: dict[int, _Pending] = {}

    def issue(
        self,
        kind: Kind,
        senders: Mapping[str, Callable[[ToWorker], bool]],
        now: float,
        *,
        deadline_s: float | None = None,
        **fields: Any,
    ) -> asyncio.Future[Outcome]:
        """Send a command to these workers; the future holds the outcome, never an exception.

        Args:
            senders: by worker name, what sends it a message and says whether that worked.
            fields: of the command's message, besides its number.
        """
        number = next(self._ids)
        length_s = DEADLINES_S[kind] if deadline_s is None else deadline_s
        outcome = Outcome(kind, length_s)
        future: asyncio.Future[Outcome] = asyncio.get_running_loop().create_future()
        pending = _Pending(outcome, set(), Deadline(now, length_s), future)
        self._pending[number] = pending
        message = _MESSAGES[kind](command_id=number, **fields)
        for name, send in senders.items():
            if send(message):
                pending.waiting.add(name)
            else:
                outcome.unreachable.append(name)
        self._settle(number)
        return future

    def on_ack(self, name: str, ack: Ack) -> None:
        """A worker has carried out a command. One for a command long given up is ignored."""
        pending = self._pending.get(ack.command_id)
        if pending is not None and name in pending.waiting:
            pending.waiting.discard(name)
            pending.outcome.acks[name] = ack
            self._settle(ack.command_id)

    def on_end(self, name: str) -> None:
        """A worker has ended: nobody needs to wait for it."""
        for number, pending in list(self._pending.items()):
            if name in pending.waiting:
                pending.waiting.discard(name)
                pending.outcome.ended.append(name)
                self._settle(number)

    def tick(self, now: float) -> None:
        """Give up on whoever has let a deadline pass."""
        for number, pending in list(self._pending.items()):
            if pending.deadline.passed(now):
                pending.outcome.missing = sorted(pending.waiting)
                pending.waiting.clear()
                self._settle(number)

    def renew(self, now: float) -> None:
        """Start all deadlines again: the supervisor itself was away."""
        for pending in self._pending.values():
            pending.deadline.renew(now)

    def _settle(self, number: int) -> None:
        pending = self._pending[number]
        if not pending.waiting:
            del self._pending[number]
            if not pending.done.done():
                pending.done.set_result(pending.outcome)


_MESSAGES: dict[Kind, Callable[..., ToWorker]] = {
    "pause": messages.Pause,
    "unpause": messages.Unpause,
    "resync": messages.Resync,
    "checkpoint": messages.Checkpoint,
    "evaluate": messages.Evaluate,
    "see": messages.See,
    "conclude": messages.Conclude,
    "set": messages.Set,
    "stop": messages.Stop,
}


# ---- reports ---------------------------------------------------------------------------------


def weights_held(result: Mapping[str, Any]) -> dict[str, WeightsHeld]:
    """What a worker answered to a resync: by policy, `{"version": int, "sha256": str}`."""
    held = {}
    for policy, value in result.items():
        if isinstance(value, Mapping) and "version" in value and "sha256" in value:
            held[policy] = WeightsHeld(version=value["version"], sha256=value["sha256"])
    return held


MOST_HOLDERS = 4
"""Of a version, so many are named; of more their number is said."""


def resync_report(outcome: Outcome, *, sent: bool = False) -> tuple[bool, str, dict[str, Any]]:
    """Do equal versions have equal hashes, and who holds which?

    Args:
        sent: whether actors have taken the newest weights first.

    Returns:
        (ok, one line, result); ok is False if hashes differ or somebody did not answer.
    """
    versions: dict[str, dict[int, dict[str, str]]] = {}
    for name, ack in outcome.acks.items():
        for policy, held in weights_held(ack.result).items():
            versions.setdefault(policy, {}).setdefault(held.version, {})[name] = held.sha256
    rows = [(policy, v, of) for policy, by in versions.items() for v, of in by.items()]
    differing = [
        f"{policy} v{version} ({_names(sorted(of))})"
        for policy, version, of in rows
        if len(set(of.values())) > 1
    ]
    workers = len({name for _, _, of in rows for name in of})
    if differing:
        parts = [f"DIFFERENT BYTES under one version: {_names(differing)}"]
    elif not versions:
        parts = ["nobody reported weights"]
    elif any(len(of) > 1 for _, _, of in rows):
        parts = [f"compared {workers} workers: equal versions are equal bytes"]
    else:
        parts = ["nothing to compare: no two workers hold the same version"]
    parts += [
        f"{policy} " + ", ".join(f"v{v} in {_holders(by[v])}" for v in sorted(by, reverse=True))
        for policy, by in versions.items()
    ]
    if any(len(by_version) > 1 for by_version in versions.values()):
        parts.append("who holds an older one takes newer ones in its own time")
    if sent and versions:
        parts.append("actors had taken the newest first")
    if outcome.trouble():
        parts.append(outcome.trouble())
    result = outcome.result() | {
        "equal": not differing if versions else None,
        "differing": differing,
    }
    return outcome.ok and not differing, "; ".join(parts), result


def _holders(names: Collection[str]) -> str:
    return _names(names) if len(names) <= MOST_HOLDERS else f"{len(names)} workers"


def _names(names: Iterable[str]) -> str:
    return ", ".join(names)
