"""What a run does with its checks: it tells what has changed, and acts on what fails.

How checks stand is followed by ``diagnosis.standing`` (pure); here that becomes events, and what
`checks.on_fail` says of a check that has failed: a pause, a stop, or the way back to the newest
checkpoint that was saved while none failed, nor soon after.

▣ One failure acts once: it must have been ok in between, or training have gone back. Each
checkpoint is gone back to once, and no more often than `checks.max_rollbacks` in a session.
▣ Nobody is killed for a return that the disk has no room for: it is tried again at the next look.
▣ However frequent checkpoints are, the newest good one stays, and so does the oldest of which that
is not known yet: else all could be removed before any had proven itself.
"""

from __future__ import annotations

import asyncio
import contextlib
from pathlib import Path
from typing import Any

from tuitrain.checkpoint.pruning import hold
from tuitrain.diagnosis.standing import CLEAR_LOOKS, Standings, measured
from tuitrain.protocol import CheckView, Request, Snapshot
from tuitrain.supervisor.clients.requests import Requests
from tuitrain.supervisor.ending import End
from tuitrain.supervisor.recovery import Recovery
from tuitrain.supervisor.run import Run

RESTARTED = ("processes", "heartbeat", "progress")
"""Checks of workers that die or hang: restarts and deadlines care for those already."""


