"""Going on after a death: who starts again, from where, and what that has cost.

What is to be done is decided by ``restart`` (pure); here it is carried out. In `async` the place of
the dead is taken by a successor, alone, while the others go on. In `lockstep` and `sequential`
everybody depends on everybody's bytes, so the whole crew goes back to the newest checkpoint.

▣ Nobody is started from other code than the session began with, and nobody takes over a shard
before its writer has been reaped.
"""

from __future__ import annotations

import asyncio
import contextlib
from collections.abc import Awaitable, Callable, Coroutine
from pathlib import Path
from typing import Any

from tuitrain.checkpoint.choice import begin_return, end_return, unsettled
from tuitrain.disk import no_room
from tuitrain.supervisor.crew.failure import Failure
from tuitrain.supervisor.crew.worker import SAVERS, Worker
from tuitrain.supervisor.restart import Death, GiveUp, RestartRule, decide
from tuitrain.supervisor.run import Run
from tuitrain.supervisor.sources import Sources
from tuitrain.supervisor.starting import Starting

REAP_S = 10.0
"""A killed process that is not gone after this is in the kernel, and may stay there."""

ROOM_BYTES = 256 * 1024
"""What a return writes besides the probe's report: folders, names, and a summary if it fails."""

_UNKILLABLE = "a process of the crew cannot be killed (in the kernel?)"

_CREW = ""
"""The place of all workers together, where they go back together."""


