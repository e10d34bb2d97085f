"""The workers of a run: started together, listened to, judged, and ended together.

Turns what processes do (messages, exits, silence) into what the supervisor decides on: all are
ready, one has finished, one has failed and why. Decides nothing itself and knows no clients.
"""

from __future__ import annotations

import asyncio
import time
from collections.abc import Callable, Iterable
from dataclasses import replace
from pathlib import Path
from typing import Any

from tuitrain.config.schema import Config
from tuitrain.schedules import RoleSpec
from tuitrain.supervisor.clients.commands import Commands, Kind, Outcome, weights_held
from tuitrain.supervisor.crew.failure import Failure
from tuitrain.supervisor.crew.gauges import Gauges
from tuitrain.supervisor.crew.judge import Judge
from tuitrain.supervisor.crew.liveness import Liveness
from tuitrain.supervisor.crew.process import Exit, WorkerProcess
from tuitrain.supervisor.crew.spawning import Kit, Spawner, mark_log
from tuitrain.supervisor.crew.strays import Strays
from tuitrain.supervisor.crew.worker import CLOSERS, Worker
from tuitrain.supervisor.crew.worker_view import WorkerView
from tuitrain.supervisor.journal import Journal
from tuitrain.workers import messages
from tuitrain.workers.messages import FromWorker

LAST_WORDS_S = 1.0
"""A worker that has reported its failure gets this long to exit before it is reported without."""


