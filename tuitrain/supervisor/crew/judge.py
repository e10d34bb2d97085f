"""Judging the workers of a crew: who has hung, who is to blame, who must be killed.

Whoever hangs is looked at (``hang``) before it is told of and killed. A worker that has died of
waiting for a lock names who holds it: that one is the cause, is told of first, and does not live.
Nor does one that has grown over the limit of memory.
"""

from __future__ import annotations

import signal
from collections.abc import Callable, Iterable
from typing import NamedTuple

from tuitrain.metrics.phases import Stay
from tuitrain.supervisor.crew import memory
from tuitrain.supervisor.crew.hang import Hang
from tuitrain.supervisor.crew.liveness import SILENCE_S
from tuitrain.supervisor.crew.process import Exit
from tuitrain.supervisor.crew.worker import Worker
from tuitrain.supervisor.journal import Journal

Report = Callable[[Worker, str, int | None], None]
"""Tells of a failure: the worker, how it failed, its exit code if it has ended."""


class _Victim(NamedTuple):
    worker: Worker
    culprit: Worker
    how: str
    exit_code: int | None


def nowhere(role: str, index: int) -> Stay | None:
    """Where a worker stands while there is no shared memory."""
    return None


class Judge:
    """Of one crew.

    Args:
        memory_limit_mib: of a worker's own memory; None is without.
        report: told of who has failed.

    Attributes:
        where: where a worker stands, by role and index: ``Held.stay``, once there is memory.
        kills: the kernel's, for want of memory.
    """

    def __init__(self, memory_limit_mib: int | None, journal: Journal, report: Report) -> None:
        self.where: Callable[[str, int], Stay | None] = nowhere
        self._journal = journal
        self._report = report
        self._memory_limit_mib = memory_limit_mib
        self._victims: list[_Victim] = []
        self._scarcity = memory.Scarcity()
        self.kills = memory.Kills()

    def judge(self, workers: Iterable[Worker], now: float, *, stopping: bool) -> None:
        """Look at every living worker; with `stopping` only at those already given up."""
        for worker in workers:
            worker.process.check()
            stay = self.where(worker.spec.role, worker.spec.index)
            worker.life.on_stay(now, stay)
            worker.view.stands_in = None if stay is None else stay.phase
            worker.view.deadline_s = worker.life.deadline_s
            if worker.hang is not None:
                self._end(worker, worker.hang, now)
            elif not (worker.reported or worker.killed or stopping):
                self._judge(worker, now)
        for victim in self._victims:
            if victim.culprit.reported or not victim.culprit.process.alive:
                self._report(victim.worker, victim.how, victim.exit_code)
        self._victims = [victim for victim in self._victims if not victim.worker.reported]

    def blame(self, worker: Worker, pid: int | None, workers: Iterable[Worker], now: float) -> None:
        """`worker` has died of waiting for what this process holds: give that one up."""
        for culprit in workers:
            if pid is None or culprit.process.pid != pid or culprit is worker:
                continue
            worker.held_up_by = culprit
            if culprit.hang is None and not culprit.killed:
                stay = culprit.life.stay
                place = f' in "{stay.phase}"' if stay is not None else ""
                culprit.hang = Hang(
                    pid,
                    culprit.process.log_path,
                    f"hung{place}, holding a lock for which {worker.name} has waited too long",
                    now,
                )
                self._end(culprit, culprit.hang, now)

    def weigh(self, workers: Iterable[Worker], now: float) -> None:
        """Kill who has grown too large, and warn before the kernel chooses somebody.

        Workers have been measured just now.
        """
        if killed := self.kills.look(now):  # perhaps what an environment has started
            self._journal.event(
                f"out of memory: the kernel has killed {killed} of the processes in this control "
                "group, which are the run's and perhaps others",
                level="warning",
            )
        limit = self._memory_limit_mib
        sizes = {}
        for worker in workers:
            if worker.reported or worker.killed:
                continue
            mib = worker.own_bytes // memory.MIB
            if limit is not None and mib > limit:
                self._kill(
                    worker,
                    f"grew to {mib:,} MiB, over supervisor.worker_memory_limit_mib = {limit}",
                )
            sizes[worker.name] = worker.own_bytes
        if warning := self._scarcity.judge(memory.left(), sizes):
            self._journal.event(warning, level="warning")

    def how(self, end: Exit) -> str:
        """How a process has ended, with what the kernel says about it."""
        why = self.kills.why() if end.code == -signal.SIGKILL else None
        return str(end) if why is None else f"killed by SIGKILL ({why})"

    def puts_off(self, worker: Worker, how: str, exit_code: int | None) -> bool:
        """Whether a failure is told later, by ``judge``: after its cause."""
        culprit = worker.held_up_by
        if culprit is None or culprit.reported or not culprit.process.alive:
            return False
        self._victims.append(_Victim(worker, culprit, how, exit_code))
        return True

    def _judge(self, worker: Worker, now: float) -> None:
        life = worker.life
        if life.judge(now) != "ok":
            assert worker.process.pid is not None
            worker.hang = Hang(worker.process.pid, worker.process.log_path, life.why(now), now)
        elif life.falls_silent():
            self._journal.event(
                f"has not been heard for {SILENCE_S:g} s, though it is at work",
                level="warning",
                source=worker.name,
            )

    def _end(self, worker: Worker, hang: Hang, now: float) -> None:
        """Tell of a worker that is given up, and kill it, once it is known where it hangs."""
        if not worker.killed and hang.over(now):
            self._kill(worker, hang.how())

    def _kill(self, worker: Worker, how: str) -> None:
        self._report(worker, how, None)
        # It cannot be asked to stop; others might wait for what it holds.
        worker.killed = True
        worker.process.kill()