class Checking:
    """Of one run."""

    def __init__(self, run: Run, requests: Requests, recovery: Recovery) -> None:
        self._run = run
        self._requests = requests
        self._recovery = recovery
        self._standings = Standings()
        self._acted: dict[str, str] = {}
        """By check what its failure has done, if it has not been ok since."""
        self._young: dict[str, int] = {}
        """Names of newer checkpoints, and how many more looks must find no failure."""
        self._good: list[str] = []
        """Names of those for which so many have, oldest first."""
        self._tried: set[str] = set()
        """Of the good ones those that have been gone back to."""
        self._held: frozenset[str] = frozenset({""})  # of a session before some may be held
        self._rollbacks = 0
        self._waits = False
        """Whether it has been told that there is no room to go back."""
        self._pausing: asyncio.Task[Any] | None = None

    @property
    def names(self) -> frozenset[str]:
        """Of all checkpoints that it has kept in mind."""
        return frozenset([*self._young, *self._good, *self._tried])

    def look(self, snapshot: Snapshot) -> None:
        """Twice a second, while the run is up."""
        if snapshot.state not in ("running", "paused"):
            return
        run, checks = self._run, snapshot.checks
        at_work = snapshot.state == "running"
        for change in self._standings.look(
            checks, snapshot.steps, snapshot.time_s, at_work=at_work
        ):
            run.journal.event(change.text, level=change.level, data=change.data)
        failed = self._standings.failed()
        failing = {c.id for c in checks if c.state == "fail"}.union(failed) - {*RESTARTED}
        self._judge_checkpoints(bool(failing), at_work)
        self._hold()
        for check in checks:
            if check.state == "ok" and check.id not in failed:
                self._acted.pop(check.id, None)
        what, busy = run.config.checks.on_fail, run.end.done() or self._recovery.going_back
        new = [c for c in checks if c.id in failed and self._acted.get(c.id) != what]
        new = [check for check in new if check.id not in RESTARTED]
        if what == "rollback" and new and not busy and self._no_room(new[0]):
            return  # and nothing is counted
        if new and what != "log" and not busy:
            self._acted |= dict.fromkeys([check.id for check in new], what)
            self._act(new[0])

    def on_checkpoint(self, path: str) -> None:
        """A checkpoint has been written; one of the same name may have been before."""
        name = Path(path).name
        # what has been pruned is not gone back to: a long run would keep thousands of names
        self._good = [there.name for there in self._there() if there.name != name]
        self._young = {young: looks for young, looks in self._young.items() if self._has(young)}
        self._tried.intersection_update(self._good)
        self._young[name] = CLEAR_LOOKS

    def begin_again(self) -> None:
        """All workers have gone back: what was measured is of what is no more."""
        self._standings.begin_again()
        self._acted.clear()

    def close(self, snapshot: Snapshot) -> list[dict[str, Any]]:
        """The run is over: every check that was raised in this session, see ``Raised``."""
        return self._standings.close(snapshot.checks, snapshot.steps, snapshot.time_s)

    def _judge_checkpoints(self, failing: bool, running: bool) -> None:
        """A checkpoint is good if nothing failed when it was saved nor in the looks after it.

        What is wrong is measured some time after it has happened; after a return nothing is, and
        in a pause nothing either.
        """
        if failing:
            self._young.clear()
        if not running:
            return
        self._young = {name: looks - 1 for name, looks in self._young.items()}
        for name in [name for name, looks in self._young.items() if looks == 0]:
            del self._young[name]
            if self._has(name):
                self._good.append(name)

    def _hold(self) -> None:
        """Keep what the run may go back to from being pruned; on the way there nothing changes."""
        if self._recovery.going_back:
            return
        held: frozenset[str] = frozenset()
        if self._run.config.checks.on_fail == "rollback":
            good = [name for name in self._good if name not in self._tried]
            held = frozenset([*good[-1:], *list(self._young)[:1]])
        if held != self._held:
            # where the disk is full this is tried again, and `_roll_back` says what is left
            with contextlib.suppress(OSError):
                hold(self._run.folder.checkpoints, held)
                self._held = held

    # ---- acting ------------------------------------------------------------------------------

    def _act(self, check: CheckView) -> None:
        match self._run.config.checks.on_fail:
            case "pause":
                self._pause(check)
            case "stop":
                self._stop(check)
            case "rollback":
                self._roll_back(check)

    def _pause(self, check: CheckView) -> None:
        if self._run.held:
            return
        name = self._run.folder.name
        self._run.journal.event(
            f"check {check.name} failed, so the run is paused (checks.on_fail): "
            f"`tuitrain unpause {name}` goes on all the same",
            level="warning",
            data={"check": check.id, "on_fail": "pause"},
        )
        request = Request(id=0, command="pause")
        self._pausing = asyncio.ensure_future(self._requests.handle(request))

    def _stop(self, check: CheckView, more: str = "") -> None:
        brief = f"check {check.name} failed"
        reason = f"{brief}: {measured(check)}{more}"
        if good := self._there():
            reason += f"; the last checkpoint of before is {good[-1].name}"
        self._run.request_end(End("failed", reason, brief=brief + more, check=check.id))

    def _roll_back(self, check: CheckView) -> None:
        done, most = self._rollbacks, self._run.config.checks.max_rollbacks
        good = [path for path in self._there() if path.name not in self._tried]
        if done >= most:
            times = f"{done} time{'s' * (done != 1)}"
            self._stop(check, f"; it has gone back {times}, which is checks.max_rollbacks")
        elif not good:
            self._stop(check, "; no checkpoint is left that was saved while no check failed")
        else:
            to = good[-1]
            self._tried.add(to.name)
            self._rollbacks += 1
            why = f"check {check.name} failed"
            self._run.journal.event(
                f"{why}, so all go back to {to.name} (checks.on_fail), return {self._rollbacks} of "
                f"at most {most}",
                level="warning",
                data={"check": check.id, "on_fail": "rollback", "checkpoint": str(to)},
            )
            self._recovery.roll_back(to, check.id, why, lambda text: self._stop(check, f"; {text}"))

    def _no_room(self, check: CheckView) -> bool:
        """Whether the disk is too full to go back, or to stop and say so; it is told once."""
        full = self._recovery.no_room()
        if full and not self._waits:
            self._run.journal.event(
                f"check {check.name} failed, but all go back (checks.on_fail) only when there is "
                f"room for it: {full}; training goes on until then",
                level="warning",
                data={"check": check.id},
            )
        self._waits = bool(full)
        return self._waits

    def _there(self) -> list[Path]:
        """Good checkpoints that have not been removed or moved, oldest first."""
        return [self._run.folder.checkpoints / name for name in self._good if self._has(name)]

    def _has(self, checkpoint: str) -> bool:
        return (self._run.folder.checkpoints / checkpoint).exists()
