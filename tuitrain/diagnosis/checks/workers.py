"""Checks of processes: do all of them live, get on, and write down what they measure?"""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING

from tuitrain.diagnosis.checks.row import WORKING, Row, check, judged, not_measured, percent
from tuitrain.diagnosis.headlines import to_be_read
from tuitrain.protocol import CheckState, ProcessView, Snapshot

if TYPE_CHECKING:
    from tuitrain.config.checks import ChecksConfig

_LIVE = ("running", "waiting", "paused", "silent", "finished")
_IDLE_PHASES = ("start", "wait", "paused")
_COPY_PHASES = ("copy", "publish")
_DOES = {"silent": "is silent", "paused": "is paused", "starting": "starts"}
_BUSY = 0.2
"""Whoever works for a smaller share of the time may do with it what it likes."""


@check(
    "processes",
    "processes",
    "12.2",
    why="Every worker lives: without actors no data comes, without learner none is used.",
    explains=("heartbeat", "progress", "standstill", "replay_ratio", "policy_lag"),
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
        first = failed[0]
        advice = f"{first.name}: {first.error or 'see its log'}"
        if snapshot.name and first.error and "`tuitrain logs " not in advice:
            advice = advice.rstrip(".") + to_be_read(
                snapshot.name, first.name, first.died_of or first.error
            )
    elif up and again:
        dead = next((p for p in again if p.died_of), again[0])
        advice = f"{dead.name} is started again: {dead.died_of or 'another worker had died'}"
        if dead.died_of:
            advice = advice.rstrip(".") + to_be_read(snapshot.name, dead.name, dead.died_of)
    restarts = sum(p.restarts for p in views)
    up_now = f"{sum(p.state in _LIVE for p in views)} up"
    if restarts:
        up_now += f", {restarts} death{'s' * (restarts > 1)}"
    value = f"{', '.join(p.name for p in failed)} failed" if failed else up_now
    if failed and restarts:
        value += f", {restarts + 1} deaths"
    return Row(value, f"{len(views)} up", state, advice)


@check(
    "heartbeat",
    "heartbeat",
    "12.2",
    why="Every worker says that it lives, whatever it does: a silent one is stopped, hung, or "
    "gets no processor.",
    explains=("progress", "lock_wait", "policy_lag"),
)
def heartbeat(snapshot: Snapshot, limits: ChecksConfig) -> Row:
    """No worker is silent."""
    oldest = _oldest(snapshot, lambda p: p.beat_age_s)
    return _age(oldest, limits.heartbeat_s, "" if oldest is None else _silent(snapshot, oldest[0]))


def _silent(snapshot: Snapshot, process: ProcessView) -> str:
    """Where it is, how that is found out, and what becomes of it."""
    where = f'in "{process.stands_in}"; ' if process.stands_in else ""
    told = (
        f"{where}it is busy with one long unit of work, stopped (SIGSTOP) or hung; "
        f"`tuitrain stacks {snapshot.name} {process.name}` says at which line"
    )
    if process.deadline_s is None:
        return told
    return (
        f"{told}; after {process.deadline_s:g} s without progress it is ended and replaced "
        "(supervisor.progress_deadline_s)"
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
        _oldest(snapshot, lambda p: p.progress_age_s if _at_work(p) else None),
        limits.progress_s,
        "one unit of its work takes this long, or it is hung",
    )


@check(
    "standstill",
    "standstill",
    "X.4",
    why="Somebody does something: if each waits for another, all say that they are well, and "
    "nothing is ever done again.",
    explains=("policy_lag",),
)
def standstill(snapshot: Snapshot, limits: ChecksConfig) -> Row:
    """Not all wait, with nothing done by anybody.

    Evaluating and saving is work; who waits sends heartbeats, who does one long thing does not.
    """
    limit = f"{limits.standstill_s:g}s"
    views = [p for p in snapshot.processes if p.state != "finished"]
    ages = [p.progress_age_s for p in views if p.progress_age_s is not None]
    if snapshot.state != "running" or len(ages) < len(views) or not views:
        return not_measured(limit)
    newest = min(ages)
    waits = [f"{p.name} for {p.wait or 'something'}" for p in views if p.role != "evaluator"]
    all_wait = all(
        p.state == "waiting" and (p.beat_age_s or 0.0) <= limits.heartbeat_s for p in views
    )
    value = f"{newest:.1f}s"
    if newest > limits.standstill_s and not all_wait:  # it is not over its limit
        others = (f"{p.name} {_DOES.get(p.state, 'works')}" for p in views if p.state != "waiting")
        value = next(others, "not all wait")
    return judged(
        value,
        limit,
        "fail" if all_wait and newest > limits.standstill_s else None,
        f"nothing is done any more; {', '.join(waits)} wait{'s' * (len(waits) == 1)}",
    )


@check(
    "lock_wait",
    "lock wait",
    "X.5, X.6",
    why="Locks are held for moments: who waits for longer is starved by others, or they belong to "
    "one that hangs.",
    explains=("policy_lag",),
)
def lock_wait(snapshot: Snapshot, limits: ChecksConfig) -> Row:
    """No wait for the lock of a shard was long."""
    limit = f"{limits.lock_wait_s:g}s"
    worst = [
        (shard.lock_worst_s, policy.name, index)
        for policy in snapshot.policies
        for index, shard in enumerate(policy.shards)
        if shard.lock_worst_s is not None
    ]
    if not worst:
        return not_measured(limit)
    longest_s, policy, index = max(worst)
    return judged(
        f"max {longest_s * 1000:,.1f} ms",
        limit,
        "warn" if longest_s > limits.lock_wait_s else None,
        f"a wait for the lock of {policy}'s rows by a{index} took {longest_s:.1f} s: was a process "
        "stopped, or is the machine overloaded?",
    )


@check(
    "phase_time",
    "phase time",
    "8.2, X.4, X.10",
    why="A learner learns: if most of its time goes into copies, one process alone would be "
    "faster.",
)
def phase_time(snapshot: Snapshot, limits: ChecksConfig) -> Row:
    """No busy learner spends most of its time with copies to the device and to the actors.

    Of a GPU it is not known: there updates are only begun, and publishing, which reads the weights,
    waits until they are made.
    """
    most = limits.copy_share
    limit = f"≤ {percent(most, most)} copies"
    rows, on_gpu = [], False
    for process in snapshot.processes:
        share = process.phase_share
        busy = sum(s for phase, s in share.items() if phase not in _IDLE_PHASES)
        if (process.device or "").startswith("cuda"):
            on_gpu = True
        elif process.role == "learner" and busy > _BUSY and process.state in ("running", "waiting"):
            copies = sum(share.get(phase, 0.0) for phase in _COPY_PHASES)
            rows.append((copies / busy, process.name))
    if not rows or snapshot.state != "running":
        return not_measured(limit, "on a GPU" if on_gpu else "n/a")
    share_, name = max(rows)
    return judged(
        f"{percent(share_, most)} copies",
        limit,
        "warn" if share_ > most else None,
        f"{name} copies and publishes for {percent(share_, most)} of its work: raise "
        "learner.publish_every_updates or batch_size",
    )


@check(
    "provenance",
    "provenance",
    "X.12",
    why="The run's own files are as they were when it began: what a worker that is started again "
    "would import is not what the others run by.",
)
def provenance(snapshot: Snapshot, limits: ChecksConfig) -> Row:
    """No file of environment or network has been edited since the session began."""
    edited = snapshot.edited_sources
    if edited is None:
        return not_measured("0 edited")
    names = ", ".join(Path(file).name for file in edited)
    return judged(
        names or "0 edited",
        "0 edited",
        "warn" if edited else None,
        f"{', '.join(edited)} has been edited since the run began: a worker that dies now ends the "
        "run; undo the change, or launch another run",
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


def _at_work(process: ProcessView) -> bool:
    """Whether it says that it works; of who is silent, whether it stands where work is done."""
    if process.state == "silent":
        return process.stands_in not in _IDLE_PHASES
    return process.state == "running"


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
