"""The processes of a fault run: the real ones, with a trigger and a ledger in each of them.

Workers get theirs through the plan's ``child_main``, the supervisor in ``supervise``.
"""

from __future__ import annotations

import functools
import os
import signal
import sys
import threading
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

from tests.faults import triggers
from tests.faults.orders import append
from tuitrain.supervisor.plan import Held, TrainingPlan
from tuitrain.workers import child
from tuitrain.workers.child import ChildArgs

FAULTS = "faults"
"""Folder in the run folder: orders, what has fired, and what was done."""


class FaultPlan(TrainingPlan):
    """A training run whose workers begin in ``main``."""

    def child_main(self) -> Callable[[Any], None]:
        """This module's."""
        return main

    def create_stores(self, blueprint: Any) -> Held:
        """As ever, and noted: whatever the ledgers told of shared memory is over."""
        held = super().create_stores(blueprint)
        line = {"k": "created", "t": time.monotonic()}
        append(Path(blueprint.run_dir) / FAULTS / "ledger" / "supervisor.jsonl", line)
        return held


def main(args: ChildArgs) -> None:
    """Of a worker."""
    folder = Path(args.run_dir) / FAULTS
    triggers.install(folder, args.name)
    if args.role != "probe":
        from tests.faults.ledger import Ledger, keep

        keep(Ledger(folder / "ledger", args.name))
    if args.role == "evaluator":
        _every_evaluation_is_the_best()
    child.main(args)


def _every_evaluation_is_the_best() -> None:
    """So that weights are saved whenever one is asked for."""
    from tuitrain.workers.evaluating.best import Best

    consider = Best.consider

    @functools.wraps(consider)
    def considering(self: Best, *args: Any) -> Any:
        self.score = None
        return consider(self, *args)

    Best.consider = considering


def supervise(run_dir: str) -> int:
    """Of the supervisor: to the run's end, in this process."""
    triggers.install(Path(run_dir) / FAULTS, "supervisor")
    from tuitrain.supervisor.entry import supervise
    from tuitrain.supervisor.watch import Watch

    tick = Watch.tick

    @functools.wraps(tick)
    def ticking(self: Watch, now: float) -> None:
        triggers.ensure()
        tick(self, now)

    Watch.tick = ticking
    threading.Thread(target=_end_with_harness, daemon=True).start()
    return supervise(run_dir, plan=FaultPlan())


def _end_with_harness() -> None:
    os.read(0, 1)  # nothing is ever written
    os.kill(os.getpid(), signal.SIGTERM)


if __name__ == "__main__":
    sys.exit(supervise(sys.argv[1]))
