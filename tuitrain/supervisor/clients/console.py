"""Plain lines on stdout for a run without a terminal UI: readable, or JSON. Never an escape byte.

Printing happens in a thread of its own with a bounded queue: a stopped terminal or a full pipe
costs lines, never the supervisor's time. A reader that has gone away ends the printing, not the
training.
"""

from __future__ import annotations

import contextlib
import os
import queue
import sys
import threading
import time
from collections import deque
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from tuitrain.config.emit import emit_value
from tuitrain.metrics.sinks import to_json
from tuitrain.protocol import EventLine, PolicyView, Snapshot
from tuitrain.supervisor.crew.failure import why_of
from tuitrain.supervisor.crew.process import printable
from tuitrain.supervisor.ending import KILLED

MAX_LINES = 1_000
MAX_TOLD = 20
"""So many tracebacks and ends of logs are remembered, not to be printed again."""

MAX_POLICIES = 3
"""Up to so many policies have their own part of a line."""


class Console:
    """Prints events and progress.

    Args:
        as_json: one JSON object a line instead of text.
        fd: where to; stdout.
    """

    def __init__(self, *, as_json: bool, fd: int = 1) -> None:
        self._as_json = as_json
        self._fd = fd
        self._told: deque[tuple[str, ...]] = deque(maxlen=MAX_TOLD)
        self._queue: queue.Queue[bytes | None] = queue.Queue(MAX_LINES)
        self._encoding = sys.stdout.encoding or "utf-8" if sys.stdout else "utf-8"
        self._thread = threading.Thread(target=self._print, name="console", daemon=True)
        self._thread.start()

    def event(self, line: EventLine) -> None:
        """An event, with its traceback and last log lines if it has them."""
        if self._as_json:
            self._put(to_json(line.model_dump()))
            return
        mark = "" if line.level == "info" else f"{line.level.upper()} "
        named = line.source == "supervisor" or line.text.startswith(f"{line.source} ")
        source = "" if named else f"{line.source}: "
        self._put(f"{_clock(line.time_s)} {mark}{source}{printable(line.text)}")
        traceback, log = line.data.get("traceback"), line.data.get("log")
        if isinstance(traceback, str):
            self._detail(traceback.splitlines())
        elif isinstance(log, list):
            self._detail([f"log | {text}" for text in log])

    def progress(self, snapshot: Snapshot) -> None:
        """One line about the run as it is."""
        if self._as_json:
            self._put(to_json(snapshot.model_dump()))
        else:
            self._put(progress_line(snapshot))

    def summary(self, summary: dict[str, Any], last: Snapshot) -> None:
        """How the run ended. In JSON the last snapshot too: a short run may have shown none."""
        if self._as_json:
            self._put(to_json(last.model_dump()))
            self._put(to_json({"kind": "summary", **summary}))
        else:
            for text in summary_lines(summary)[1:]:  # the last event has said how it ended
                self._put(text)

    def close(self, wait_s: float = 2.0) -> None:
        """Print what is queued, for at most `wait_s`."""
        try:
            self._queue.put(None, timeout=wait_s)
        except queue.Full:
            return
        self._thread.join(wait_s)

    def _detail(self, lines: list[str]) -> None:
        """A traceback or a log's end, once: who dies again often dies of the same."""
        key = tuple(lines[1:] or lines)  # the first line may have a thread's address
        if not key:
            return
        again = key in self._told
        self._told.append(key)
        for text in ["(the same as before)"] if again else lines:
            self._put(f"    {printable(text)}")

    def _put(self, text: str) -> None:
        with contextlib.suppress(queue.Full):  # nobody reads; the files have it all
            self._queue.put_nowait(text.encode(self._encoding, "replace") + b"\n")

    def _print(self) -> None:
        while (data := self._queue.get()) is not None:
            try:
                while data:
                    data = data[os.write(self._fd, data) :]
            except OSError:
                self._fd = os.open(os.devnull, os.O_WRONLY)


