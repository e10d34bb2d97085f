"""One case on one run: bring the process to its moment, let the fault strike, see what becomes.

What is judged here is the run's outcome, its exit code and summary, and what is left of it; what
its workers did to shards and weights is judged from the ledgers, once the run's cases are over.
"""

from __future__ import annotations

import contextlib
import os
import random
import signal
import subprocess
import sys
import threading
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

from tests.faults.arena import GOES_ON_S, SHORT_STARTUP_S, STARTUP_S, Arena, Result, cont
from tests.faults.cases import Case, Outcome
from tests.faults.expected import STOPPED, Expected, deadline_s, expected, told_within_s
from tests.faults.orders import Order
from tests.sites import Stuck, gone

ORPHANS_S = 2.0
"""After the death of a supervisor its workers have so long."""
GUARD_S = 3.0
"""Then its guard has so long for the rest; what it has not removed the next command removes."""
FIRE_S = 90.0
"""Until a fault strikes: after a start-up, where it strikes in one."""
EXIT_CODES = {"finished": 0, "stopped": 0, "refused": 2, "failed": 3, "interrupted": 130}


class Attack:
    """Carries out one case.

    Args:
        arena: its run may be up, or not.
        number: makes the order's name unique.
        rng: for moments that no line of the program stands for.
        long_stop: stop a process for 30 s instead of three times its deadline.
    """

    def __init__(
        self, arena: Arena, case: Case, number: int, rng: random.Random, long_stop: bool = False
    ) -> None:
        self.arena, self.case, self.rng = arena, case, rng
        self.expected: Expected = expected(case)
        self.result = Result(case.name)
        self.order = Order(
            f"{number}:{case.name}",
            case.worker,
            case.places,
            case.at,
            case.fault,
            case.operation,
        )
        self._long_stop = long_stop
        self._victim = 0
        self._threads: list[threading.Thread] = []
        self._client: subprocess.Popen[bytes] | None = None
        self._pausing: threading.Thread | None = None
        self._unpaused_s: float | None = None

    def run(self) -> Result:
        """To its end; never raises for what the program does wrong."""
        began = time.monotonic()
        try:
            self._run()
        except Exception as error:  # not only what was waited for: also a run that does not answer
            self.result.outcome = self.result.outcome or "stuck"
            kind = "" if isinstance(error, Stuck) else f"{type(error).__name__}: "
            self.result.problems.append(f"{kind}{error}; {self._state()}")
            self.arena.kill()  # the next case begins anew
        for thread in self._threads:
            thread.join(5.0)
        if self._client is not None:
            self._client.kill()
            self._client.communicate()
        self.result.took_s = time.monotonic() - began
        return self.result

    # ---- before ------------------------------------------------------------------------------

    def _run(self) -> None:
        arena, provoke = self.arena, self.case.where.provoke
        if provoke == "start":
            arena.stop()
            arena.order(self.order)
            stopped = self.case.fault == "SIGSTOP" and self.case.role != "supervisor"
            arena.start(SHORT_STARTUP_S if stopped else STARTUP_S)
        else:
            arena.up()
            if provoke != "beside":
                self._provoke(provoke)
        fired = self._from_beside() if provoke == "beside" else self._wait_fired()
        if fired.get("passed"):
            self._judge_passed()
        else:
            self._after(fired)
            self._judge(fired)

    def _provoke(self, provoke: str) -> None:
        arena = self.arena
        if provoke == "restart":
            pid = arena.pid(self.case.worker)
            os.kill(pid, signal.SIGKILL)
            arena.order(self.order)  # after that: the one that is there would take it
            return
        arena.order(self.order)
        armed = self.order.mark(arena.faults, "armed")
        arena.eventually(armed.exists, f"{self.order.worker} to take its order")
        if provoke == "gate":
            self._beside(self._hold_locks)
        elif provoke == "pause":
            self._pausing = self._beside(lambda: arena.ask("pause"))
        elif provoke == "checkpoint":
            self._beside(lambda: arena.ask("checkpoint", timeout_s=10.0))
        elif provoke == "evaluate":
            self._beside(lambda: arena.ask("evaluate", timeout_s=10.0))
        elif provoke == "stop":
            self._beside(lambda: arena.ask("stop"))

    def _beside(self, act: Callable[[], Any]) -> threading.Thread:
        def quietly() -> None:
            with contextlib.suppress(Exception):
                act()

        thread = threading.Thread(target=quietly, daemon=True)
        thread.start()
        self._threads.append(thread)
        return thread

    def _hold_locks(self) -> None:
        while not self.result.outcome and self.arena.fired(self.order) is None:
            if self.case.role == "evaluator":  # who seldom wants a lock
                self._beside(lambda: self.arena.ask("evaluate", timeout_s=2.0))
            with self.arena.locks_held():
                time.sleep(0.3)
            time.sleep(0.2)

    def _wait_fired(self) -> dict[str, Any]:
        arena, since = self.arena, time.monotonic()
        starts = self.case.where.provoke == "start"

        def fired() -> dict[str, Any] | None:
            over = not arena.alive
            found = arena.fired(self.order)
            if found is None and over:
                if self.case.operation:
                    return {"passed": True}
                raise Stuck(f"the run ended before the fault: {arena.ending()[1]}")
            if found is None and starts and self.case.operation:
                up = all(arena.worked_since(name, since) for name in arena.names())
                return {"passed": True} if up else None
            return found

        found = arena.eventually(fired, "the fault", FIRE_S)
        assert found is not None
        if not found.get("passed"):
            self.result.where = found["where"]
            self.result.fired_s = found["mono_s"]
            self._victim = found["pid"]
        return found

    def _from_beside(self) -> dict[str, Any]:
        """A fault that comes from outside, at some moment."""
        arena, case = self.arena, self.case
        if case.role == "client":
            self._victim = self._attach()
        else:
            owner = arena.pid("a0")
            orphaned = case.moment == "orphaned"
            self._victim = owner if orphaned else self.rng.choice(self._children_of(owner))
        if case.moment == "paused":
            arena.ask("pause")
        time.sleep(self.rng.uniform(0.0, 0.3))
        fired = {"mono_s": time.monotonic(), "time_s": time.time(), "pid": self._victim}
        self.result.fired_s = fired["mono_s"]
        os.kill(self._victim, signal.Signals[case.fault])
        if case.moment == "stopping":
            self._beside(lambda: arena.ask("stop"))
        return fired

    def _children_of(self, actor: int, kind: str = "children") -> list[int]:
        """What environments of an actor have started; `strays` are not in its process group."""
        files = (self.arena.root / kind).iterdir()
        return [int(path.name) for path in files if path.read_text() == str(actor)]

    def _attach(self) -> int:
        command = "subscribe" if self.case.moment == "reading" else "evaluate"
        runtime = self.arena.folder.read_runtime() or {}
        client = subprocess.Popen(
            [sys.executable, str(Path(__file__).with_name("client.py")), command],
            env=self.arena.environment | {"SOCKET": runtime["socket_path"]},
            stdout=subprocess.PIPE,
        )
        assert client.stdout is not None
        client.stdout.read(1)  # it is connected
        self._client = client
        return client.pid

    # ---- after -------------------------------------------------------------------------------

    def _after(self, fired: dict[str, Any]) -> None:
        """Until it is clear what has become."""
        arena, case = self.arena, self.case
        since = fired["mono_s"]
        if case.fault == "SIGSTOP":
            self._stay_stopped()
            cont(self._victim)
            since = time.monotonic()
        if case.moment == "paused":
            self._beside(self._unpause)
        if self.expected.outcomes == {"dies"}:
            arena.eventually(lambda: not arena.alive, "the supervisor's end", 10.0)
        names = [name for name in arena.names() if name != "eval" or case.role == "evaluator"]
        killed = self._victim if case.fault in ("SIGKILL", "SIGSEGV", "SIGTERM", "exit 0") else 0

        def clear() -> bool:
            if not arena.alive:
                return True
            if "goes on" not in self.expected.outcomes:
                return False
            again = since
            if case.moment == "paused":
                if self._unpaused_s is None:
                    return False
                again = max(since, self._unpaused_s)
            at_work = all(arena.worked_since(name, again, killed) for name in names)
            return at_work and arena.state() == "running"

        arena.eventually(clear, "the run going on, or its end", GOES_ON_S)
        if arena.alive:
            self.result.outcome = "goes on"
            self.result.recovered_s = self._recovered(fired, since, killed)
        else:
            self.result.outcome = "ends" if arena.summary() else "dies"
            code = arena.code
            if code is not None and code >= 0 and not self.expected.summary:
                self.result.outcome = "ends"

    def _stay_stopped(self) -> None:
        """For much longer than its deadline, unless it is ended because of that."""
        limits = self.arena.config.supervisor
        stopped_s = 30.0 if self._long_stop else 3 * deadline_s(self.case, limits)
        with contextlib.suppress(Stuck):
            self.arena.eventually(lambda: gone(self._victim), "its end", stopped_s)

    def _recovered(self, fired: dict[str, Any], since: float, killed: int) -> float:
        role, struck = self.case.role, float(fired["mono_s"])
        name = "a0" if role in ("supervisor", "client", "child") else self.case.worker
        # a stopped one has a successor, or goes on once it may
        stopped = self._victim if self.case.fault == "SIGSTOP" else killed
        worked = self.arena.worked_since(name, struck, stopped)
        if worked is not None:
            return worked - struck
        worked = self.arena.worked_since(name, since, killed)
        return (worked or time.monotonic()) - since

    def _unpause(self) -> None:
        """Once the pause has been answered: one that comes late would outlast the case."""
        if self._pausing is not None:
            self._pausing.join()
        time.sleep(0.5)
        while not self.result.outcome and self.arena.alive:
            with contextlib.suppress(Exception):
                self.arena.ask("unpause", timeout_s=5.0)
            if self.arena.state() == "running":
                self._unpaused_s = time.monotonic()
                return
            time.sleep(0.3)

    # ---- judging -----------------------------------------------------------------------------

    def _judge_passed(self) -> None:
        """The operation makes fewer calls; the run must be as if nothing had been asked."""
        arena, result = self.arena, self.result
        result.outcome = "passed"
        if self.case.where.provoke == "stop":
            arena.eventually(lambda: not arena.alive, "the run's end")
            self.expected = STOPPED
            self._judge_end()
            arena.to_resume.append(result)
        elif not arena.alive:
            state, cause = arena.ending()
            result.problems.append(f"{state} before the fault (exit code {arena.code}): {cause}")
            arena.to_resume.append(result)

    def _judge(self, fired: dict[str, Any]) -> None:
        arena, result = self.arena, self.result
        outcome: Outcome = result.outcome
        if outcome not in self.expected.outcomes:
            wanted = " or ".join(sorted(self.expected.outcomes))
            code = "" if outcome == "goes on" else f" (exit code {arena.code}: {arena.ending()[1]})"
            result.problems.append(f"{outcome}{code}, must be: {wanted}")
        if self._told_within_s() is not None:  # the run may go on before an event says why
            with contextlib.suppress(Stuck):
                arena.eventually(
                    lambda: self._detected(fired) is not None or not arena.alive,
                    "an event that tells of it",
                    GOES_ON_S,
                )
        result.detected_s = self._detected(fired)
        result.problems += self._untold()
        if self.case.moment == "orphaned":
            self._no_orphans()
        if outcome == "goes on":
            return
        if outcome == "ends":
            self._judge_end()
        else:
            self._judge_death()
        arena.to_resume.append(result)  # what is on the disk must do

    def _judge_end(self) -> None:
        arena, problems = self.arena, self.result.problems
        state, cause = arena.ending()
        if arena.summary() is None and self.expected.summary:
            problems.append("no summary")
        if self.expected.states and state not in self.expected.states:
            problems.append(f"{state}: {cause}")
        if state == "refused" and not cause.startswith("tuitrain: "):
            problems.append(f"refused without a word: {cause}")
        if arena.code != EXIT_CODES.get(state):
            problems.append(f"exit code {arena.code} of a run that is {state}: {cause}")
        must_name = state == "failed" and self.expected.named and self.case.role != "child"
        if must_name and self.case.worker not in cause and self.case.role not in cause:
            problems.append(f"its cause does not name {self.case.worker}: {cause}")
        self._nothing_left(0.5)

    def _judge_death(self) -> None:
        self._nothing_left(ORPHANS_S, processes_only=True)
        with contextlib.suppress(Stuck):
            self.arena.eventually(lambda: not self.arena.left(), "the guard's work", GUARD_S)
            return
        command = [sys.executable, "-m", "tuitrain", "ls"]
        done = subprocess.run(
            command, env=self.arena.environment, capture_output=True, text=True, check=False
        )
        if done.returncode:
            self.result.problems.append(f"the next command fails: {done.stderr[-300:]}")
        self._nothing_left(0.5)

    def _no_orphans(self) -> None:
        strays = self._children_of(self._victim, "strays")
        try:
            self.arena.eventually(lambda: all(map(gone, strays)), "no orphans", ORPHANS_S)
        except Stuck:
            self.result.problems.append(f"the dead actor's environments have left {strays}")

    def _nothing_left(self, deadline_s: float, *, processes_only: bool = False) -> None:
        arena = self.arena

        def left() -> list[str]:
            found = arena.left()
            return [text for text in found if not processes_only or text.startswith("process")]

        try:
            arena.eventually(lambda: not left(), "nothing left", deadline_s)
        except Stuck:
            if found := left():
                self.result.problems.append(f"left: {'; '.join(found)}")

    def _told_within_s(self) -> float | None:
        return told_within_s(self.case, self.arena.config.supervisor)  # which a start may change

    def _untold(self) -> list[str]:
        """The death of a worker that nobody told of, or too late."""
        within, told = self._told_within_s(), self.result.detected_s
        if within is None:
            return []
        if told is None:
            return ["no event told of it"]
        return [f"told of after {told:.1f} s, must be: {within:g} s"] if told > within else []

    def _detected(self, fired: dict[str, Any]) -> float | None:
        """Until an event told of it: of a worker's end, not of what a signal was sent to."""
        if self.case.role in ("supervisor", "client", "child"):
            return None
        for event in self.arena.events():
            told = event["source"] == self.case.worker or self.case.worker in event["text"]
            if event["time_s"] >= fired["time_s"] and told and event["level"] != "info":
                return float(event["time_s"] - fired["time_s"])
        return None

    # ---- when something goes wrong -------------------------------------------------------------

    def _state(self) -> str:
        if not self.arena.alive:
            return f"supervisor: exit code {self.arena.code}: {self.arena.ending()[1]}"
        try:
            snapshot = self.arena.snapshot()
        except Exception as error:
            return f"its supervisor does not answer: {error}"
        return f"{snapshot['state']}: " + ", ".join(
            f"{p['name']} {p['state']} ({p['wait'] or ''}, beat {p['beat_age_s']})"
            for p in snapshot["processes"]
        )
