"""Checks of processes: do all of them live, get on, and write down what they measure?"""

from __future__ import annotations

from collections.abc import Callable

from tuitrain.config.checks import ChecksConfig
from tuitrain.diagnosis.checks.row import WORKING, Row, check, judged, not_measured
from tuitrain.protocol import CheckState, ProcessView, Snapshot

_LIVE = ("running", "waiting", "paused", "finished")


@check(
    "processes",
    "processes",
    "12.2",
    why="Every worker lives: without actors no data comes, without learner none is used.",
    explains=("heartbeat", "progress", "replay_ratio", "policy_lag"),
)
def processes(snapshot: Snapshot, limits: ChecksConfig) -> Row:
    """Every worker that should run does; one that is started again does not yet."""
    views = snapshot.processes
    failed = [p for p in views if p.state == "failed"]
    again = [p for p in views if p.state == "starting" and (p.restarts or p.rolled_back)]
    up = bool(views) and snapshot.state in WORKING
    state: CheckState = "fail" if failed else "n/a" if not up else "warn" if again else "ok"
    advice = ""
    if failed:
        advice = f"{failed[0].name}: {failed[0].error or 'see its log'}"
    elif up and again:
        dead = next((p for p in again if p.died_of), again[0])
        advice = f"{dead.name} is started again: {dead.died_of or 'another worker had died'}"
    restarts = sum(p.restarts for p in views)
    up_now = f"{sum(p.state in _LIVE for p in views)} up"
    if restarts:
        up_now += f", {restarts} death{'s' * (restarts > 1)}"
    value = f"{', '.join(p.name for p in failed)} failed" if failed else up_now
    return Row(value, f"{len(views)} up", state, advice)


@check(
    "heartbeat",
    "heartbeat",
    "12.2",
    why="Every worker says that it lives, whatever it does: a silent one is stopped, hung, or "
    "gets no processor.",
    explains=("progress", "policy_lag"),
)
def heartbeat(snapshot: Snapshot, limits: ChecksConfig) -> Row:
    """No worker is silent."""
    return _age(
        _oldest(snapshot, lambda p: p.beat_age_s),
        limits.heartbeat_s,
        "it is busy with one long unit of work, stopped (SIGSTOP) or hung; its stack tells which",
    )


@check(
    "progress",
    "progress",
    "X.7",
    why="Every worker that says it works gets something done: one that lives and does nothing "
    "holds up the others.",
    explains=("policy_lag",),
)
def progress(snapshot: Snapshot, limits: ChecksConfig) -> Row:
    """Every worker that says it works gets something done. Waiting and pausing are healthy."""
    return _age(
        _oldest(snapshot, lambda p: p.progress_age_s if p.state == "running" else None),
        limits.progress_s,
        "one unit of its work takes this long, or it is hung",
    )


@check(
    "lost_lines",
    "lost lines",
    "X.13",
    why="All that was measured is in the run's files: what could not be written is on no curve, "
    "and missing after the end.",
)
def lost_lines(snapshot: Snapshot, limits: ChecksConfig) -> Row:
    """Everything that was measured is in the run's files."""
    lost = snapshot.lost_lines
    if lost is None:
        return not_measured("0")
    advice = "metrics or events could not be written: see the events, make space"
    return judged(str(lost), "0", "warn" if lost else None, advice)


def _oldest(
    snapshot: Snapshot, age: Callable[[ProcessView], float | None]
) -> tuple[ProcessView, float] | None:
    if snapshot.state not in ("running", "paused"):
        return None
    rows = [(p, value) for p in snapshot.processes if (value := age(p)) is not None]
    return max(rows, key=lambda row: row[1], default=None)


def _age(oldest: tuple[ProcessView, float] | None, limit_s: float, advice: str) -> Row:
    limit = f"{limit_s:g}s"
    if oldest is None:
        return not_measured(limit)
    process, age_s = oldest
    late = age_s > limit_s
    value = f"{process.name} {age_s:.1f}s"
    return judged(value, limit, "warn" if late else None, f"{process.name}: {advice}")