class Recovery:
    """Restarts of one run.

    Args:
        starting: brings a whole crew up.
        give_up: ends the run because of a failure.
        on_error: ends it because of an error in here.

    Attributes:
        check: id of the failed check for which all are on their way back; empty if none is.
    """

    def __init__(
        self,
        run: Run,
        starting: Starting,
        give_up: Callable[[Failure], None],
        on_error: Callable[[BaseException], None],
    ) -> None:
        self._run = run
        self._starting = starting
        self._give_up = give_up
        self._on_error = on_error
        self._sources: Sources | None = None
        self._early: list[Failure] = []
        self._histories: dict[str, list[Death]] = {}
        self._tasks: set[asyncio.Task[str]] = set()
        self._going_back: asyncio.Task[str] | None = None
        self.check = self._why = ""
        self._away = False  # all have been killed, and are not back yet

    def watch(self, sources: Sources) -> None:
        """The run is up, made with these sources: from now on the dead may have successors."""
        sources.imported(self._starting.imported)
        self._sources = sources
        early, self._early = self._early, []
        for failure in early:
            self._follow(failure)

    def takes(self, failure: Failure) -> bool:
        """Whether the run goes on after this failure; it is told, and what follows is begun.

        Who was at work before the last of the others was ready has a successor as soon as it is: a
        death is judged by what had been done, and not by who was quicker to start. A probe is at
        work before it is ready, and never has a successor.
        """
        run, now = self._run, self._run.clock()
        run.note_death(failure)
        idle = not failure.ready or (failure.cause and not failure.progress)
        idle = idle or failure.role == "probe"
        if run.end.done() or (self._sources is None and idle):
            return False
        together = self._together
        limits = run.config.supervisor
        rule = RestartRule(limits.max_restarts, limits.restart_period_s, repeats=together)
        history = self._histories.setdefault(_CREW if together else failure.worker, [])
        cause, saved = failure.cause, run.view.last_checkpoint
        history.append(Death(now, failure.ready, bool(cause), cause, failure.progress, saved))
        verdict = decide(history, now, rule)
        del history[: -(rule.max_restarts + 2)]  # older ones can decide nothing
        if isinstance(verdict, GiveUp):
            failure.final = verdict.reason
            failure.check, failure.way = self.check, self.way
            return False
        run.journal.event(
            failure.headline(), level="warning", source=failure.worker, data=failure.data()
        )
        if self._sources is None:
            self._early.append(failure)
        else:
            self._follow(failure)
        return True

    async def restart(self, worker: Worker) -> tuple[bool, str]:
        """End a worker at work, and let it come back as after a death, which this is not.

        Nothing is counted against the limits: who asks knows why.

        Returns:
            Whether all are back, and what was told of it or stands against it.
        """
        run, name = self._run, worker.name
        if self._sources is None or not _at_work(worker):
            return False, f"{name} is not at work"
        if worker.finished is not None:
            return False, f"{name} has done its work"
        if changed := await asyncio.to_thread(self._sources.changed):
            return False, f"{name} would import other code than it has: {'; '.join(changed)}"
        if not _at_work(worker) or run.end.done():
            return False, f"{name} has just ended"
        worker.killed = True
        asked = Failure(name, worker.spec.role, "restarted on request", ready=True, asked=True)
        run.tell(asked.happened)
        task = self._follow(asked)
        await asyncio.wait({task})
        text = "" if task.cancelled() or task.exception() else task.result()
        return bool(text), text or f"{name} is not back: see the events"

    @property
    def going_back(self) -> bool:
        """Whether all are on their way back together."""
        return self._going_back is not None and not self._going_back.done()

    @property
    def way(self) -> str:
        """Why they are, and what has become of the newer checkpoints, in words for who fails."""
        newer = unsettled(self._run.folder.checkpoints) if self.check else []
        names = ", ".join(path.name for path in newer)
        where = f" (newer ones, of after that, stay where they were: {names})" if newer else ""
        return self._why + where

    @property
    def _together(self) -> bool:
        return self._run.config.run.schedule != "async"

    def _follow(self, failure: Failure) -> asyncio.Task[str]:
        """Begin what follows a death; the task's result is what it has told, if all went well."""
        if self._together or self.going_back:
            self._going_back = self._begin(self._go_back(failure, self._going_back))
            return self._going_back
        return self._begin(self._succeed(failure))

    def roll_back(
        self, checkpoint: Path, check: str, why: str, cannot: Callable[[str], None]
    ) -> None:
        """Let all go back to this checkpoint, in every schedule; newer ones are put aside.

        Args:
            check: id of the check that makes the run go back.
            why: the same in words.
            cannot: told why nobody goes back; who lives goes on until then.
        """
        before = list(self._tasks)
        with contextlib.suppress(OSError):  # of a full disk: then a resume has to be told
            begin_return(self._run.folder.checkpoints, checkpoint)
        self.check = check
        self._why = f"{why}, and nobody has come back to {checkpoint.name}"
        self._going_back = self._begin(self._roll_back(checkpoint, why, before, cannot))

    def no_room(self) -> str:
        """Why the disk has no room for what a return has to write; empty if it has."""
        report = self._run.folder.probe_json
        n_bytes = report.stat().st_size if report.is_file() else 0
        return no_room(report.parent, n_bytes + ROOM_BYTES)

    async def cancel(self) -> None:
        """Nobody is started any more."""
        await _cancelled(list(self._tasks))

    def fall_back(self) -> None:
        """The run is over: if all were on their way back, what they had counted since is lost."""
        if not self._away:
            with contextlib.suppress(OSError):
                end_return(self._run.folder.checkpoints)  # who would have gone back has saved
            return
        for worker in self._run.crew.workers.values():
            worker.view.counters = {}
        self._run.view.fall_back()

    # ---- one alone ---------------------------------------------------------------------------

    async def _succeed(self, failure: Failure) -> str:
        if self._is_lost(failure):
            return ""
        run, name = self._run, failure.worker
        before = run.crew.workers[name]
        before.killed = True
        before.process.kill()
        if not await _within(REAP_S, before.process.ended.wait()):
            failure.final = "its process cannot be killed (in the kernel?)"
            self._give_up(failure)
            return ""
        await run.crew.strays.ended()
        if await self._edited(failure) or run.end.done():
            return ""
        began = run.clock()
        worker = run.crew.succeed(name, asked=failure.asked)
        await _first_of(worker.ready.wait(), worker.process.ended.wait())
        if not worker.ready.is_set():
            return ""  # its own failure is being dealt with
        self._starting.check_specs()
        if run.held:
            run.crew.command("pause", [worker])
        if worker.spec.role in SAVERS:
            run.unattended.again()
        self._leave_behind(worker, began)
        if updates := worker.told.get("updates"):
            run.journal.rewind_updates(updates, failure.happened, run.session.number)
        text = (
            f"{name} is back after {run.clock() - began:.1f} s (restart {worker.view.successors})"
        )
        lost = self._lost(worker)
        text += f": {self._what_it_took_over(worker, lost)}"
        run.journal.event(
            text,
            source=name,
            data={"mark": "restart"} | ({"lost_updates": lost} if lost else {}),
        )
        return text

    def _leave_behind(self, worker: Worker, began: float) -> None:
        """Put aside what a learner's successor, started at `began`, has passed over."""
        saved_at, start = self._run.view.last_checkpoint_at, worker.told.get("start")
        if start and (saved_at is None or saved_at < began):  # else a newer one may be sound
            self._starting.put_aside(str(start))
            self._run.session.settle_aside()

    def _lost(self, worker: Worker) -> dict[str, int]:
        """Updates that have died with its predecessor, by policy, added to the run's."""
        lost = {name: int(count) for name, count in worker.told.get("lost_updates", {}).items()}
        for name, count in lost.items():
            self._run.view.lost_updates[name] = self._run.view.lost_updates.get(name, 0) + count
        return lost

    def _what_it_took_over(self, worker: Worker, lost: dict[str, int]) -> str:
        """In words."""
        if worker.spec.role == "actor":
            return "its episodes have begun anew"
        if worker.spec.role != "learner":
            return "an evaluation that was cut is made again"
        counts = ", ".join(f"{count:,} of {name}" for name, count in lost.items())
        start = worker.told.get("start") or "the weights that the session began with"
        return f"it goes on from {start}; updates lost: {counts or 'none'}"

    # ---- all together ------------------------------------------------------------------------

    async def _go_back(self, failure: Failure, before: asyncio.Task[str] | None) -> str:
        await _cancelled([] if before is None else [before])
        if self._is_lost(failure) or await self._edited(failure):
            return ""  # before anybody else is killed: who lives can still save
        steps = self._run.snapshot().steps
        if not await self._kill_all():
            failure.final = _UNKILLABLE
            self._give_up(failure)
            return ""
        return await self._bring_back(failure.happened, steps)

    async def _roll_back(
        self,
        checkpoint: Path,
        why: str,
        before: list[asyncio.Task[str]],
        cannot: Callable[[str], None],
    ) -> str:
        await _cancelled(before)
        gone = "" if checkpoint.exists() else f"{checkpoint.name} is not there any more"
        if against := self._run.place.lost() or await self._edits() or gone:
            cannot(against)
            return ""
        steps = self._run.snapshot().steps
        if not await self._kill_all():
            cannot(_UNKILLABLE)
            return ""
        # else all would go on from a newer one, of after the failure, as if it were this one
        if against := self._starting.put_aside(str(checkpoint), best=True):
            cannot(against)
            return ""
        return await self._bring_back(why, steps)

    async def _kill_all(self) -> bool:
        """End everybody; whether all are gone."""
        self._run.view.state, self._away = "starting", True
        self._run.crew.kill_all()
        return await self._run.crew.gone(REAP_S)

    async def _bring_back(self, why: str, steps: int) -> str:
        """Start everybody from the newest checkpoint; what is told of it."""
        run, view = self._run, self._run.view
        self._starting.tear_down()
        run.session.down()
        run.checking.begin_again()
        view.begin_again()
        best, view.best = view.best, None  # whoever evaluates tells which it is now
        try:
            await self._starting.bring_up()
        except BaseException:
            view.best = best  # what was put aside comes back
            raise
        self._away, self.check, self._why = False, "", ""
        run.session.up(why)
        view.published.clear()
        text = self._note_place(steps)
        view.state = "running"
        if run.held:
            view.state = "paused"
            run.crew.command("pause", run.crew.alive())
        run.unattended.again()
        run.publish_snapshot()
        return text

    def _note_place(self, steps: int) -> str:
        """Tell where all went back to."""
        view = self._run.view
        where = f"the checkpoint at step {view.base_steps:,}" if view.base_steps else "the start"
        text = f"all workers are back, at {where}; {max(0, steps - view.base_steps):,} steps"
        text += " are made again"
        self._run.journal.event(text, data={"mark": "back"})
        return text

    # ---- both --------------------------------------------------------------------------------

    def _is_lost(self, failure: Failure) -> bool:
        """Whether another run may have the folder's name, by which a new worker would read and
        write; then the run ends, saying so."""
        if not (lost := self._run.place.lost()):
            return False
        failure.final = lost
        self._give_up(failure)
        return True

    async def _edited(self, failure: Failure) -> bool:
        """Whether a new worker would import other code; then the run ends, saying so."""
        failure.final = await self._edits()
        if failure.final and not self._run.end.done():
            self._give_up(failure)
        return bool(failure.final)

    async def _edits(self) -> str:
        """Why a new worker would import other code, in words; empty if it would not."""
        assert self._sources is not None
        changed = await asyncio.to_thread(self._sources.changed)
        if not changed:
            return ""
        return (
            f"since the run was started, {'; '.join(changed)}, and a new worker would import what "
            "is there now. Undo the change and `tuitrain resume`, or `tuitrain launch` a new run"
        )

    def _begin(self, work: Coroutine[Any, Any, str]) -> asyncio.Task[str]:
        task = asyncio.ensure_future(work)
        self._tasks.add(task)
        task.add_done_callback(self._ended)
        return task

    def _ended(self, task: asyncio.Task[str]) -> None:
        self._tasks.discard(task)
        if not task.cancelled() and (error := task.exception()) is not None:
            self._on_error(error)


def _at_work(worker: Worker) -> bool:
    """Whether it is ready, and nobody is ending it."""
    ends = worker.killed or worker.reported or worker.failed is not None or worker.hang is not None
    return worker.ready.is_set() and worker.process.alive and not ends


async def _cancelled(tasks: list[asyncio.Task[str]]) -> None:
    """Cancel those that are not done, and wait for their end."""
    for task in tasks:
        task.cancel()
    if tasks:
        await asyncio.wait(tasks)


async def _first_of(*waits: Awaitable[Any]) -> None:
    tasks = [asyncio.ensure_future(wait) for wait in waits]
    try:
        await asyncio.wait(tasks, return_when=asyncio.FIRST_COMPLETED)
    finally:
        for task in tasks:
            task.cancel()


async def _within(seconds: float, wait: Awaitable[Any]) -> bool:
    try:
        await asyncio.wait_for(wait, seconds)
    except TimeoutError:
        return False
    return True
