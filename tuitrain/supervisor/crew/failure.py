"""A worker's failure as a value: everything a person needs to find its cause."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

from tuitrain.supervisor.crew.process import printable
from tuitrain.supervisor.ending import End


@dataclass
class Failure:
    """Why a worker has failed, with everything a person needs to find the cause."""

    worker: str
    role: str
    how: str
    """Exit code, signal name, or what the supervisor saw."""
    error_type: str | None = None
    message: str | None = None
    traceback: str | None = None
    where: str = ""
    """The line that raised, as `my_env.py:41 in step`; the user's own if there is one."""
    progress: int = 0
    """Units of work that it had done when it raised."""
    log: list[str] = field(default_factory=list)
    exit_code: int | None = None
    ready: bool = False
    """Whether the worker had reported ready."""
    died_s: float | None = None
    """Unix time; None of one that was stopping anyway, which is no death."""
    final: str = ""
    """Why it is not started again, where others would be."""
    check: str = ""
    """Id of the check that had failed, if all were on their way back because of it."""
    way: str = ""
    """The same in words."""
    asked: bool = False
    """Nothing has failed: a person wants it to be started again."""

    @property
    def happened(self) -> str:
        """What others are told to go back or on for."""
        if self.asked:
            return f"{self.worker} is restarted on request"
        return f"{self.worker} failed, {self.how}"

    @property
    def cause(self) -> str:
        """What was raised, and where, to compare with another's; empty if nothing was."""
        return f"{self.error_type}: {self.message} ({self.where})" if self.error_type else ""

    def headline(self) -> str:
        """One line, fit for a terminal."""
        text = f"{self.worker} ({self.role}) failed, {self.why}"
        if self.final:
            text += f"; it is not started again: {self.final}"
        return printable(" ".join(text.split()))

    @property
    def why(self) -> str:
        """How it ended, with what it raised and where: one line."""
        return why_of(self.data())

    def end(self) -> End:
        """The end of the run because of it; by then the headline has been told."""
        kind = f": {self.error_type}" if self.error_type else ""
        brief = f"{self.worker} ({self.role}) failed, {self.how}{kind}"
        way = f"{self.way}: " if self.way else ""
        brief = printable(" ".join(f"{way}{brief}".split()))
        return End("failed", way + self.headline(), brief=brief, check=self.check)

    def data(self) -> dict[str, Any]:
        """All of it, for events.jsonl and summary.json."""
        return {
            "role": self.role,
            "died_s": self.died_s,
            "how": self.how,
            "exit_code": self.exit_code,
            "error_type": self.error_type,
            "message": self.message,
            "where": self.where,
            "traceback": self.traceback,
            "log": self.log,
        }


def why_of(data: Mapping[str, Any]) -> str:
    """How somebody ended, with what was raised and where, from ``Failure.data`` or a summary."""
    reason = f": {data['error_type']}: {data['message']}" if data.get("error_type") else ""
    reason += f" ({data['where']})" if data.get("where") else ""
    return printable(" ".join(f"{data['how']}{reason}".split()))
