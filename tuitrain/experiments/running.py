"""Running the cells of a plan side by side, as supervised headless runs.

Cores are handed out, not processes: a `sequential` run takes one, a parallel run one for each actor
and one for its learner, so that runs do not slow each other down (which in `async` would make the
policy lag and so change what is compared). A run that fails is a result like any other. Whatever
ends this process, its runs end too: they are stopped on the way out, and Linux stops them if it is
killed.
"""

from __future__ import annotations

import ctypes
import hashlib
import json
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from types import FrameType
from typing import Any, Protocol

from tuitrain.config.runs import RunFolder, RunFolderError, create_run
from tuitrain.config.schema import Config
from tuitrain.experiments.curves import read_curves
from tuitrain.experiments.plan import Cell, Plan
from tuitrain.experiments.store import FINISHED, Result, Store, agents_of
from tuitrain.metrics.sinks import last_steps
from tuitrain.supervisor.ready import command_line
from tuitrain.supervisor.stop_signals import held_back

TICK_S = 0.1
PROGRESS_S = 1.0
_PR_SET_PDEATHSIG = 1
_KILL_AFTER_S = 10.0
"""Beyond `supervisor.stop_deadline_s`."""


class Process(Protocol):
    """What is needed of a started run; ``subprocess.Popen`` has it."""

    def poll(self) -> int | None:
        """Exit code, or None while it runs."""
        ...

    def wait(self) -> int:
        """Exit code, once it has ended."""
        ...

    def send_signal(self, sig: int) -> None:
        """Nothing happens where it has ended."""
        ...

    def kill(self) -> None:
        """SIGKILL."""
        ...


Start = Callable[[RunFolder], Process]


@dataclass
class Running:
    """A run that has been started."""

    cell: Cell
    config: Config
    folder: RunFolder
    process: Process


@dataclass(frozen=True)
class Progress:
    """Where a comparison is. `share` is of all environment steps, 0 to 1."""

    done: int
    failed: int
    running: int
    total: int
    share: float
    elapsed_s: float
    started_share: float = 0.0

    @property
    def eta_s(self) -> float | None:
        """Seconds to the end at the pace so far."""
        won = self.share - self.started_share
        return self.elapsed_s * (1 - self.share) / won if won > 0 else None


@dataclass
class Told:
    """What the outside hears: a result at each end, progress once a second."""

    ended: Callable[[Result], None] = field(default=lambda result: None)
    progress: Callable[[Progress], None] = field(default=lambda progress: None)


def cores_needed(config: Config) -> int:
    """Cores that a run keeps busy: its actors and its learners, each with its threads.

    The evaluator is niced and mostly waits; it gets none of its own.
    """
    assert isinstance(config.actors.count, int), "the config must be resolved"
    learners = config.learner.processes
    if not isinstance(learners, int):
        learners = 1  # how many policies there are is only known once the run has started
    processes = 1 if config.run.schedule == "sequential" else config.actors.count + learners
    return processes * config.run.threads_per_process


def next_to_start(waiting: Sequence[int], free: int, any_running: bool) -> int | None:
    """Index of the first waiting run that fits into the free cores; None if none does.

    A run that needs more than there are starts when nothing else runs.

    Args:
        waiting: cores that each waiting run needs, in the order of the plan.
    """
    for index, cores in enumerate(waiting):
        if cores <= free:
            return index
    return 0 if waiting and not any_running else None


def run_cells(
    plan: Plan,
    store: Store,
    *,
    cores: int,
    jobs: int | None = None,
    told: Told | None = None,
    start: Start | None = None,
) -> None:
    """Run every cell that has not finished; returns when all have ended.

    Args:
        cores: to hand out.
        jobs: most runs at a time; None leaves it to the cores.
        start: other runs than training as it is, for tests and negative controls.

    Raises:
        KeyboardInterrupt: Ctrl-C, SIGTERM or SIGHUP; every run has been stopped.
        PlanError: a result could not be written; every run has been stopped.
    """
    crew = _Crew(plan, store, cores, jobs, told or Told(), start or start_run)
    with _Interrupts() as interrupts:
        try:
            crew.work(interrupts)
        finally:
            crew.stop(interrupts)


