"""One session of a run, and what it takes over from the one before once it is up.

Until then the run is what the session before has left: nothing measured is void yet, and what the
new workers measure meanwhile is kept back, since they may be told to begin one by one.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from tuitrain.supervisor.run import Run


class Session:
    """From the start of a supervisor until its run is up.

    Args:
        run: whose view must follow when training goes back.
        deliver: takes a record of a run that is up.

    Attributes:
        number: of this session, as soon as it is known; 0 is the first.
    """

    def __init__(self, run: Run, deliver: Callable[[dict[str, Any]], None]) -> None:
        self.number = 0
        self._run = run
        self._deliver = deliver
        self._early: list[dict[str, Any]] | None = []
        run.journal.on_rewind += [run.view.on_rewind, run.unattended.on_rewind]

    def on_record(self, record: dict[str, Any]) -> None:
        """A worker has measured something."""
        if self._early is None:
            self._deliver(record)
        else:
            self._early.append(record)

    def up(self) -> None:
        """The run is up: what is recorded beyond its start is void, what it has made counts.

        A second call does nothing.
        """
        if self._early is None:
            return
        view = self._run.view
        updates = {policy.name: policy.base_updates for policy in view.policies}
        self._run.journal.rewind(view.base_steps, updates, "resumed", self.number)
        early, self._early = self._early, None
        for record in early:
            self._deliver(record)
