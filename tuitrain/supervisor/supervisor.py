"""The life of one run: claim its house, probe, reserve memory, start workers, watch, end.

▣ Whatever happens on the way, including an error in here: when `run` returns there is no worker
process, segment, lock file or socket left, and the run folder has a summary that says how it ended.

The first reason to end wins and decides state and exit code; a worker that fails on the way out can
still turn a good end into a failed one. Imports no torch and draws nothing.
"""

from __future__ import annotations

import asyncio
import os
import signal
import time
import traceback
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from dataclasses import replace
from multiprocessing import resource_tracker
from typing import Any

from pydantic import BaseModel

from tuitrain.checkpoint.pruning import sweep
from tuitrain.config.presets import departures
from tuitrain.config.runs import RunFolder
from tuitrain.config.schema import Config
from tuitrain.disk import address_limit_bytes
from tuitrain.protocol import Hello, RecordLine, Reply, Request
from tuitrain.supervisor.checking import Checking
from tuitrain.supervisor.clients.console import Console
from tuitrain.supervisor.clients.control import ControlServer
from tuitrain.supervisor.clients.requests import Requests
from tuitrain.supervisor.crew.crew import Crew
from tuitrain.supervisor.crew.failure import Failure
from tuitrain.supervisor.crew.worker import SAVERS
from tuitrain.supervisor.ending import EXIT_CODES, End
from tuitrain.supervisor.house.folder_lock import sole_supervisor
from tuitrain.supervisor.house.house import House
from tuitrain.supervisor.house.keeper import Keeper
from tuitrain.supervisor.house.marks import kill_of, marks, supervisor_mark
from tuitrain.supervisor.house.surroundings import logout_warnings, look_at_login, memory_warnings
from tuitrain.supervisor.journal import Journal
from tuitrain.supervisor.live import Live
from tuitrain.supervisor.plan import Plan, TrainingPlan
from tuitrain.supervisor.ready import ReadyPipe
from tuitrain.supervisor.recovery import Recovery
from tuitrain.supervisor.run import Run
from tuitrain.supervisor.saving import CheckpointError, checkpoint_of
from tuitrain.supervisor.session import Session
from tuitrain.supervisor.sources import Sources
from tuitrain.supervisor.starting import EXPLAINED, Starting
from tuitrain.supervisor.stop_signals import deliver
from tuitrain.supervisor.stopping import judge_folder, stop_crew
from tuitrain.supervisor.summary import summarise, write_summary
from tuitrain.supervisor.unattended import Unattended
from tuitrain.supervisor.watch import Watch

THREAD_VARIABLES = (
    "OMP_NUM_THREADS",
    "MKL_NUM_THREADS",
    "OPENBLAS_NUM_THREADS",
    "NUMEXPR_NUM_THREADS",
    "VECLIB_MAXIMUM_THREADS",
)