class Crew:
    """All workers that were started, in order; of each place the newest.

    Args:
        on_failure: a worker has failed while it should have worked.
        on_late_failure: one has failed while it was stopping.
        on_finished: a worker reports that its work is done.
    """

    def __init__(
        self,
        config: Config,
        log_dir: Path,
        commands: Commands,
        journal: Journal,
        *,
        on_failure: Callable[[Failure], None],
        on_late_failure: Callable[[Failure], None],
        on_finished: Callable[[], None],
        on_record: Callable[[dict[str, Any]], None],
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        self.workers: dict[str, Worker] = {}
        self.stopping = False
        self.config = config
        self._log_dir = log_dir
        self._commands = commands
        self._journal = journal
        self._on_failure = on_failure
        self._on_late_failure = on_late_failure
        self._on_finished = on_finished
        self._on_record = on_record
        self._clock = clock
        self.judged_by = Judge(config.supervisor.worker_memory_limit_mib, journal, self._report)
        self._gauges = Gauges(self.judged_by, journal)
        self.strays = Strays(journal)
        self._spawner = Spawner()
        self._kit: Kit | None = None

    # ---- starting ----------------------------------------------------------------------------

    async def spawn(self, specs: Iterable[RoleSpec], kit: Kit) -> None:
        """Start these workers and wait until all of them are ready.

        Who has been in one of these places before is dead, and all begin anew: totals too.
        """
        specs, self._kit = list(specs), kit
        await self.strays.ended()
        self._spawner.hang_bells(spec.name for spec in specs)
        for spec in specs:
            view = WorkerView(spec.name, spec.role)
            before = self.workers.get(spec.name)
            if before is not None:
                view.begin_after(before.view, died=before.reported)
            self._start(spec, view, kit, 0)
        for spec in specs:
            await self.workers[spec.name].ready.wait()

    def succeed(self, name: str, *, asked: bool = False) -> Worker:
        """Start the successor of a worker that is dead and reaped; its totals go on.

        Args:
            asked: a person wanted it, which is no death.
        """
        worker = self.workers[name]
        assert self._kit is not None
        assert not worker.process.alive
        worker.view.begin_again(asked=asked)
        return self._start(worker.spec, worker.view, self._kit, worker.view.successors)

    @property
    def blueprint(self) -> Any:
        """What the workers were started with, and changes of it since."""
        assert self._kit is not None
        return self._kit.blueprint

    def change(self, config: Config, blueprint: Any) -> None:
        """Whoever is started from now on is started with these."""
        assert self._kit is not None
        self.config, self._kit = config, replace(self._kit, config=config, blueprint=blueprint)

    def dismiss(self, name: str) -> None:
        """Forget a worker that is dead, and its place."""
        del self.workers[name]
        self._spawner.forget(name)

    def _start(self, spec: RoleSpec, view: WorkerView, kit: Kit, incarnation: int) -> Worker:
        deadlines = self.config.supervisor
        process = WorkerProcess(
            spec.name,
            self._log_dir / f"{spec.name}.log",
            on_message=lambda message: self._on_message(worker, message),
            on_exit=lambda end: self._on_exit(worker, end),
            on_garbage=lambda text: self._on_garbage(spec.name, text),
        )
        life = Liveness(
            self._clock(),
            deadlines.startup_deadline_s,
            deadlines.progress_deadline_s,
            deadlines.phase_deadline_s,
        )
        worker = Worker(spec=spec, view=view, life=life, process=process)
        if view.successors or view.rolled_back:
            mark_log(process.log_path, f"{spec.name} starts again ({view.times()})")
        worker.mark = self._spawner.start(process, spec, kit, incarnation)
        self.workers[spec.name] = worker
        view.pid = process.pid
        return worker

    # ---- what workers say --------------------------------------------------------------------

    def _on_message(self, worker: Worker, message: FromWorker) -> None:
        now = self._clock()
        view = worker.view
        match message:
            case messages.Heartbeat():
                grown = message.progress != worker.life.progress
                worker.life.on_heartbeat(now, message.state, message.progress)
                view.on_heartbeat(now, message.counters, message.phases_s)
                view.beat_at = now
                view.progress = view.earlier_progress + message.progress
                view.progress_at = now if grown else view.progress_at
                view.state = "finished" if worker.finished is not None else message.state
                view.wait = message.wait
            case messages.Ready():
                worker.life.on_ready(now)
                view.beat_at = view.progress_at = now
                view.state = "running"
                view.device = message.device
                view.spec_hash = message.spec_hash
                worker.finished = message.data if worker.spec.role == "probe" else None
                worker.told = message.data
                worker.ready.set()
            case messages.Record():
                self._on_record(message.record)
            case messages.Notice():
                self._journal.event(
                    message.text, level=message.level, source=worker.name, data=message.data
                )
            case messages.Ack():
                held = weights_held(message.result)
                if held:
                    view.weights = held
                self._commands.on_ack(worker.name, message)
            case messages.Failed():
                worker.failed = message
                self.judged_by.blame(worker, message.blames_pid, self.alive(), now)
                # Its exit is reported together with this if it comes soon, and it should.
                asyncio.get_running_loop().call_later(LAST_WORDS_S, self._last_words, worker)
            case messages.Finished():
                worker.finished = message.result
                view.state = "finished"
                self._on_finished()

    def _on_garbage(self, name: str, text: str) -> None:
        self._journal.event(f"unreadable message: {text}", level="warning", source=name)

    def _last_words(self, worker: Worker) -> None:
        if worker.process.exit is None:
            self._report(worker, "but its process does not end")

    def _on_exit(self, worker: Worker, end: Exit) -> None:
        if not self.stopping and worker.process.pid is not None:  # else all are ended together
            self.strays.of(worker.name, worker.mark, worker.process.pid)
        self._commands.on_end(worker.name)
        expected = worker.killed or (
            end.ok and worker.failed is None and (self.stopping or worker.finished is not None)
        )
        if expected:
            worker.view.state = "stopped"
            return
        if worker.finished is not None and worker.spec.role != "probe":
            worker.view.state = "stopped"
            self._journal.event(
                f"{worker.name} ended ({end}) after its work was done: nothing is lost",
                level="warning",
                source=worker.name,
            )
            return
        how = (
            self.judged_by.how(end)
            if not end.ok
            else f"{end} without having been told to stop, by its environment?"
        )
        self._report(worker, how, end.code)

    def _report(self, worker: Worker, how: str, exit_code: int | None = None) -> None:
        """Tell of a failure, once per worker."""
        if worker.reported or self.judged_by.puts_off(worker, how, exit_code):
            return
        worker.reported = True
        if worker.held_up_by is not None:
            how += f", held up by {worker.held_up_by.name}"
        failed = worker.failed
        failure = Failure(
            worker=worker.name,
            role=worker.spec.role,
            how=how,
            error_type=failed.error_type if failed else None,
            message=failed.message if failed else None,
            traceback=failed.traceback if failed else None,
            where=failed.where if failed else "",
            progress=failed.progress if failed else 0,
            log=(worker.hang and worker.hang.stack_lines()) or worker.process.last_log_lines(),
            exit_code=exit_code,
            ready=worker.life.ready,
        )
        worker.view.state = "failed"
        worker.view.error, worker.view.died_of = failure.headline(), failure.why
        (self._on_late_failure if self.stopping else self._on_failure)(failure)

    # ---- what is asked of them ---------------------------------------------------------------

    def alive(self, roles: Iterable[str] | None = None) -> list[Worker]:
        """Workers whose process has not been reaped, of these roles or of all."""
        wanted = None if roles is None else set(roles)
        return [
            w
            for w in self.workers.values()
            if w.process.alive and (wanted is None or w.spec.role in wanted)
        ]

    def command(
        self,
        kind: Kind,
        workers: Iterable[Worker],
        *,
        deadline_s: float | None = None,
        **fields: Any,
    ) -> asyncio.Future[Outcome]:
        """Send a command; the future is done when all have carried it out or failed to.

        Args:
            fields: see ``Commands.issue``.
        """
        return self._commands.issue(
            kind,
            {w.name: w.process.send for w in workers},
            self._clock(),
            deadline_s=deadline_s,
            **fields,
        )

    def judge(self, now: float) -> None:
        """Report whoever is beyond its deadlines, and notice exits that no watcher tells."""
        self.judged_by.judge(self.alive(), now, stopping=self.stopping)

    def renew(self, now: float) -> None:
        """Forget time that the supervisor itself was away."""
        for worker in self.workers.values():
            worker.life.renew(now)

    def measure(self) -> None:
        """Memory, CPU and log of every living worker; ends who is too large."""
        self._gauges.read(self.alive(), self._clock())

    def all_finished(self, too: Iterable[str] = ()) -> bool:
        """Whether everyone whose work ends a run has finished it.

        Args:
            too: workers that are waited for besides, as long as they live.
        """
        awaited = {*too}
        closers = [
            w
            for w in self.workers.values()
            if w.spec.role in CLOSERS or (w.name in awaited and w.process.alive)
        ]
        return bool(closers) and all(w.finished is not None for w in closers)

    def results(self) -> dict[str, dict[str, Any]]:
        """What the workers reported when they finished."""
        return {
            w.name: w.finished
            for w in self.workers.values()
            if w.finished and w.spec.role != "probe"
        }

    # ---- ending ------------------------------------------------------------------------------

    async def gone(self, timeout_s: float | None = None) -> bool:
        """Wait until every process has ended; False if some have not in time."""
        await self.strays.ended()
        tasks = [asyncio.ensure_future(w.process.ended.wait()) for w in self.alive()]
        if not tasks:
            return True
        try:
            _, late = await asyncio.wait(tasks, timeout=timeout_s)
        finally:
            for task in tasks:
                task.cancel()
        return not late

    def kill_all(self) -> list[str]:
        """SIGKILL everyone who is still there; returns their names."""
        killed = []
        for worker in self.alive():
            worker.killed = True
            worker.process.kill()
            killed.append(worker.name)
        return killed

    def close(self) -> None:
        """Let go of the lifelines: whoever still held one would die now."""
        self._spawner.close()
