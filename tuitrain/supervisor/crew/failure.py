"""A worker's failure as a value: everything a person needs to find its cause."""

from __future__ import annotations

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
    log: list[str] = field(default_factory=list)
    exit_code: int | None = None
    ready: bool = False
    """Whether the worker had reported ready."""
    final: str = ""
    """Why it is not started again, where others would be."""

    def headline(self) -> str:
        """One line, fit for a terminal."""
        reason = f": {self.error_type}: {self.message}" if self.error_type else ""
        text = f"{self.worker} ({self.role}) failed, {self.how}{reason}"
        if self.final:
            text += f"; it is not started again: {self.final}"
        return printable(" ".join(text.split()))

    def end(self) -> End:
        """The end of the run because of it; by then the headline has been told."""
        kind = f": {self.error_type}" if self.error_type else ""
        brief = f"{self.worker} ({self.role}) failed, {self.how}{kind}"
        return End("failed", self.headline(), brief=printable(" ".join(brief.split())))

    def data(self) -> dict[str, Any]:
        """All of it, for events.jsonl and summary.json."""
        return {
            "role": self.role,
            "how": self.how,
            "exit_code": self.exit_code,
            "error_type": self.error_type,
            "message": self.message,
            "traceback": self.traceback,
            "log": self.log,
        }
