"""The supervisor's pulse: several times a second, everything that is due by the clock.

Deadlines are judged here and nowhere else, after a gap in the loop's own time has been looked for:
a supervisor that was stopped must not blame others for the time it missed.
"""

from __future__ import annotations

import asyncio

from tuitrain.supervisor.checkpoint_clock import CheckpointClock
from tuitrain.supervisor.clients.requests import Requests
from tuitrain.supervisor.crew.liveness import Deadline, GapDetector, Standstill, still_says
from tuitrain.supervisor.ending import End
from tuitrain.supervisor.run import Run
from tuitrain.supervisor.sources import Sources

TICK_S = 0.25
SNAPSHOT_S = 0.5
SYSTEM_RECORD_S = 5.0
PROGRESS_LINE_S = 5.0
KEEPER_S = 2.0
SOURCES_S = 10.0
GAP_S = 2.0
"""A tick this late means that the supervisor itself was stopped or starved."""


class Watch:
    """Ticks for one run.

    Attributes:
        stop_late: set when the deadline given to `stop_within` has passed.
        sources: of the user, looked at now and then once they are known.
    """

    def __init__(self, run: Run, requests: Requests) -> None:
        self.stop_late = asyncio.Event()
        self.sources: Sources | None = None
        self._looking: asyncio.Task[None] | None = None
        self._run = run
        self._requests = requests
        self._gaps = GapDetector(run.clock(), GAP_S)
        self._standstill = Standstill(run.config.supervisor.progress_deadline_s)
        self._stop_deadline: Deadline | None = None
        self._due: dict[str, float] = {}
        self._checkpoints: CheckpointClock | None = None

    async def tick_for_ever(self) -> None:
        """Tick until cancelled."""
        while True:
            await asyncio.sleep(TICK_S)
            self.tick(self._run.clock())

    def tick(self, now: float) -> None:
        """Everything that is due at `now`."""
        run = self._run
        gap_s = self._gaps.tick(now)
        if gap_s is not None:
            self._renew(gap_s, now)
        run.commands.tick(now)
        run.unattended.tick(now)
        run.crew.judge(now)
        if self._stop_deadline is not None and self._stop_deadline.passed(now):
            self.stop_late.set()
        if self._is_due("snapshot", now, SNAPSHOT_S):
            run.crew.measure()
            run.checking.look(run.publish_snapshot())
        if run.keeper is not None and self._is_due("keeper", now, KEEPER_S, at_once=False):
            run.keeper.look()
        if self.sources is not None and self._is_due("sources", now, SOURCES_S):
            self._look_at(self.sources)
        self._requests.settle_pause()
        if run.view.state != "running":
            self._standstill.judge(now, [])
            return
        workers = run.crew.workers.values()
        beat_s = run.config.supervisor.heartbeat_s
        states = [still_says(w.view.state, w.life.beat_age(now), beat_s) for w in workers]
        if self._standstill.judge(now, states):
            self._on_standstill()
        if self._is_due("system", now, SYSTEM_RECORD_S):
            self.record_system()
        if run.console is not None and self._is_due("progress", now, PROGRESS_LINE_S):
            run.console.progress(run.snapshot())
        checkpoints = self._checkpoint_clock(now)
        if checkpoints.due(now, self._steps()):
            self._requests.periodic_checkpoint(checkpoints)

    def stop_within(self, length_s: float) -> None:
        """Start the deadline for stopping."""
        self._stop_deadline = Deadline(self._run.clock(), length_s)

    def _look_at(self, sources: Sources) -> None:
        """Whether files have been edited, in a thread: a disk may be slow."""

        async def look() -> None:
            self._run.view.edited_sources = await asyncio.to_thread(sources.edited)

        if self._looking is None or self._looking.done():
            self._looking = asyncio.ensure_future(look())

    def _steps(self) -> int:
        run = self._run
        counts = [w.view.counters.get("env_steps", 0.0) for w in run.crew.workers.values()]
        return int(max([*counts, float(run.view.base_steps)]))

    def _checkpoint_clock(self, now: float) -> CheckpointClock:
        if self._checkpoints is None:  # training begins
            every, base_steps = self._run.config.run, self._run.view.base_steps
            self._checkpoints = CheckpointClock(
                every.checkpoint_every_s, every.checkpoint_every_steps, now, base_steps
            )
        return self._checkpoints

    def _is_due(self, what: str, now: float, every_s: float, *, at_once: bool = True) -> bool:
        due = self._due.setdefault(what, now if at_once else now + every_s)
        if now < due:
            return False
        self._due[what] = now + every_s
        return True

    def _renew(self, gap_s: float, now: float) -> None:
        self._run.crew.renew(now)
        self._run.commands.renew(now)
        self._standstill.renew(now)
        if self._stop_deadline is not None:
            self._stop_deadline.renew(now)
        self._run.journal.event(
            f"the supervisor itself did not run for {gap_s:.1f} s (suspended or starved of CPU); "
            "all deadlines start again",
            level="warning",
        )

    def _on_standstill(self) -> None:
        waits = "; ".join(
            f"{w.name} waits for {w.view.wait}"
            for w in self._run.crew.workers.values()
            if w.view.state == "waiting"
        )
        reason = f"standstill: all workers have waited for {self._standstill.deadline_s:g} s"
        self._run.journal.event(f"{reason}: {waits}", level="error")
        self._run.request_end(End("failed", reason))

    def record_system(self) -> None:
        """A `system` record: every few seconds, and once more at the end."""
        snapshot = self._run.snapshot()
        self._run.journal.record(
            {
                "kind": "system",
                "steps": snapshot.steps,
                "steps_per_s": snapshot.steps_per_s,
                "updates_per_s": {p.name: p.updates_per_s for p in snapshot.policies},
            }
        )
