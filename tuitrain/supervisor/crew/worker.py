"""One worker, with all that the supervisor knows of it."""

from __future__ import annotations

import asyncio
from dataclasses import dataclass, field
from typing import Any

import psutil

from tuitrain.schedules import RoleSpec
from tuitrain.supervisor.crew.hang import Hang
from tuitrain.supervisor.crew.liveness import Liveness
from tuitrain.supervisor.crew.process import WorkerProcess
from tuitrain.supervisor.crew.worker_view import WorkerView
from tuitrain.workers import messages

SAVERS = ("learner", "trainer")
"""Roles that write checkpoints."""

CLOSERS = (*SAVERS, "evaluator")
"""Roles whose `Finished` ends the run, once all of them have said it."""


@dataclass
class Worker:
    """One worker with all that is known of it."""

    spec: RoleSpec
    view: WorkerView
    life: Liveness
    process: WorkerProcess
    mark: str = ""
    """Carried by all that it starts."""
    gauge: psutil.Process | None = None
    log_is_cut: bool = False
    own_bytes: int = 0
    """Memory without what is shared: stores, files."""
    failed: messages.Failed | None = None
    ready: asyncio.Event = field(default_factory=asyncio.Event)
    told: dict[str, Any] = field(default_factory=dict)
    """What it said with its report that it is ready."""
    reported: bool = False
    finished: dict[str, Any] | None = None
    hang: Hang | None = None
    """It is given up, and where it stands is being found out."""
    held_up_by: Worker | None = None
    """It has died of waiting for what this one holds."""
    killed: bool = False
    """The supervisor has killed it, so its end is no surprise."""

    @property
    def name(self) -> str:
        """The worker's name."""
        return self.spec.name
