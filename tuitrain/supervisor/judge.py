"""Judging the workers of a crew: who has hung, who is to blame, who must be killed.

Whoever hangs is looked at (``hang``) before it is told of and killed. A worker that has died of
waiting for a lock names who holds it: that one is the cause, is told of first, and does not live.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable
from typing import TYPE_CHECKING, NamedTuple

from tuitrain.metrics.phases import Stay
from tuitrain.supervisor.hang import Hang
from tuitrain.supervisor.journal import Journal
from tuitrain.supervisor.liveness import SILENCE_S

if TYPE_CHECKING:
    from tuitrain.supervisor.crew import Worker

Report = Callable[["Worker", str, int | None], None]
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
        report: told of who has failed.

    Attributes:
        where: where a worker stands, by role and index: ``Held.stay``, once there is memory.
    """

    def __init__(self, journal: Journal, report: Report) -> None:
        self.where: Callable[[str, int], Stay | None] = nowhere
        self._journal = journal
        self._report = report
        self._victims: list[_Victim] = []

    def judge(self, workers: Iterable[Worker], now: float, *, stopping: bool) -> None:
        """Look at every living worker; with `stopping` only at those already given up."""
        for worker in workers:
            worker.process.check()
            worker.life.on_stay(now, self.where(worker.spec.role, worker.spec.index))
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
        if worker.killed or not hang.over(now):
            return
        self._report(worker, hang.how(), None)
        # It cannot be asked to stop; others might wait for what it holds.
        worker.killed = True
        worker.process.kill()
