"""What is wrong with a config, as values: all of it at once, each with what would be right."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any


@dataclass(frozen=True)
class Problem:
    """One thing that is wrong.

    Attributes:
        key: dotted key, or the file's name when the file as a whole is wrong.
        value: what was given, as written; "" when nothing was.
        message: what is wrong and what is allowed.
        suggestion: the nearest known key or what to do; "" when there is nothing to suggest.
    """

    key: str
    value: str
    message: str
    suggestion: str = ""

    def __str__(self) -> str:
        given = f" = {self.value}" if self.value else ""
        hint = f" {self.suggestion}" if self.suggestion else ""
        return f"{self.key}{given}: {self.message}{hint}"

    def to_dict(self) -> dict[str, Any]:
        """Plain JSON values."""
        return {
            "key": self.key,
            "value": self.value,
            "message": self.message,
            "suggestion": self.suggestion,
        }


class ConfigError(ValueError):
    """A config cannot be used. ``problems`` has every reason; nothing has been created."""

    def __init__(self, problems: Sequence[Problem], source: str = "config") -> None:
        """`source` names what was read (a path, or "config")."""
        self.problems = list(problems)
        self.source = source
        count = f"{len(self.problems)} problem{'s' if len(self.problems) != 1 else ''}"
        super().__init__("\n".join([f"{source}: {count}", *(f"  {p}" for p in self.problems)]))
