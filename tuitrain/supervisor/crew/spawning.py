"""Starting worker processes, and holding the pipes that outlive them.

A doorbell belongs to a place, not to a process: whoever rings it need not know that a worker has
died and another has come. So both of its ends are kept here, and a successor gets the same one.
Ringing a dead one is harmless, since nobody waits for room in the pipe.
"""

from __future__ import annotations

import multiprocessing
import os
import time
from collections.abc import Callable, Iterable
from contextlib import suppress
from dataclasses import dataclass
from multiprocessing.connection import Connection
from pathlib import Path
from typing import Any

from tuitrain import regular
from tuitrain.config.schema import Config
from tuitrain.schedules import RoleSpec
from tuitrain.supervisor.crew.process import WorkerProcess
from tuitrain.supervisor.house.marks import marked_as, worker_mark
from tuitrain.workers.child import ChildArgs


@dataclass(frozen=True)
class Kit:
    """What all workers that belong together are started with.

    Attributes:
        target: a worker process runs this, given its ``ChildArgs``.
        blueprint: None for the probe.
        handles: of the run's shared memory, from ``Held.handles``.
    """

    target: Callable[[Any], None]
    config: Config
    blueprint: Any
    run_dir: Path
    handles: Any = None


class Spawner:
    """Starts processes; holds doorbells and lifelines until it is closed."""

    def __init__(self) -> None:
        self._doorbells: dict[str, tuple[Connection, Connection]] = {}
        self._lifelines: dict[str, Connection] = {}

    def hang_bells(self, names: Iterable[str]) -> None:
        """Make a doorbell for everyone who has none, before the first of them is started."""
        for name in names:
            if name not in self._doorbells:
                self._doorbells[name] = multiprocessing.Pipe(duplex=False)

    def start(self, process: WorkerProcess, spec: RoleSpec, kit: Kit, incarnation: int) -> str:
        """Start one process. Its predecessor, if there was one, is dead and reaped.

        Returns:
            The mark that it and whatever it starts carry.

        Raises:
            OSError: the system has no room for another process or pipe.
        """
        control, control_of_child = multiprocessing.Pipe(duplex=True)
        lifeline_of_child, lifeline = multiprocessing.Pipe(duplex=False)
        before = self._lifelines.pop(spec.name, None)
        if before is not None:
            before.close()
        self._lifelines[spec.name] = lifeline
        args = ChildArgs(
            name=spec.name,
            role=spec.role,
            index=spec.index,
            incarnation=incarnation,
            entry=spec.entry,
            config=kit.config,
            blueprint=kit.blueprint,
            control=control_of_child,
            lifeline=lifeline_of_child,
            doorbell=self._doorbells[spec.name][0],
            log_path=str(process.log_path),
            supervisor_pid=os.getpid(),
            run_dir=str(kit.run_dir),
            nice=spec.nice,
            peers={n: bell[1] for n, bell in self._doorbells.items() if n != spec.name},
            handles=kit.handles,
        )
        mark = worker_mark(spec.name)
        try:
            with marked_as(mark):
                process.start(kit.target, args, control)
        except BaseException:
            control.close()
            raise
        finally:
            control_of_child.close()
            lifeline_of_child.close()
        return mark

    def forget(self, name: str) -> None:
        """Nobody will be in this place any more."""
        for end in self._doorbells.pop(name, ()):
            end.close()
        lifeline = self._lifelines.pop(name, None)
        if lifeline is not None:
            lifeline.close()

    def close(self) -> None:
        """Let go of everything: whoever still lives dies now."""
        for name in [*self._doorbells]:
            self.forget(name)


def mark_log(path: Path, text: str) -> None:
    """A line in a worker's log that says where its successor's words begin."""
    now = time.strftime("%Y-%m-%d %H:%M:%S UTC", time.gmtime())
    with suppress(OSError), open(path, "ab", opener=regular.opener) as file:
        file.write(f"==== {text}, {now} ====\n".encode())