class Supervisor(Run):
    """Leads one run from its first claim to the last file removed.

    Args:
        folder: of the run; its config.toml is the resolved config.
        config: that config.
        plan: what is probed, built and started.
        console: prints lines for a person; None when nobody looks.
        ready: tells whoever started this process when the run is up, or why it is not.
        folder_fd: by which the folder is held already; closed at the end.
    """

    def __init__(
        self,
        folder: RunFolder,
        config: Config,
        *,
        plan: Plan | None = None,
        console: Console | None = None,
        ready: ReadyPipe | None = None,
        folder_fd: int | None = None,
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        super().__init__(folder, config, console, clock)
        self.plan: Plan = plan or TrainingPlan()
        self.ready = ready or ReadyPipe(None)
        self._folder_fd = folder_fd
        self._is_clean = False
        """Processes and memory are gone; else the guard ends them."""

    # ---- the whole ---------------------------------------------------------------------------

    async def run(self) -> int:
        """From the first claim to the last file removed. Returns the exit code.

        Raises:
            HouseError: the runtime directory cannot be used, or the run is already running;
                nothing has been touched.
        """
        loop = asyncio.get_running_loop()
        try:
            with sole_supervisor(self.folder.path, self.folder.name, self._folder_fd) as self.place:
                self.house = House.claim(self.run_id, self.folder.path, self.folder.name)
                try:
                    return await self._run_in_house(loop)
                finally:
                    # Again, for an error in the cleaning itself.
                    with suppress(Exception):
                        self.plan.unlink(self.run_id)
                    # What is left is only looked for where there is a house.
                    left = self.keeper is not None and not self._is_clean
                    self._is_clean = self.house.release(keep=left) and not left
        finally:
            if self.keeper is not None:  # last: the guard touches nothing that is held
                self.keeper.end_guard(clean=self._is_clean)

    async def _run_in_house(self, loop: asyncio.AbstractEventLoop) -> int:
        board = self.folder.path / "tensorboard" if self.config.run.tensorboard else None
        self.journal = Journal(self.folder.events_jsonl, self.folder.metrics_jsonl, board)
        for record in self.journal.earlier_records:
            self.view.on_record(record, self.started_at)
        self.view.begin()
        self.crew = Crew(
            self.config,
            self.folder.logs,
            self.commands,
            self.journal,
            on_failure=self._on_failure,
            on_late_failure=self._on_late_failure,
            on_finished=self._on_finished,
            on_record=lambda record: self.session.on_record(record),
            clock=self.clock,
        )
        self.unattended = Unattended(self)
        self.session = Session(self, self._on_record)
        self.starting = Starting(self, self.plan, self.house, self.ready)
        self.recovery = Recovery(self, self.starting, self._give_up, self._on_recovery_error)
        self.requests = Requests(self, self.recovery, Live(self, self.plan))
        self.checking = Checking(self, self.requests, self.recovery)
        self.server = ControlServer(
            Hello(run_id=self.run_id, run_dir=str(self.folder.path)),
            self._on_request,
            self._history,
        )
        self.journal.on_event.append(self.server.publish)
        self.journal.on_record.append(self.server.publish)
        if self.console is not None:
            self.journal.on_event.append(self.console.event)
        loop.set_exception_handler(self._on_loop_exception)
        self.watch = Watch(self, self.requests)
        ticker = asyncio.ensure_future(self.watch.tick_for_ever())
        ticker.add_done_callback(self._on_ticker_end)
        end = End("failed", "the supervisor failed")
        try:
            with self._signals(loop):
                starter = asyncio.ensure_future(self._start())
                first: list[asyncio.Future[Any]] = [starter, self.end]
                await asyncio.wait(first, return_when=asyncio.FIRST_COMPLETED)
                done = starter.done() and not starter.cancelled()
                if done and (error := starter.exception()) is not None:
                    end = self._fault("the run could not start", error, checkpoint=False)
                    self.request_end(end)
                end = await self.end
                starter.cancel()
                await asyncio.wait({starter})
                await self.recovery.cancel()
                end = await stop_crew(self, self.requests, self.watch, end)
        except BaseException as error:
            self.request_end(self._internal_error(error))
            end = self.end.result()
            if not isinstance(error, Exception):
                raise
        finally:
            try:
                end = await self._clean_up(end)
            finally:
                ticker.cancel()
                self.journal.close()
                self.ready.close()
        return EXIT_CODES[end.state]

    # ---- starting ----------------------------------------------------------------------------

    async def _start(self) -> None:
        await self.server.start(self.house.socket_path)
        self._attempt("write runtime.json", self._write_runtime)
        self.keeper = Keeper(self, self.house)
        # The tracker must not carry the run's mark, or a clean-up by mark would kill it.
        resource_tracker.ensure_running()
        threads = str(self.config.run.threads_per_process)
        os.environ.update({**marks(self.run_id), **dict.fromkeys(THREAD_VARIABLES, threads)})
        # Bound threads would all be bound to the same core: one of each worker.
        os.environ["OMP_PROC_BIND"] = "false"
        self.tell(f"run {self.folder.name} starts, schedule {self.config.run.schedule}")
        self.starting.warn(logout_warnings(look_at_login()))
        self.starting.warn(memory_warnings(address_limit_bytes()))
        if differs := departures(self.config):
            preset = self.config.algorithm.preset
            self.tell(f"differs from preset {preset}: {', '.join(differs)}")
        sources = await asyncio.to_thread(Sources, self.config)
        self.starting.warn(await asyncio.to_thread(self.starting.changed_since_launch))
        await self.starting.bring_up()
        self.session.tell_where_from()
        self.recovery.watch(sources)
        self.watch.sources = sources
        self.unattended.running()
        self.session.up()
        # now with what the probe has settled
        self._attempt("write config.toml", self.store_config)
        self.view.state = "running"
        self.tell(f"running with {', '.join(self.crew.workers)}")
        self.publish_snapshot()
        self.ready.ready(self.run_id, str(self.house.socket_path))

    def _write_runtime(self) -> None:
        path = str(self.house.socket_path)
        self.folder.write_runtime(run_id=self.run_id, pid=os.getpid(), socket_path=path)

    def _on_recovery_error(self, error: BaseException) -> None:
        what, way = "workers could not be started again", self.recovery.way
        end = self._fault(f"{way}: {what}" if way else what, error)
        self.request_end(replace(end, check=self.recovery.check))

    # ---- watching ----------------------------------------------------------------------------

    def _on_record(self, record: dict[str, Any]) -> None:
        full = self.journal.record(record)
        self.view.on_record(full, self.clock())
        self.requests.on_record(full)
        self.unattended.on_record(full)

    def _on_finished(self) -> None:
        # what actors save as they finish belongs to the last checkpoint
        if not self.crew.all_finished(self.state_of):
            return
        self.session.up()  # it may be over before the last worker was ready
        saved = None
        try:
            saved = checkpoint_of(self, self.crew.results().values())
        except CheckpointError as error:  # they are asked once more as they stop
            self.journal.event(f"no checkpoint: {error}", level="warning")
        self.request_end(End("finished", self.unattended.why_finished(), checkpoint=saved is None))

    def _on_failure(self, failure: Failure) -> None:
        if self.end.done():
            self._on_late_failure(failure)
        elif not self.recovery.takes(failure):
            self._give_up(failure)

    def _give_up(self, failure: Failure) -> None:
        self.failure = self.failure or failure
        self._report(failure)
        self.request_end(failure.end())

    def _on_late_failure(self, failure: Failure) -> None:
        if failure.role not in SAVERS:  # what matters at the end is whether the run is saved
            self.journal.event(
                failure.headline(), level="warning", source=failure.worker, data=failure.data()
            )
            return
        self._report(failure)
        if self.failure is None and not self.hard.is_set():
            self.failure = failure

    def _report(self, failure: Failure) -> None:
        self.journal.event(
            failure.headline(), level="error", source=failure.worker, data=failure.data()
        )

    # ---- clients and signals -----------------------------------------------------------------

    async def _on_request(self, request: Request) -> Reply:
        return await self.requests.handle(request)

    def _history(self) -> Iterator[BaseModel]:
        yield from self.journal.events
        for record in self.journal.history.all():
            yield RecordLine(record=record)
        yield self.snapshot()

    @contextmanager
    def _signals(self, loop: asyncio.AbstractEventLoop) -> Iterator[None]:
        handlers: dict[signal.Signals, Callable[[], None]] = {
            signal.SIGINT: self._on_interrupt,
            signal.SIGTERM: lambda: self._on_stop_signal("SIGTERM"),
            signal.SIGHUP: lambda: self._on_stop_signal("SIGHUP"),
        }
        if signal.getsignal(signal.SIGHUP) is signal.SIG_IGN:
            del handlers[signal.SIGHUP]  # nohup
        for number, handler in handlers.items():
            loop.add_signal_handler(number, handler)
        deliver()
        try:
            yield
        finally:
            # From here on it only cleans up, which must not be interrupted half-way.
            for number in handlers:
                loop.remove_signal_handler(number)
                signal.signal(number, signal.SIG_IGN)

    def _on_interrupt(self) -> None:
        if self.end.done():
            self.tell("interrupted again: workers are killed")
            self.hurried = True
            self.hard.set()
            return
        self.tell("interrupted: stopping with a checkpoint; once more to stop at once")
        self.request_end(End("interrupted", "interrupted from the keyboard"))

    def _on_stop_signal(self, name: str) -> None:
        if self.end.done():
            return  # its end has been told, which may be one without a checkpoint
        self.tell(f"{name}: stopping with a checkpoint")
        self.request_end(End("stopped", f"stopped by {name}"))

    def _on_loop_exception(self, loop: asyncio.AbstractEventLoop, context: dict[str, Any]) -> None:
        error = context.get("exception")
        if isinstance(error, Exception) and "handle" in context:  # one of our own callbacks
            self.request_end(self._internal_error(error))
        else:
            self.journal.event(f"{context.get('message')}: {error!r}", level="warning")

    def _on_ticker_end(self, ticker: asyncio.Task[None]) -> None:
        if not ticker.cancelled() and (error := ticker.exception()) is not None:
            self.request_end(self._internal_error(error))

    def _internal_error(self, error: BaseException) -> End:
        return self._fault("error in the supervisor", error)

    def _fault(self, what: str, error: BaseException, *, checkpoint: bool = True) -> End:
        """The end that an error of our own is; it is told, with its traceback."""
        told = isinstance(error, EXPLAINED)
        text = "" if told else "".join(traceback.format_exception(error))
        reason = f"{what}: {error}" if told else f"{what}: {type(error).__name__}: {error}"
        self.journal.event(reason, level="error", data={"traceback": text})
        return End("failed", reason, checkpoint=checkpoint)

    # ---- ending ------------------------------------------------------------------------------

    async def _clean_up(self, end: End) -> End:
        """Leave nothing behind. Every step runs whatever the ones before it did."""
        if self.view.policies:  # it has come so far that there is something to record
            self._attempt("record the end", self.watch.record_system)
        self.crew.stopping = True
        await self.recovery.cancel()
        self.crew.kill_all()
        if not await self.crew.gone(10.0):
            names = ", ".join(w.name for w in self.crew.alive())
            self.journal.event(f"{names} cannot be killed (in the kernel?)", level="error")
        self.crew.close()
        self.recovery.fall_back()
        end = judge_folder(self, end)
        killed = self._attempt("remove left-over processes", self._kill_marked)
        self._attempt("close shared memory", self.starting.let_go)
        unlinked = self._attempt("remove shared memory", lambda: self.plan.unlink(self.run_id))
        self._is_clean = killed and unlinked
        if there := self.place.now() is not None:
            self._attempt("remove what saves have left", lambda: sweep(self.folder.checkpoints))
            self._attempt("put the run folder back", self.session.close)
        self.view.state, self.reason = end.state, end.reason
        text = f"{end.state}: {end.brief or end.reason}"
        self.journal.event(text, level="error" if end.state == "failed" else "info")
        summary = summarise(self, end)
        if there and self.session.may_sum_up:
            self._attempt("write the summary", lambda: write_summary(self.folder, summary))
        await self.unattended.finish()
        self.over.set()
        self.publish_snapshot()
        # Waiting replies are put into their queues by tasks that have just been woken.
        await asyncio.sleep(0)
        await asyncio.sleep(0)
        if self.keeper is not None:
            await self.keeper.close()
        await self.server.close()
        self.ready.failed(end.reason)
        if self.console is not None:
            self.console.summary(summary, self.snapshot())
        return end

    def _kill_marked(self) -> None:
        if killed := kill_of(supervisor_mark(self.run_id)):
            text = f"killed {len(killed)} processes that workers had left behind"
            self.journal.event(text, level="warning", data={"pids": killed})

    def _attempt(self, what: str, step: Callable[[], object]) -> bool:
        try:
            step()
        except Exception as error:
            self.journal.event(f"could not {what}: {type(error).__name__}: {error}", level="error")
            return False
        return True
