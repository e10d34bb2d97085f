"""Ending the workers of a run: ask, wait, insist; and judge whether that went well."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable
from dataclasses import replace
from pathlib import Path
from typing import Any

from tuitrain.config.runs import RunFolder
from tuitrain.supervisor.clients.commands import Outcome
from tuitrain.supervisor.clients.requests import Requests
from tuitrain.supervisor.crew.hang import Hang
from tuitrain.supervisor.crew.worker import SAVERS, Worker
from tuitrain.supervisor.ending import End
from tuitrain.supervisor.run import Run
from tuitrain.supervisor.watch import Watch

SAVING_SHARE = 0.6
"""Of `supervisor.stop_deadline_s`, for a checkpoint with state; the rest is for stopping."""

TERMINATE_S = 2.0
"""Between SIGTERM and SIGKILL."""

LOOK_S = 0.05
"""Between two looks whether somebody's stacks have come."""


async def stop_crew(run: Run, requests: Requests, watch: Watch, end: End) -> End:
    """End every worker. Returns the end, made worse if a worker failed or could not save."""
    if run.crew.alive():
        run.tell(f"stopping: {end.brief or end.reason}")
    was_up = run.view.state in ("running", "paused")
    save = end.checkpoint and was_up
    length_s = given_s = run.config.supervisor.stop_deadline_s
    if save and run.state_of and not run.hard.is_set() and _can_save_all(run, end):
        began_s = run.clock()
        save = not await _save_all(run, requests, length_s * SAVING_SHARE)
        length_s = max(length_s - (run.clock() - began_s), length_s * (1 - SAVING_SHARE))
    run.view.state = "stopping"
    run.crew.stopping = True
    run.publish_snapshot()
    if end.hard:
        run.hard.set()
    outcome = None
    if not run.hard.is_set():
        outcome = await _ask(run, requests, watch, length_s, checkpoint=save)
    late = run.crew.alive()
    if late and not run.hard.is_set():
        await _tell_of(run, late, f"did not stop within {given_s:g} s (supervisor.stop_deadline_s)")
        for worker in late:
            worker.killed = True
            worker.process.terminate()
        await _first_of(run.crew.gone(TERMINATE_S), run.hard.wait())
    run.crew.kill_all()
    if run.hard.is_set() or (end.state == "failed" and not end.check):
        return end
    if run.failure is not None:
        return run.failure.end()
    unsaved = ""
    late_savers = [w.name for w in late if w.spec.role in SAVERS]
    if outcome is not None and outcome.refused:
        name, why = next(iter(outcome.refused.items()))
        unsaved = f"{name} could not save: {why}"
    elif outcome is not None and outcome.unsaved:
        unsaved = f"the run could not be saved: {outcome.unsaved}"
    elif late_savers and was_up:  # before that it had nothing to save
        unsaved = f"{late_savers[0]} was killed before it had saved"
    if not unsaved:
        return end
    if end.check:
        return replace(end, reason=f"{end.reason}; and {unsaved}")
    return End("failed", unsaved)


def judge_folder(run: Run, end: End) -> End:
    """The end of a run whose folder was moved or removed: it has not been saved since.

    From here on `run.folder` is where it is now.
    """
    if not (lost := run.place.lost()):
        return end
    now, saved, best = run.place.now(), run.view.last_checkpoint, run.view.best
    run.view.last_checkpoint = run.view.best = None
    if now is not None:
        run.folder = RunFolder(now)
        run.view.run_dir = str(now)
        there = run.folder.checkpoints
        if saved is not None:
            run.view.last_checkpoint = str(there / Path(saved).name)
        if best is not None:
            run.view.best = best.model_copy(update={"path": str(there / Path(best.path).name)})
    why = f" ({end.reason})" if end.state == "failed" else ""
    return End("failed", f"{lost} while the run went on, which has not been saved since{why}")


def _can_save_all(run: Run, end: End) -> bool:
    """Whether replay and state can be saved; of a run that has failed it is told if they cannot."""
    if run.failure is None and (end.check or end.state != "failed"):
        return bool(end.check) or end.state in ("stopped", "interrupted")
    failed = run.failure.worker if run.failure is not None else ""
    sound = {w.name for w in run.crew.alive() if not w.reported}
    savers = {w.name for w in run.crew.workers.values() if w.spec.role in SAVERS}
    if not savers <= sound:
        return False  # nor can the networks: which checkpoint is the last one is said at the end
    needed = set(run.state_of)
    if failed and run.config.run.schedule == "async" and needed <= sound:
        return True
    why = f"that of {failed} died with it" if failed in needed else "the round cannot be ended"
    if not failed:  # a standstill, or the supervisor's own error
        why = "nobody may come to a place where it is whole"
    run.journal.event(
        f"{failed or 'the run'} has failed, so the replay cannot be saved, {why}: networks and "
        "counters are saved without it, and a resumed run fills its replay anew",
        level="warning",
    )
    return False


async def _save_all(run: Run, requests: Requests, within_s: float) -> bool:
    """Save with replay and state before anybody is told to stop; whether that went well.

    Whoever has saved holds, so that what is saved is where training ends. It takes the end of a
    chunk or a round. Where that does not come, learners save as they stop,
    without state, as they do where none is saved.
    """
    run.view.state = "stopping"
    run.publish_snapshot()
    if any(w.view.state == "paused" for w in run.crew.alive()):
        run.crew.command("unpause", run.crew.alive(), deadline_s=within_s)
    answers = asyncio.ensure_future(requests.save_and_hold(within_s))
    await _first_of(asyncio.shield(answers), run.crew.gone(), run.hard.wait())
    if not answers.done():
        answers.cancel()
        return False
    outcome = answers.result()
    if requests.note_checkpoint(outcome) is not None:
        return True
    run.journal.event(
        f"the replay could not be saved: {outcome.trouble() or 'nobody to save it'}; networks and "
        "counters are saved without it",
        level="warning",
    )
    return False


async def _ask(
    run: Run, requests: Requests, watch: Watch, length_s: float, *, checkpoint: bool
) -> Outcome | None:
    watch.stop_within(length_s)
    answers = run.crew.command("stop", run.crew.alive(), deadline_s=length_s, checkpoint=checkpoint)
    await _first_of(run.crew.gone(), run.hard.wait(), watch.stop_late.wait())
    if not answers.done():
        return None
    outcome = answers.result()
    requests.note_checkpoint(outcome)
    for name, why in outcome.refused.items():
        run.journal.event(f"on stopping: {why}", level="error", source=name)
    if outcome.unsaved:
        run.journal.event(f"on stopping: no checkpoint: {outcome.unsaved}", level="error")
    return outcome


async def _tell_of(run: Run, late: list[Worker], how: str) -> None:
    """Say where those stand that have not stopped. Who asks a second time does not wait for it."""
    now = run.clock()
    looks = [
        (worker, Hang(worker.process.pid, worker.process.log_path, how, now))
        for worker in late
        if worker.process.pid is not None
    ]
    for worker, look in looks:
        while not (look.over(run.clock()) or run.hard.is_set() or not worker.process.alive):
            await asyncio.sleep(LOOK_S)
        text = f"{worker.name} {look.how()}: killed"
        run.journal.event(text, level="warning", data={"log": look.stack_lines()})


async def _first_of(*waits: Awaitable[Any]) -> None:
    tasks = [asyncio.ensure_future(wait) for wait in waits]
    await asyncio.wait(tasks, return_when=asyncio.FIRST_COMPLETED)
    for task in tasks:
        task.cancel()
