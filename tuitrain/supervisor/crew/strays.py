"""What a dead worker's environment has left: found by the worker's mark, and ended.

Its process group is killed as it is reaped; this is about what has left that, in a session of its
own. All processes of the machine are looked through, so it is done in a thread, and once for all
who die together.
"""

from __future__ import annotations

import asyncio

from tuitrain.supervisor.house.marks import kill_of_workers
from tuitrain.supervisor.journal import Journal

MAX_NAMED = 10


class Strays:
    """Ends what dead workers have left behind."""

    def __init__(self, journal: Journal) -> None:
        self._journal = journal
        self._due: dict[str, tuple[str, int]] = {}
        self._task: asyncio.Task[None] | None = None

    def of(self, name: str, mark: str, pid: int) -> None:
        """A worker with this mark has been reaped, and its process group killed."""
        self._due[mark] = name, pid
        if self._task is None or self._task.done():
            self._task = asyncio.ensure_future(self._end_all())

    async def ended(self) -> None:
        """Wait until all are gone that are known by now."""
        if self._task is not None:
            await asyncio.shield(self._task)

    async def _end_all(self) -> None:
        while self._due:
            due, self._due = self._due, {}
            groups = {mark: pid for mark, (_, pid) in due.items()}
            try:
                found = await asyncio.to_thread(kill_of_workers, groups)
            except Exception as error:  # no reason to end a run: at its end it is tried again
                self._journal.event(
                    f"what dead workers have left cannot be looked for: {error!r}", level="warning"
                )
                continue
            for mark, processes in found.items():
                name, _ = due[mark]
                self._journal.event(told(name, processes), level="warning", source=name)


def told(name: str, processes: list[str]) -> str:
    """In words; the processes as `NAME PID`."""
    shown = ", ".join(processes[:MAX_NAMED])
    more = f" and {len(processes) - MAX_NAMED} more" if len(processes) > MAX_NAMED else ""
    what = "process" if len(processes) == 1 else "processes"
    were = "it was" if len(processes) == 1 else "they were"
    return f"{name}'s environment had left {len(processes)} {what} ({shown}{more}); {were} ended"