class _Crew:
    def __init__(
        self, plan: Plan, store: Store, cores: int, jobs: int | None, told: Told, start: Start
    ) -> None:
        results = store.results()
        cells = plan.cells()
        self._plan, self._store, self._told, self._start = plan, store, told, start
        self._cores = cores
        self._jobs = len(cells) if jobs is None else jobs
        done = {c for c in cells if c in results and results[c].state == FINISHED}
        self._waiting = [(c, plan.config(c, store.runs)) for c in cells if c not in done]
        self._running: list[Running] = []
        self._total, self._done, self._failed = len(cells), len(done), 0
        self._steps_total = sum(plan.configs[c.arm, c.task].run.total_steps for c in cells)
        self._steps_done = sum(plan.configs[c.arm, c.task].run.total_steps for c in done)
        self._steps_at_start = self._steps_done
        self._started_s = time.monotonic()

    def work(self, interrupts: _Interrupts) -> None:
        """Start and collect runs until none is left, or until a signal asks to end."""
        next_progress_s = 0.0
        while self._waiting or self._running:
            if interrupts.count:
                raise KeyboardInterrupt
            self._start_what_fits()
            for run in [r for r in self._running if r.process.poll() is not None]:
                self._running.remove(run)
                self._ended(run)
            now = time.monotonic()
            if now >= next_progress_s:
                self._told.progress(self._progress())
                next_progress_s = now + PROGRESS_S
            if self._running:
                time.sleep(TICK_S)
        self._told.progress(self._progress())

    def stop(self, interrupts: _Interrupts) -> None:
        """Stop what still runs, as Ctrl-C does; one more signal kills the workers at once."""
        if not self._running:
            return
        deadline = time.monotonic() + _KILL_AFTER_S
        deadline += max(run.config.supervisor.stop_deadline_s for run in self._running)
        asked = -1
        while alive := [run for run in self._running if run.process.poll() is None]:
            if time.monotonic() > deadline:
                break
            if interrupts.count > asked:
                asked = interrupts.count
                for run in alive:
                    run.process.send_signal(signal.SIGINT)
            time.sleep(TICK_S)
        for run in alive:
            run.process.kill()
        for run in self._running:
            run.process.wait()
        self._running.clear()
        if alive:  # what a killed supervisor leaves
            from tuitrain.supervisor.house.leftovers import sweep

            sweep()

    def _start_what_fits(self) -> None:
        while len(self._running) < self._jobs:
            free = self._cores - sum(cores_needed(r.config) for r in self._running)
            needs = [cores_needed(config) for _, config in self._waiting]
            index = next_to_start(needs, free, bool(self._running))
            if index is None:
                return
            cell, config = self._waiting.pop(index)
            try:
                folder = create_run(config, command=sys.argv)
                self._running.append(Running(cell, config, folder, self._start(folder)))
            except (RunFolderError, OSError) as error:
                self._add(Result(cell, "failed", str(error), "", 0, 0.0, {}), config)

    def _ended(self, run: Running) -> None:
        self._add(result_of(run), run.config)

    def _add(self, result: Result, config: Config) -> None:
        self._store.add(result)
        if result.state == FINISHED:
            self._done += 1
        else:
            self._failed += 1
        self._steps_done += config.run.total_steps  # it needs no more time, however it ended
        self._told.ended(result)

    def _progress(self) -> Progress:
        steps = self._steps_done
        for run in self._running:
            steps += min(steps_so_far(run.folder), run.config.run.total_steps)
        return Progress(
            self._done,
            self._failed,
            len(self._running),
            self._total,
            steps / self._steps_total,
            time.monotonic() - self._started_s,
            self._steps_at_start / self._steps_total,
        )


def result_of(run: Running) -> Result:
    """What the folder of a run whose process has ended says of it."""
    code = run.process.poll()
    cause, state, steps, wall_s = "", "failed", 0, 0.0
    try:
        summary = run.folder.read_summary()
    except RunFolderError as error:
        summary, cause = None, str(error)
    if summary is not None:
        state, steps, wall_s = summary["state"], summary["steps"], summary["wall_s"]
        cause = "" if state == FINISHED else str(summary["reason"])
    elif not cause:
        cause = f"the supervisor ended with exit code {code}"
    curves = read_curves(run.folder.metrics_jsonl)
    if state == FINISHED and not curves:
        state, cause = "failed", "it made no evaluation with a finite return"
    return Result(
        run.cell,
        state,
        cause,
        run.folder.name,
        steps,
        wall_s,
        curves,
        code_of(run.folder),
        agents_of(run.folder),
    )


def code_of(folder: RunFolder) -> dict[str, str]:
    """Hashes of the source that a run was made with, as `Result.code` has them."""
    try:
        provenance = folder.read_json(folder.provenance_json) or {}
        sources = json.dumps(provenance["sources"], sort_keys=True).encode()
        return {
            "tuitrain": str(provenance["tuitrain"]["source_sha256"]),
            "sources": hashlib.sha256(sources).hexdigest(),
        }
    except (RunFolderError, KeyError, TypeError):
        return {}


def steps_so_far(folder: RunFolder) -> int:
    """Environment steps of a run, from the newest lines of its metrics; 0 where it has none."""
    return last_steps(folder.metrics_jsonl) or 0


def start_run(folder: RunFolder, command: Sequence[str] | None = None) -> Process:
    """Start a supervisor in a session of its own, so that only we interrupt it.

    What it prints itself goes to `logs/supervisor.log`.

    Args:
        command: another supervisor than the usual one, for this folder.
    """
    with folder.open_supervisor_log() as log, held_back():
        return subprocess.Popen(
            command or command_line(folder.path, "--headless"),
            stdin=subprocess.DEVNULL,
            stdout=log,
            stderr=log,
            start_new_session=True,
            preexec_fn=stop_with_parent if sys.platform == "linux" else None,
        )


_libc = ctypes.CDLL(None, use_errno=True) if sys.platform == "linux" else None


def stop_with_parent() -> None:
    """In the child, before it becomes a supervisor: SIGTERM when its parent is gone."""
    if _libc is not None:
        _libc.prctl(_PR_SET_PDEATHSIG, signal.SIGTERM, 0, 0, 0)


class _Interrupts:
    """Counts Ctrl-C, SIGTERM and a closed terminal while it is entered.

    Counted and looked at between two acts, never raised in the middle of one: a process that has
    just been started must not be lost.
    """

    def __init__(self) -> None:
        self.count = 0
        self._before: dict[signal.Signals, Any] = {}

    def __enter__(self) -> _Interrupts:
        numbers = [signal.SIGINT, signal.SIGTERM]
        if signal.getsignal(signal.SIGHUP) is not signal.SIG_IGN:  # nohup
            numbers.append(signal.SIGHUP)
        self._before = {number: signal.signal(number, self._on_signal) for number in numbers}
        return self

    def __exit__(self, *_: object) -> None:
        for number, handler in self._before.items():
            signal.signal(number, handler)

    def _on_signal(self, number: int, frame: FrameType | None) -> None:
        self.count += 1
