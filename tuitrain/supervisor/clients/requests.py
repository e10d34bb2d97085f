"""What clients may ask of a run, carried out: each request becomes one reply, when it is done.

▣ A command is answered when every worker it concerns has acknowledged it, or with the names of
those that have not. Knows the crew, not the socket.
"""

from __future__ import annotations

import asyncio
import contextlib
from collections.abc import Iterable
from pathlib import Path
from typing import Any

from tuitrain.checkpoint.pruning import keep_for_good, sweep
from tuitrain.protocol import Reply, Request, with_name
from tuitrain.supervisor.checkpoint_clock import CheckpointClock
from tuitrain.supervisor.clients import one_worker
from tuitrain.supervisor.clients.commands import DEADLINES_S, Kind, Outcome, resync_report
from tuitrain.supervisor.clients.sight import Sight
from tuitrain.supervisor.crew.worker import SAVERS, Worker
from tuitrain.supervisor.ending import KILLED, End
from tuitrain.supervisor.live import Live
from tuitrain.supervisor.recovery import Recovery
from tuitrain.supervisor.run import Run
from tuitrain.supervisor.saving import CheckpointError, checkpoint_of

EVALUATION_DEADLINE_S = 600.0
"""How long a requested evaluation may take until the asker is told to look later."""

LOOK_S = 0.25
"""Between two looks at the run of who waits for a save of another's."""


MARKED = ("resync",)
"""Commands that are marked on the curves once they have been carried out; `set` says it itself."""


UNTOLD = ("status", "see", "stop", "kill")
"""Commands that change nothing, and those whose end is told anyway: no event is made of them."""


