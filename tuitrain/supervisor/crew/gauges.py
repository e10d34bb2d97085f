"""What the workers of a crew weigh, measured every half second.

A figure that cannot be had, for want of descriptors or memory, is not known until it can be had
again. That is told, once each time; nobody is ended for it.
"""

from __future__ import annotations

from collections.abc import Sequence

import psutil

from tuitrain.supervisor.crew import log_size
from tuitrain.supervisor.crew.judge import Judge
from tuitrain.supervisor.crew.worker import Worker
from tuitrain.supervisor.house.open_files import why
from tuitrain.supervisor.journal import Journal


class Gauges:
    """Of one crew.

    Args:
        judge: told of what has been measured; ends who is too large.
    """

    def __init__(self, judge: Judge, journal: Journal) -> None:
        self._judge = judge
        self._journal = journal
        self._in_trouble = False

    def read(self, workers: Sequence[Worker], now: float) -> None:
        """Memory, CPU and log of every living worker. About 0.1 ms each."""
        trouble: OSError | None = None
        for worker in workers:
            self._look_at_log(worker)
            try:
                _weigh(worker)
            except psutil.Error:
                worker.gauge = None
            except OSError as error:
                worker.view.rss_bytes = worker.view.cpu_percent = None
                trouble = error
        try:
            self._judge.weigh(workers, now)
        except OSError as error:
            trouble = error
        if (trouble is not None) != self._in_trouble:
            self._tell(trouble)

    def _look_at_log(self, worker: Worker) -> None:
        if log_size.cut(worker.process.log_path) and not worker.log_is_cut:
            worker.log_is_cut = True
            self._journal.event(
                f"has printed more than {log_size.MAX_BYTES // 2**20} MiB: of its log only the "
                "beginning and the end are kept",
                level="warning",
                source=worker.name,
            )

    def _tell(self, trouble: OSError | None) -> None:
        self._in_trouble = trouble is not None
        if trouble is None:
            self._journal.event("memory and CPU of the run's processes are measured again")
            return
        self._journal.event(
            f"memory and CPU of the run's processes cannot be measured: {why(trouble)}; training "
            "goes on, and nobody is held to supervisor.worker_memory_limit_mib meanwhile",
            level="warning",
        )


def _weigh(worker: Worker) -> None:
    """Raises OSError as the system does; psutil makes its own errors only of a process's end."""
    if worker.gauge is None:
        worker.gauge = psutil.Process(worker.process.pid)
    with worker.gauge.oneshot():
        memory = worker.gauge.memory_info()
        worker.view.rss_bytes = memory.rss
        worker.own_bytes = memory.rss - getattr(memory, "shared", 0)
        worker.view.cpu_percent = worker.gauge.cpu_percent(None)
