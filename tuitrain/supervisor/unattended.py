"""What a run does while nobody looks: it ends when it has had enough, and tells others by commands.

The wiring of ``stop_rules`` (pure) and ``hooks`` (processes) into the life of a run; the supervisor
calls in here at each record, tick, checkpoint and at the end, and learns nothing more of it.
"""

from __future__ import annotations

import asyncio
import signal
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from typing import TYPE_CHECKING, Any

from tuitrain.config.runs import RunFolder, RunFolderError
from tuitrain.metrics.rewind import Rewind
from tuitrain.protocol import Snapshot
from tuitrain.supervisor.ending import End
from tuitrain.supervisor.hooks.hooks import Hooks, facts_of
from tuitrain.supervisor.stop_rules import Evaluations, judge, reason

if TYPE_CHECKING:
    from tuitrain.supervisor.clients.commands import Outcome
    from tuitrain.supervisor.run import Run

SAVERS = ("learner", "trainer")


class Unattended:
    """Rules and commands of one run.

    Attributes:
        because: the rule that has ended training; None as long as none has.
    """

    def __init__(self, run: Run) -> None:
        self.because: str | None = None
        self._run = run
        self._hooks = Hooks(run.config.hooks, run.folder.path, run.folder.logs, run.journal)
        self._evaluations = Evaluations(())
        self._trained_s = 0.0
        self._last_tick: float | None = None
        self._before = _ended_by(run.folder)

    # ---- on the way --------------------------------------------------------------------------

    def running(self) -> None:
        """The workers are up and the policies known."""
        self._evaluations = Evaluations(policy.name for policy in self._run.view.policies)
        if self._before is not None:
            self._run.tell(
                f"the session before this one was ended by {self._before}; rules look at the "
                "present session alone, so this one goes on until one is met again"
            )

    def again(self) -> None:
        """Who writes checkpoints was started again; if told to end training, it does not know."""
        if self.because is not None:
            self._conclude()

    def on_record(self, record: Mapping[str, Any]) -> None:
        """A measurement has come, and is in the run's view already."""
        if record.get("kind") == "eval" and self._evaluations.add(record):
            steps = int(record.get("steps") or 0)
            self._tell("eval", steps=steps)
            self._judge(steps)

    def on_rewind(self, rewind: Rewind) -> None:
        """Training goes on from there."""
        self._evaluations.forget_after(rewind.steps)

    def on_checkpoint(self) -> None:
        """A checkpoint has been written."""
        self._tell("checkpoint")

    def tick(self, now: float) -> None:
        """Several times a second. `now` is a clock that stands still while the machine sleeps."""
        last, self._last_tick = self._last_tick, now
        if self._run.view.state == "running" and last is not None:
            self._trained_s += now - last
            if self._run.config.stop.wall_time_s is not None:
                self._judge()

    def show(self, snapshot: Snapshot) -> None:
        """Put the rules, and how far they are, into a snapshot."""
        stop, history = self._run.config.stop, self._evaluations.history
        snapshot.stop_rules = judge(stop, history, self._trained_s)
        snapshot.ends_because = self.because

    def why_finished(self) -> str:
        """Why training has ended, now that it has."""
        if self._run.snapshot().steps >= self._run.config.run.total_steps:
            self.because = None  # a rule was met, but too late to end anything
        return self.because or "training has reached its last step"

    def _judge(self, steps: int = 0) -> None:
        """End training if a rule is met, unless it has reached its end by itself.

        Args:
            steps: of the evaluation that has come; the last heartbeat may be older.
        """
        run = self._run
        if self.because is not None or run.view.state != "running" or run.end.done():
            return
        met = reason(judge(run.config.stop, self._evaluations.history, self._trained_s))
        if met is None or max(steps, run.snapshot().steps) >= run.config.run.total_steps:
            return
        self.because = met
        run.tell(f"training ends: {met}")
        self._conclude()

    def _conclude(self) -> None:
        crew = self._run.crew
        done = crew.command("conclude", crew.alive(SAVERS))
        done.add_done_callback(self._concluded)

    def _concluded(self, done: asyncio.Future[Outcome]) -> None:
        outcome = done.result()
        if outcome.ended:
            return  # it will be told again, or the run ends because it died
        if not outcome.ok and self.because is not None:
            # whoever cannot end training can still be made to save and stop
            self._run.request_end(End("finished", self.because))

    def _tell(self, kind: Any, **more: Any) -> None:
        if self._hooks.wants(kind):
            run = self._run
            facts = facts_of(run.snapshot(), run.reason, run.config.stop.policy)
            self._hooks.happened(kind, facts | more)

    # ---- the end -----------------------------------------------------------------------------

    async def finish(self) -> None:
        """Let what runs come to its end, then run `on_end`, also of a run that has failed.

        A signal that comes meanwhile, or has come twice before, makes an end of it.
        """
        skip = asyncio.Event()
        if self._run.hurried:
            skip.set()
        with _calling(skip.set):
            await self._hooks.idle(unless=skip)
            if not skip.is_set():
                self._tell("end")
                await self._hooks.idle(unless=skip)
        if skip.is_set() and self._hooks.wants("end"):
            self._run.tell("interrupted again: commands of [hooks] are not waited for")
        await self._hooks.close("ended with the run")


def _ended_by(folder: RunFolder) -> str | None:
    """The rule that has ended the session before, if one has."""
    try:
        summary = folder.read_summary() or {}
    except RunFolderError:
        return None
    return str(summary["ends_because"]) if summary.get("ends_because") else None


@contextmanager
def _calling(handler: Callable[[], None]) -> Iterator[None]:
    """`handler` for Ctrl-C and SIGTERM, which a run that ends ignores otherwise."""
    loop = asyncio.get_running_loop()
    for number in (signal.SIGINT, signal.SIGTERM):
        loop.add_signal_handler(number, handler)
    try:
        yield
    finally:
        for number in (signal.SIGINT, signal.SIGTERM):
            loop.remove_signal_handler(number)
            signal.signal(number, signal.SIG_IGN)