class Requests:
    """Answers requests to one run."""

    def __init__(self, run: Run, recovery: Recovery, live: Live) -> None:
        self._run = run
        self._recovery = recovery
        self._live = live
        self._saves: set[asyncio.Future[Outcome]] = set()  # under way, whoever has asked
        self._checkpointing = False
        self._by_hand = asyncio.Lock()  # one user's checkpoint at a time
        self._evaluations: list[asyncio.Queue[dict[str, Any]]] = []
        self._tasks: set[asyncio.Future[Any]] = set()
        self._sight = Sight(run)
        self._late_pause_at: float | None = None
        """When a pause was asked for that was answered before all held."""

    async def handle(self, request: Request) -> Reply:
        """Carry out one request."""
        match request.command:
            case "status":
                snapshot = self._run.snapshot().model_dump(mode="json")
                ok, text, result = True, snapshot["state"], {"snapshot": snapshot}
            case "stop" | "kill":
                ok, text, result = await self._stop(request)
            case _ if self._run.view.state not in ("running", "paused"):
                ok, text, result = False, f"the run is {self._run.view.state}", {}
            case "pause":
                ok, text, result = await self._pause(request)
            case "unpause":
                ok, text, result = await self._unpause(request)
            case "resync":
                outcome = await self._run.crew.command(
                    "resync", self._run.crew.alive(), deadline_s=_deadline(request)
                )
                sent = self._run.config.run.schedule == "async"
                ok, text, result = resync_report(outcome, sent=sent)
            case "checkpoint":
                ok, text, result = await self._checkpoint(request)
            case "evaluate":
                ok, text, result = await self._evaluate(request)
            case "set":
                ok, text, result = await self._live.change(
                    [str(item) for item in request.args.get("values", ())], _deadline(request)
                )
            case "restart":
                ok, text, result = await one_worker.restart(self._run, self._recovery, request)
            case "stacks":
                ok, text, result = await one_worker.stacks(self._run, request)
            case "see":
                ok, text, result = await self._sight.answer(request)
            case _:
                ok, text, result = False, f"{request.command} is not known here", {}
        told = ok and request.command == "restart"  # by those who have carried it out
        told |= request.command == "set" and not result  # nothing is changed: the reply says why
        if request.command not in UNTOLD and not told:
            said = with_name(request.command, text)
            data = result | ({"mark": request.command} if ok and request.command in MARKED else {})
            self._run.journal.event(said, level="info" if ok else "warning", data=data)
        return Reply(id=request.id, ok=ok, message=text, result=result)

    def on_record(self, record: dict[str, Any]) -> None:
        """Pass evaluations on to whoever waits for one."""
        if record.get("kind") == "eval":
            for queue in self._evaluations:
                queue.put_nowait(record)

    def note_checkpoint(self, outcome: Outcome) -> str | None:
        """Remember the checkpoint that workers have acknowledged; returns its path."""
        answers = [ack.result for ack in outcome.acks.values() if ack.ok]
        try:
            return checkpoint_of(self._run, answers)
        except CheckpointError as error:
            outcome.unsaved = str(error)
            return None

    def periodic_checkpoint(self, clock: CheckpointClock) -> None:
        """Ask for a checkpoint without waiting, unless another one is not done yet.

        Args:
            clock: told whether there is one; if not, it says when to try again.
        """
        if self._checkpointing:
            return
        if self._saves:  # of a user's, which this one would displace
            clock.failed(self._run.clock())
            return
        self._checkpointing = True
        self.save(None).add_done_callback(lambda done: self._periodic_done(done, clock))

    def save(self, deadline_s: float | None) -> asyncio.Future[Outcome]:
        """Tell the learners to save, and the actors if there is state.

        Nothing that an earlier save has left takes their room.
        """
        self._sweep()
        state = bool(self._run.state_of)
        return self._tell_to_save(
            (*SAVERS, "actor") if state else SAVERS, deadline_s=deadline_s, state=state
        )

    async def save_and_hold(self, deadline_s: float | None) -> Outcome:
        """Save with state, after which nobody does anything more: what is saved is all there is.

        Where nobody waits for the others, actors come first: what they still commit is counted in
        what the learners save.
        """
        self._sweep()
        free = self._run.config.run.schedule == "async"
        outcome = None
        for roles in (("actor",), SAVERS) if free else ((*SAVERS, "actor"),):
            made = await self._tell_to_save(roles, deadline_s=deadline_s, state=True, hold=True)
            if outcome is None:
                outcome = made
            else:
                outcome.add(made)
        assert outcome is not None
        return outcome

    def _sweep(self) -> None:
        if not self._saves and self._run.place.stands():
            with contextlib.suppress(OSError):  # learners will say what is wrong with the disk
                sweep(self._run.folder.checkpoints, training=True)

    def _tell_to_save(
        self, roles: Iterable[str], *, deadline_s: float | None, state: bool, hold: bool = False
    ) -> asyncio.Future[Outcome]:
        done = self._run.crew.command(
            "checkpoint",
            self._run.crew.alive(roles),
            deadline_s=deadline_s,
            state=state,
            hold=hold,
        )
        self._saves.add(done)
        done.add_done_callback(self._saves.discard)
        return done

    async def _others_have_saved(self, until: float) -> bool:
        """A worker answers one request to save at a time: the later would make it refuse the other.

        Not waited for while the run is paused, since nobody comes to a place to save then.

        Args:
            until: by the run's clock, the latest.
        """
        while self._saves and self._run.view.state == "running":
            left_s = until - self._run.clock()
            if left_s <= 0:
                return False
            # The state may become another while nobody saves: it is looked at again.
            await asyncio.wait(
                self._saves, timeout=min(left_s, LOOK_S), return_when=asyncio.FIRST_COMPLETED
            )
        return True

    def _periodic_done(self, done: asyncio.Future[Outcome], clock: CheckpointClock) -> None:
        self._checkpointing = False
        outcome = done.result()
        path = self.note_checkpoint(outcome)
        if path is not None:
            clock.written()
            self._run.journal.event(f"checkpoint {path}", data=self._run.saved())
        elif not self._run.crew.stopping:
            again_s = clock.failed(self._run.clock())
            self._run.journal.event(
                f"no checkpoint was written: {outcome.trouble() or 'nobody to write it'}; tried "
                f"again in {again_s:g} s",
                level="warning",
            )

    def settle_pause(self) -> None:
        """A pause that was answered too early is one from when the last of the workers holds."""
        run, asked_at = self._run, self._late_pause_at
        if asked_at is None or not run.held or run.view.state != "running":
            return
        # By what they have said since: a state from before may be that of an earlier pause.
        views = [worker.view for worker in run.crew.alive()]
        if views and all(
            view.state in ("paused", "finished") and (view.beat_at or 0.0) > asked_at
            for view in views
        ):
            self._late_pause_at = None
            run.view.state = "paused"
            run.tell(f"paused: all {len(views)} workers hold now")

    async def _pause(self, request: Request) -> tuple[bool, str, dict[str, Any]]:
        asked_at, self._late_pause_at = self._run.clock(), None
        workers, self._run.held = self._run.crew.alive(), True
        outcome = await self._run.crew.command("pause", workers, deadline_s=_deadline(request))
        # Not if it shall go on again: an unpause with less time may have been answered before.
        # Who has ended meanwhile is not waited for: its successor holds before it begins.
        hold = not (outcome.missing or outcome.unreachable or outcome.refused)
        text = f"paused: {len(outcome.acks)} of {len(workers)} workers hold"
        text = _with(text, outcome)
        if self._run.held and self._run.view.state == "running":
            if hold:
                self._run.view.state = "paused"
            else:
                self._late_pause_at = asked_at
                never = outcome.unreachable or outcome.refused
                text += "; pause again" if never else "; the run is paused once all hold"
        return hold, text, outcome.result()

    async def _unpause(self, request: Request) -> tuple[bool, str, dict[str, Any]]:
        # From now on, and not when all have answered: who gets ready meanwhile shall not hold.
        workers, self._run.held = self._run.crew.alive(), False
        self._late_pause_at = None
        outcome = await self._run.crew.command("unpause", workers, deadline_s=_deadline(request))
        if self._run.view.state == "paused" and outcome.acks:
            self._run.view.state = "running"
        text = f"unpaused: {len(outcome.acks)} of {len(workers)} workers go on"
        return outcome.ok, _with(text, outcome), outcome.result()

    async def _checkpoint(self, request: Request) -> tuple[bool, str, dict[str, Any]]:
        within_s = _deadline(request) or DEADLINES_S["checkpoint"]
        until = self._run.clock() + within_s
        try:
            async with asyncio.timeout(within_s):
                await self._by_hand.acquire()
        except TimeoutError:
            return False, _not_done(within_s), {}
        try:
            return await self._checkpoint_now(_deadline(request), within_s, until)
        finally:
            self._by_hand.release()

    async def _checkpoint_now(
        self, asked_s: float | None, within_s: float, until: float
    ) -> tuple[bool, str, dict[str, Any]]:
        if not await self._others_have_saved(until):
            return False, _not_done(within_s), {}
        # State is saved between two chunks or rounds, and who is paused comes to no such place.
        held = self._run.view.state == "paused" and bool(self._run.state_of)
        if held:
            self._run.tell("goes on for a moment, to the next place where it can be saved")
            await self._run.crew.command("unpause", self._run.crew.alive())
        if (state := self._run.view.state) not in ("running", "paused"):
            return False, f"the run is {state}", {}  # its last save is not to be displaced
        left_s = asked_s and max(until - self._run.clock(), LOOK_S)
        if held:
            outcome = await self.save_and_hold(left_s)
            # Who has saved holds; but the run may have been told to go on meanwhile.
            again: Kind = "pause" if self._run.held else "unpause"
            await self._run.crew.command(again, self._run.crew.alive())
        else:
            outcome = await self.save(left_s)
        path = self.note_checkpoint(outcome)
        if path is None:
            return False, f"no checkpoint: {outcome.trouble()}", outcome.result()
        try:
            keep_for_good(Path(path))
        except OSError as error:
            why = f"{path} will be removed like others once it is old: it could not be marked"
            self._run.journal.event(f"{why}: {error.strerror}", level="warning")
        return True, f"checkpoint {path}", outcome.result() | {"path": path} | self._run.saved()

    async def _evaluate(self, request: Request) -> tuple[bool, str, dict[str, Any]]:
        workers = self._run.crew.alive(("evaluator", "trainer"))
        if not workers or not self._run.config.eval.enabled:
            return False, "this run has no evaluator (eval.enabled is false)", {}
        if self._run.held:
            name = self._run.folder.name
            return False, f"the run is paused, evaluations too: `tuitrain unpause {name}`", {}
        n_policies = max(1, len(self._run.view.policies))
        queue: asyncio.Queue[dict[str, Any]] = asyncio.Queue()
        self._evaluations.append(queue)
        # An evaluation that is under way ends first; its records are another's.
        skip = n_policies if _is_evaluating(workers[0]) else 0
        try:
            outcome = await self._run.crew.command("evaluate", workers)
            if not outcome.ok:
                return False, f"no evaluation: {outcome.trouble()}", outcome.result()
            wait_s = _deadline(request) or EVALUATION_DEADLINE_S
            records: list[dict[str, Any]] = []
            over = asyncio.ensure_future(self._run.over.wait())
            dead = asyncio.ensure_future(workers[0].process.ended.wait())
            try:
                while len(records) < skip + n_policies:
                    if not queue.empty():
                        records.append(queue.get_nowait())
                        continue
                    get = asyncio.ensure_future(queue.get())
                    await asyncio.wait(
                        {get, over, dead}, timeout=wait_s, return_when=asyncio.FIRST_COMPLETED
                    )
                    if not get.done():
                        get.cancel()
                        if dead.done() and not over.done():
                            return False, f"{workers[0].name} ended before it was done", {}
                        return False, "the evaluation is not done yet; see the records", {}
                    records.append(get.result())
            finally:
                over.cancel()
                dead.cancel()
        finally:
            self._evaluations.remove(queue)
        mine = records[skip:]
        text = ", ".join(
            f"{r.get('policy')} v{r.get('version')}: return {_number(r.get('return_mean'))} "
            f"± {_number(r.get('return_ci95'))} ({r.get('episodes')} episodes)"
            for r in mine
        )
        return True, text, {"records": mine}

    async def _stop(self, request: Request) -> tuple[bool, str, dict[str, Any]]:
        hard = request.command == "kill"
        save = bool(request.args.get("checkpoint", True)) and not hard
        self._run.request_end(
            End(
                "stopped",
                KILLED if hard else "stopped by its user",
                checkpoint=save,
                hard=hard,
            )
        )
        await self._run.over.wait()
        state = self._run.view.state
        path = self._run.view.last_checkpoint
        text = f"{state}: {self._run.reason}" if state == "failed" else state
        if hard and state == "stopped":
            text = "killed, without a checkpoint"
            if path:
                text += f" of now; `tuitrain resume {self._run.folder.name}` goes on from {path}"
        # of a run that has failed it may be an earlier one
        kind = "last checkpoint" if state == "failed" else "checkpoint"
        text += f", {kind} {path}" if save and path else ""
        if save and path and state == "stopped":
            text += f"; `tuitrain resume {self._run.folder.name}` goes on from it"
        return state != "failed", text, {"state": state, "checkpoint": path}


def _deadline(request: Request) -> float | None:
    """`args.timeout_s`, if it makes sense."""
    value = request.args.get("timeout_s")
    if isinstance(value, int | float) and not isinstance(value, bool) and value > 0:
        return float(value)
    return None


def _is_evaluating(worker: Worker) -> bool:
    return worker.spec.role == "evaluator" and worker.view.state == "running"


def _with(text: str, outcome: Outcome) -> str:
    trouble = outcome.trouble()
    return f"{text}; {trouble}" if trouble else text


def _not_done(within_s: float) -> str:
    return f"no checkpoint: another is not done after {within_s:g} s"


def _number(value: Any) -> str:
    return f"{value:.4g}" if isinstance(value, int | float) else "n/a"
