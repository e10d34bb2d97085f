"""What a check says: a state, what was found, and what to do about it."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import asdict, dataclass
from typing import Any

from tuitrain.protocol import CheckState


@dataclass(frozen=True)
class Finding:
    """One row of the report.

    Attributes:
        id: stable name, for scripts.
        name: for people.
        found: what was measured, one sentence or less.
        advice: what to do, empty where there is nothing to do.
        commands: to be typed as they are, or lines to be put into a file.
    """

    id: str
    name: str
    state: CheckState
    found: str
    advice: str = ""
    commands: tuple[str, ...] = ()

    def data(self) -> dict[str, Any]:
        """As plain JSON values."""
        return asdict(self) | {"commands": list(self.commands)}


@dataclass(frozen=True)
class Group:
    """Findings of one subject, in the order in which they are shown."""

    name: str
    findings: tuple[Finding, ...]


def worst(groups: Iterable[Group]) -> CheckState:
    """The worst state of all; `ok` where nothing could be checked."""
    states = {finding.state for group in groups for finding in group.findings}
    return "fail" if "fail" in states else "warn" if "warn" in states else "ok"


def size(nbytes: float) -> str:
    """Bytes as a person reads them."""
    for length, unit in ((2**30, "GiB"), (2**20, "MiB")):
        if nbytes >= length:
            return f"{nbytes / length:.1f} {unit}"
    return f"{nbytes / 2**10:.0f} KiB"
