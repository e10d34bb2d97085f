"""What a worker goes by, and changes of it that it is told of while it works.

A worker takes a change in at any time and lets it hold where it can: at once, or where there are
rounds when the next one opens. There all change at the same round, which the conductor says: it is
told last, so whoever reads its number on the board has the change already.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from tuitrain.config.live import with_values
from tuitrain.workers.blueprint import Blueprint
from tuitrain.workers.link import Link
from tuitrain.workers.log import set_level
from tuitrain.workers.messages import Set


class Settings:
    """One worker's.

    Args:
        take: makes the worker go by a changed blueprint.
        at_once: changes hold as soon as they are told; else ``take_over`` is called.

    Attributes:
        blueprint: what the worker goes by now.
    """

    def __init__(
        self,
        link: Link,
        blueprint: Blueprint,
        take: Callable[[Blueprint], None],
        *,
        at_once: bool,
    ) -> None:
        self.blueprint = blueprint
        self._take = take
        self._at_once = at_once
        self._waiting: list[Set] = []
        link.on("set", self._on_command)

    def take_over(self, number: int | None = None) -> int:
        """Let hold what waits, up to this number or all of it; the number of the last of it.

        Returns:
            0 if nothing has waited.
        """
        last = 0
        while self._waiting and (number is None or self._waiting[0].number <= number):
            told = self._waiting.pop(0)
            last = told.number
            self.blueprint = self.blueprint.changed(with_values(self.blueprint.config, told.values))
            self._take(self.blueprint)
        return last

    def _on_command(self, command: Set) -> dict[str, Any]:
        self._waiting.append(command)
        if level := command.values.get("run.log_level"):
            set_level(level)
        if self._at_once:
            self.take_over()
        return {}
