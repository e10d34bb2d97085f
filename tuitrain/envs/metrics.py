"""Numbers that an environment tells in its infos: taken in at every step, asked for now and then.

An environment puts a table of numbers into ``info["metrics"]`` whenever it has something to tell,
at every step or at the end of an episode only. Nothing of it reaches replay or learning. What is
no finite number is left out and told of, never an error: a typo in a measurement must not end a
run.
"""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import astuple, dataclass
from typing import Any

KEY = "metrics"
MAX_NAMES = 64
"""Names per policy; a record of them must fit a message."""

MAX_NAME_BYTES = 64


@dataclass
class Summary:
    """What any reduction can be made of."""

    count: int = 0
    sum: float = 0.0
    min: float = math.inf
    max: float = -math.inf
    last: float = math.nan

    def add(self, value: float) -> None:
        """Take in one finite number."""
        self.count += 1
        self.sum += value
        self.min = min(self.min, value)
        self.max = max(self.max, value)
        self.last = value

    def reduced(self, how: str) -> float:
        """`mean`, `sum`, `min`, `max` or `last` of what was taken in, at least one number."""
        value: float = self.sum / self.count if how == "mean" else getattr(self, how)
        return value


class EnvMetrics:
    """What the environments of one process have told since they were last asked."""

    def __init__(self) -> None:
        self._told: dict[str, dict[str, Summary]] = {}
        self.refused = ""
        """Why something was left out, the first time it was; "" if nothing ever was."""

    def add(self, policy: str, info: Mapping[str, Any]) -> None:
        """Take in the info of one step of one of the policy's agents. No dict says nothing."""
        try:
            numbers = info[KEY]
        except (KeyError, TypeError, IndexError):
            return
        if not isinstance(numbers, Mapping):
            self._refuse(f"it is a {type(numbers).__name__}, not a dict of numbers by name")
            return
        told = self._told.setdefault(policy, {})
        for name, value in numbers.items():
            summary = told.get(name)
            if summary is None:
                if not _is_name(name):
                    self._refuse(f"{name!a:.80} is no name of 1 to {MAX_NAME_BYTES} bytes")
                    continue
                if len(told) >= MAX_NAMES:
                    self._refuse(f"there are more than {MAX_NAMES} names, {name!r} among them")
                    continue
            try:
                number = float(value)
            except (TypeError, ValueError, OverflowError):
                self._refuse(f"{name!r} is {value!a:.80}, not a number")
                continue
            if not math.isfinite(number):
                self._refuse(f"{name!r} is {number}")
                continue
            if summary is None:
                summary = told[name] = Summary()
            summary.add(number)

    def take(self) -> dict[str, dict[str, Summary]]:
        """By policy and name, what was told since the last call; begins anew."""
        told = {policy: named for policy, named in self._told.items() if named}
        self._told = {}
        return told

    def state(self) -> dict[str, Any]:
        """What has been told and not asked for, as plain values."""
        return {
            "refused": self.refused,
            "told": {
                policy: {name: list(astuple(summary)) for name, summary in named.items()}
                for policy, named in self._told.items()
            },
        }

    def restore(self, state: Mapping[str, Any]) -> None:
        """Go on from there."""
        self.refused = str(state["refused"])
        self._told = {
            policy: {name: Summary(*numbers) for name, numbers in named.items()}
            for policy, named in state["told"].items()
        }

    def _refuse(self, why: str) -> None:
        self.refused = self.refused or f'info["{KEY}"]: {why}; it is left out'


def _is_name(name: Any) -> bool:
    return isinstance(name, str) and name.isprintable() and 0 < len(name.encode()) <= MAX_NAME_BYTES