def progress_line(snapshot: Snapshot) -> str:
    """The state of a run on one line of text."""
    total = max(1, snapshot.total_steps)
    parts = [
        f"{_clock(snapshot.time_s)} {snapshot.state}",
        f"{snapshot.steps:,}/{snapshot.total_steps:,} steps {100 * snapshot.steps / total:.0f}%",
    ]
    if snapshot.steps_per_s is not None:
        parts.append(f"{snapshot.steps_per_s:,.0f} st/s")
    parts += _updates(snapshot.policies)
    if any(policy.learning.n_evals for policy in snapshot.policies):
        parts.append(_verdict(snapshot))
    count = {"fail": 0, "warn": 0, "ok": 0, "n/a": 0}
    for check in snapshot.checks:
        count[check.state] += 1
    parts.append(f"checks {count['ok']} ok {count['warn']} warn {count['fail']} fail")
    if snapshot.eta_s is not None:
        parts.append(f"ETA {duration(snapshot.eta_s)}")
    waiting = [f"{p.name} waits: {p.wait}" for p in snapshot.processes if p.state == "waiting"]
    silent = [f"{p.name} silent" for p in snapshot.processes if p.state == "silent"]
    waiting = silent + waiting
    if snapshot.steps_per_s == 0 and waiting:
        parts.append("; ".join(waiting[:3]))
    return printable("  ".join(parts))


def _updates(policies: Sequence[PolicyView]) -> list[str]:
    """Updates, their rate and ratio of every policy; of many all together."""
    if len(policies) > MAX_POLICIES:
        total = sum(policy.updates for policy in policies)
        rate_ups = sum(policy.updates_per_s or 0.0 for policy in policies)
        return [f"{total:,} updates {rate_ups:,.1f} u/s of {len(policies)} policies"]
    parts = []
    for policy in policies:
        name = "" if len(policies) == 1 else f"{policy.name} "
        rate = f" {policy.updates_per_s:,.1f} u/s" if policy.updates_per_s is not None else ""
        ratio = f" ratio {policy.ratio_achieved:.3g}" if policy.ratio_achieved is not None else ""
        parts.append(f"{name}{policy.updates:,} updates{rate}{ratio}")
    return parts


def _verdict(snapshot: Snapshot) -> str:
    """Evaluation and verdict; of several policies the worst, by name."""
    learning = snapshot.learning
    spread = f"±{learning.ci95:.3g}" if learning.ci95 is not None else ""
    score = "no evaluation" if learning.mean is None else f"eval {learning.mean:.4g}{spread}"
    verdict = f"{learning.verdict}{_but(learning.newest_alone)}"
    if len(snapshot.policies) == 1:
        return f"{score} {verdict}"
    return f"worst of {len(snapshot.policies)}: {learning.policy} → {verdict} {score}"


def _but(newest_alone: str | None) -> str:
    """Behind a verdict beside an evaluation that does not fit it, and has not changed it yet."""
    return "" if newest_alone is None else " but for the newest"


def summary_lines(summary: dict[str, Any]) -> list[str]:
    """The end of a run in a few lines of text."""
    base = summary["base_steps"]
    since = f", {summary['steps'] - base:,} of them since it was resumed," if base else ""
    lines = [
        f"{summary['state']}: {summary['reason']}",
        f"  {summary['steps']:,} of {summary['total_steps']:,} environment steps{since} "
        f"in {duration(summary['wall_s'])}",
    ]
    for name, policy in summary["policies"].items():
        ratio = policy["ratio_achieved"]
        text = "" if ratio is None else f", ratio {ratio:.4g} (asked {policy['ratio_target']:.4g})"
        lines.append(f"  policy {name}: {policy['updates']:,} updates{text}")
        if policy["eval_return_mean"] is not None:
            learning = policy.get("learning") or {}
            verdict = f"{learning.get('verdict', 'n/a')}{_but(learning.get('newest_alone'))}"
            lines.append(
                f"    evaluation {policy['eval_return_mean']:.4g}, best {policy['eval_best']:.4g}, "
                f"{verdict}"
            )
    for check in summary["checks"]:
        if check["state"] == "fail" and check["id"] != "processes":  # that one is the reason
            lines.append(f"  CHECK FAILED {check['name']} {check['value']}: {check['advice']}")
        elif check["state"] == "warn":
            lines.append(f"  check warns: {check['name']} {check['value']}: {check['advice']}")
    lines += _raised_lines(summary) + _restart_lines(summary)
    if summary.get("lost_lines"):
        lines.append(f"  {summary['lost_lines']:,} metrics and events could not be written")
    if summary["last_checkpoint"]:
        # of a run that has failed, or was killed, it is an earlier one
        earlier = summary["state"] == "failed" or summary["reason"] == KILLED
        kind = "last checkpoint" if earlier else "checkpoint"
        lines.append(f"  {kind} {summary['last_checkpoint']}")
    changes = summary.get("changes", {})
    told = changed_lines({key: (c["value"], c["given"]) for key, c in changes.items()})
    lines += [f"  {line}" for line in told]
    if best := summary.get("best"):
        lines.append(f"  best weights {best_line(best)}")
    lines.append(f"  run folder {summary['run_dir']}")
    lines += _next_lines(summary)
    return [printable(line) for line in lines]


