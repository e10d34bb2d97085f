"""What clients may ask of one worker by name: to be started again, and to say where it stands."""

from __future__ import annotations

import asyncio
from typing import Any

from tuitrain.protocol import Request
from tuitrain.supervisor.crew.hang import Hang
from tuitrain.supervisor.crew.worker import Worker
from tuitrain.supervisor.recovery import Recovery
from tuitrain.supervisor.run import Run

LOOK_S = 0.05
"""Between two looks at a log for stacks; how long they are waited for is `hang.ANSWER_S`."""

Told = tuple[bool, str, dict[str, Any]]
"""Whether it was carried out, one line for a person, and values."""


async def restart(run: Run, recovery: Recovery, request: Request) -> Told:
    """End a worker at work; answered when it, or everybody, is back."""
    worker = _named(run, request)
    if isinstance(worker, str):
        return False, worker, {}
    back, text = await recovery.restart(worker)
    return back, text, {}


async def stacks(run: Run, request: Request) -> Told:
    """Let a worker write the stacks of all its threads into its log; it goes on."""
    worker = _named(run, request)
    if isinstance(worker, str):
        return False, worker, {}
    pid, log = worker.process.pid, worker.process.log_path
    if worker.hang is not None or pid is None or not worker.process.alive:
        return False, f"{worker.name} is not at work", {}
    asked = Hang(pid, log, f"{worker.name} is asked for its stacks", run.clock())
    while not asked.over(run.clock()):
        await asyncio.sleep(LOOK_S)
    lines = asked.stack_lines()
    text = f"{worker.name}: {asked.where()}"
    if lines:
        text += f"; the stacks of all its threads are in {log}"
    return bool(lines), text, {"log": str(log), "stack": lines}


def _named(run: Run, request: Request) -> Worker | str:
    """The worker that is meant, or what is wrong with its name."""
    workers, name = run.crew.workers, str(request.args.get("worker", ""))
    if name in workers:
        return workers[name]
    return f"there is no worker {name!r}; there are {', '.join(workers)}"
