"""The commands of `[hooks]`: which is started when, with which facts, and what is told of it.

▣ Training never waits for a command and never fails by one: whatever goes wrong with it is a
warning. Of each kind one runs at a time; of what happens meanwhile the newest is kept and comes
next, with the number of those left out.

Commands get the environment that the supervisor was started with, not the one it makes for its
workers: what a command deliberately starts in a session of its own is not the run's to kill.
"""

from __future__ import annotations

import asyncio
import functools
import json
import math
import os
from collections.abc import Callable, Iterable, Mapping
from pathlib import Path
from typing import Any, Literal

from tuitrain.config.unattended import Command, HooksConfig
from tuitrain.protocol import PolicyView, Snapshot
from tuitrain.supervisor.crew.process import printable
from tuitrain.supervisor.hooks.hook_guard import Task
from tuitrain.supervisor.hooks.hook_process import LATEST_S, HookProcess
from tuitrain.supervisor.house.marks import unmarked
from tuitrain.supervisor.journal import Journal

Kind = Literal["eval", "checkpoint", "end"]
Facts = dict[str, Any]
"""Plain JSON values by name: `run`, `event`, `steps`, … Top-level plain ones become variables."""

NICE = 10
MAX_VARIABLE_CHARS = 4_000
LOG_NAME = "hooks.log"

KILLED_S = 5.0
"""What has been killed is gone within so much, unless the kernel holds it."""


class Hooks:
    """Starts the commands of one run.

    Args:
        run_dir: the folder that commands are run in; what they print goes to its `logs`.
        start: injected by tests.
    """

    def __init__(
        self,
        config: HooksConfig,
        run_dir: Path,
        logs: Path,
        journal: Journal,
        start: Callable[[Task, Callable[[str | None], None]], HookProcess] = HookProcess,
    ) -> None:
        self._config = config
        self._run_dir = run_dir
        self._log_path = logs / LOG_NAME
        self._journal = journal
        self._start_process = start
        self._environment = unmarked(os.environ)
        self._running: dict[Kind, HookProcess] = {}
        self._next: dict[Kind, tuple[Facts, int]] = {}
        self._troubled: dict[Kind, str] = {}
        self._idle = asyncio.Event()
        self._idle.set()
        self._closed = False

    def wants(self, kind: Kind) -> bool:
        """Whether there is a command for this, so that facts need not be collected for nobody."""
        return self._command(kind) is not None

    def happened(self, kind: Kind, facts: Facts) -> None:
        """Start the command for this, or let it wait for the one that runs. Never raises."""
        if self._closed or not self.wants(kind):
            return
        if kind in self._running:
            left_out = self._next[kind][1] + 1 if kind in self._next else 0
            self._next[kind] = (facts, left_out)
        else:
            self._start(kind, facts, 0)

    async def idle(self, unless: asyncio.Event) -> None:
        """Wait until no command runs and none is to come, or until `unless` is set.

        Every command ends by its timeout, and of each kind one at most is to come.
        """
        waits = [asyncio.ensure_future(self._idle.wait()), asyncio.ensure_future(unless.wait())]
        longest_s = 2 * (self._config.timeout_s + LATEST_S)
        await asyncio.wait(waits, timeout=longest_s, return_when=asyncio.FIRST_COMPLETED)
        for wait in waits:
            wait.cancel()

    async def close(self, why: str) -> None:
        """Start nothing any more, and end what runs."""
        self._closed = True
        self._next.clear()
        for process in list(self._running.values()):
            process.kill(why)
        try:
            await asyncio.wait_for(self._idle.wait(), KILLED_S)
        except TimeoutError:
            pids = ", ".join(str(process.pid) for process in self._running.values())
            self._journal.event(f"hooks: {pids} cannot be killed (in the kernel?)", level="error")

    def _command(self, kind: Kind) -> Command | None:
        command: Command | None = getattr(self._config, f"on_{kind}")
        return command

    def _start(self, kind: Kind, facts: Facts, left_out: int) -> None:
        command = self._command(kind)
        assert command is not None
        facts = {**facts, "event": kind, "left_out": left_out}
        task = Task(
            argv=["/bin/sh", "-c", command] if isinstance(command, str) else list(command),
            environment=self._environment | variables(facts),
            folder=str(self._run_dir),
            text=json.dumps(_finite(facts)) + "\n",
            title=f"hooks.on_{kind} at {facts.get('steps', 0):,} steps",
            timeout_s=self._config.timeout_s,
            nice=NICE,
            log_path=str(self._log_path),
        )
        try:
            process = self._start_process(task, functools.partial(self._ended, kind))
        except Exception as error:  # no process, no memory, no descriptors: not training's concern
            self._judge(kind, f"could not be started: {error}")
            return
        self._running[kind] = process
        self._idle.clear()

    def _ended(self, kind: Kind, trouble: str | None) -> None:
        self._running.pop(kind, None)
        self._judge(kind, trouble)
        if kind in self._next and not self._closed:
            self._start(kind, *self._next.pop(kind))
        if not self._running:
            self._idle.set()

    def _judge(self, kind: Kind, trouble: str | None) -> None:
        """Tell of trouble; of the same again only when it has worked in between."""
        if trouble is None:
            self._troubled.pop(kind, None)
        elif self._troubled.get(kind) != trouble:
            self._troubled[kind] = trouble
            self._journal.event(
                f"hooks.on_{kind}: {printable(trouble)}; what it printed is in logs/{LOG_NAME}; "
                "training is not affected",
                level="warning",
            )


def facts_of(snapshot: Snapshot, reason: str, policy: str | None) -> Facts:
    """What commands are told of a run.

    Args:
        reason: why it has ended; "" while it has not.
        policy: whose return is told; None for the one whose last evaluation was worst.
    """
    told = _told(snapshot.policies, policy)
    mean = told.eval_return_mean if told else None
    return {
        "run": snapshot.name,
        "run_dir": snapshot.run_dir,
        "status": snapshot.state,
        "reason": reason,
        "steps": snapshot.steps,
        "total_steps": snapshot.total_steps,
        "elapsed_s": round(snapshot.elapsed_s, 3),
        "checkpoint": snapshot.last_checkpoint,
        "policy": told.name if told else None,
        "return": mean,
        "best": told is not None and mean is not None and mean == told.eval_best,
        "policies": {
            p.name: {
                "return": p.eval_return_mean,
                "return_ci95": p.eval_return_ci95,
                "best_return": p.eval_best,
                "updates": p.updates,
            }
            for p in snapshot.policies
        },
    }


def variables(facts: Facts) -> dict[str, str]:
    """`TUITRAIN_...` for every plain fact: empty where it is unknown, 1 and 0 for yes and no."""
    return {f"TUITRAIN_{k.upper()}": _text(v) for k, v in facts.items() if not _nested(v)}


def _told(policies: Iterable[PolicyView], policy: str | None) -> PolicyView | None:
    known = [p for p in policies if policy in (None, p.name)]
    return min(
        known,
        key=lambda p: math.inf if p.eval_return_mean is None else p.eval_return_mean,
        default=None,
    )


def _text(value: Any) -> str:
    if value is None:
        return ""
    if isinstance(value, bool):
        return str(int(value))
    return printable(str(value))[:MAX_VARIABLE_CHARS]


def _nested(value: Any) -> bool:
    return isinstance(value, Mapping | list)


def _finite(value: Any) -> Any:
    """JSON has no NaN: null instead."""
    if isinstance(value, Mapping):
        return {k: _finite(v) for k, v in value.items()}
    return None if isinstance(value, float) and not math.isfinite(value) else value