def _next_lines(summary: dict[str, Any]) -> list[str]:
    """What to type now: why something is wrong, and how a run that was stopped goes on."""
    name, lines = Path(summary["run_dir"]).name, []
    if any(check["state"] in ("warn", "fail") for check in summary["checks"]):
        lines.append(f"  next: tuitrain diagnose {name}")
    return [*lines, *(f"  {told}" for told in to_go_on(summary))]


def to_go_on(summary: Mapping[str, Any]) -> list[str]:
    """How a run goes on that its user has stopped or killed, or begins anew, in a line; of others
    nothing."""
    if summary.get("state") not in ("stopped", "interrupted"):
        return []
    path = Path(summary["run_dir"])
    if summary.get("last_checkpoint"):
        return [f"to go on: tuitrain resume {path.name}"]
    return [f"no checkpoint to go on from; to begin anew: tuitrain launch {path / 'config.toml'}"]


def _raised_lines(summary: dict[str, Any]) -> list[str]:
    """Checks that were raised on the way and are not at the end."""
    final = {check["id"] for check in summary["checks"] if check["state"] in ("warn", "fail")}
    return [
        f"  check {'failed' if raised['state'] == 'fail' else 'warned'} on the way: "
        f"{raised['name']} {raised['value']}, step {raised['first_steps']:,} to "
        f"{raised['last_steps']:,}"
        for raised in summary.get("raised_checks", ())
        if raised["check"] not in final
    ]


def changed_lines(settings: Mapping[str, tuple[Any, Any]]) -> list[str]:
    """What was changed while the run went on: by key what holds, and what config.toml says."""
    return [
        f"changed while it ran: {key} = {emit_value(value)} (config.toml: {emit_value(given)})"
        for key, (value, given) in settings.items()
        if value != given
    ]


def best_line(best: Mapping[str, Any]) -> str:
    """Where the best weights are and what they are worth; of fields of a ``BestView``."""
    whose = f" of {best['policy']}" if best.get("policy") else ""
    return f"{best['path']}: mean return {best['score']:.4g}{whose} at {best['steps']:,} steps"


def _restart_lines(summary: dict[str, Any]) -> list[str]:
    """Who was started again, and what that has cost."""
    lines = []
    if restarts := summary.get("restarts"):
        who = ", ".join(f"{name} {count}×" for name, count in restarts.items())
        lost = sum((summary.get("lost_updates") or {}).values())
        cost = f"; {lost:,} updates were lost" if lost else ""
        lines.append(f"  started again after a death: {who}{cost}")
        if deaths := summary.get("deaths"):
            lines.append(f"    the last, of {deaths[-1]['worker']}: {why_of(deaths[-1])}")
    lines += _total_lines(summary)
    if summary.get("reproducible") is False:
        lines.append(
            "  not reproducible: it went on with another config or other sources, or from less "
            "than all of its state"
        )
    return lines


def _total_lines(summary: dict[str, Any]) -> list[str]:
    """What deaths have cost over all sessions of the run, where there have been some before."""
    totals = summary.get("totals") or {"deaths": {}, "lost_updates": {}}
    deaths, lost = sum(totals["deaths"].values()), sum(totals["lost_updates"].values())
    if deaths <= len(summary.get("deaths") or ()):
        return []
    cost = f", {lost:,} updates lost" if lost else ""
    return [f"  over all sessions of the run: {deaths:,} deaths of workers{cost}"]


def duration(seconds: float) -> str:
    """`h:mm:ss`."""
    whole = int(seconds)
    return f"{whole // 3600}:{whole // 60 % 60:02d}:{whole % 60:02d}"


def _clock(time_s: float) -> str:
    return time.strftime("%H:%M:%S", time.localtime(time_s))
