"""What the live audit costs: the same actor and learner with it and without, in one process.

Stretches with and without an audit come in turn, in random order, on the same objects; the quotient
is of processor time, so neighbours do not count. The audit's own clock runs only in its stretches:
else it would spend in them what it has saved in the others. Rows that the learner takes up are
written with the clock stopped.
"""

from __future__ import annotations

import time
from collections.abc import Callable
from typing import Any

from benchmarks.inside import PICTURES, Stopwatch, chunk, fill, world
from benchmarks.pairs import PAIRS, interleave, ratio
from tuitrain.replay.auditor import Auditor
from tuitrain.schedules.acting import build_actor
from tuitrain.workers.acting.actor import Actor
from tuitrain.workers.acting.row_audit import RowAudit
from tuitrain.workers.blueprint import Blueprint
from tuitrain.workers.learners.learner import Learner

FINER = 20
"""So many times the rounds of other subjects: the quotients are almost 1."""
STRETCH_S = 0.05
CHUNKS_A_DRAW = 3
"""Written before every draw, untimed, as by three actors."""

CASES: dict[str, list[str]] = {"CartPole": [], "84×84, 4 frames": PICTURES}


def measure(pairs: int = PAIRS) -> dict[str, Any]:
    """Figures by name."""
    figures: dict[str, Any] = {}
    for name, overrides in CASES.items():
        with world(overrides) as (blueprint, shared):
            learner = Learner(blueprint, shared)
            learner.publish(0)
            actor = build_actor(blueprint, shared, 0)
            try:
                figures |= _actor(name, blueprint, actor, pairs * FINER)
                figures |= _learner(name, blueprint, actor, learner, pairs * FINER)
            finally:
                actor.close()
    return figures


def _actor(name: str, blueprint: Blueprint, actor: Actor, rounds: int) -> dict[str, Any]:
    rows, frames = blueprint.config.actors.chunk_steps, blueprint.spec.n_frames
    actor.pull()
    watches = {"audited": Stopwatch(), "plain": Stopwatch()}
    shares = {"audited": blueprint.audit_share(1), "plain": 0.0}
    audits = {
        arm: RowAudit(actor.parts, frames, False, shares[arm], watches[arm].now) for arm in watches
    }
    chunk(actor, rows)
    start = time.perf_counter()
    chunk(actor, rows)
    chunks = max(1, round(STRETCH_S / (time.perf_counter() - start)))

    def stretch(arm: str) -> Callable[[], float]:
        def run() -> float:
            actor.audit = audits[arm]
            before = watches[arm].cpu_s
            with watches[arm].running():
                for _ in range(chunks):
                    chunk(actor, rows)
            return watches[arm].cpu_s - before

        return run

    found = interleave({arm: stretch(arm) for arm in watches}, rounds)
    actor.audit = RowAudit(actor.parts, frames, False, 1.0)  # from now on, of every chunk
    budget = audits["audited"]
    return {
        f"actor, {name}: audited / plain": ratio(found["audited"], found["plain"]),
        f"actor, {name}": {
            "share of time": budget.share(),
            "chunks with an audited row": budget.count / (chunks * rounds),
        },
    }


def _learner(
    name: str, blueprint: Blueprint, actor: Actor, learner: Learner, rounds: int
) -> dict[str, Any]:
    rows = blueprint.config.actors.chunk_steps
    (policy,) = learner.policies.values()
    watches = {"audited": Stopwatch(), "plain": Stopwatch()}
    auditor = Auditor(
        policy.reader._layout, policy.reader._columns, policy.reader._index,
        blueprint.audit_share(1), watches["audited"].now,
    )  # fmt: skip
    arms: dict[str, Auditor | None] = {"audited": auditor, "plain": None}
    fill(actor, learner, rows)

    def draw_and_update(watch: Stopwatch) -> int:
        """All updates whose batches are drawn together."""
        for _ in range(CHUNKS_A_DRAW):
            chunk(actor, rows)
        made = 0
        with watch.running():
            while not made or not policy.must_draw:
                learner.step(policy.name, sure=32)
                made += 1
        return made

    def stretch(arm: str) -> Callable[[], float]:
        def run() -> float:
            policy.auditor = policy.reader.auditor = arms[arm]
            watch = watches[arm]
            before, began, made = watch.cpu_s, watch.now(), 0
            while watch.now() - began < STRETCH_S:
                made += draw_and_update(watch)
            return (watch.cpu_s - before) / made

        return run

    found = interleave({arm: stretch(arm) for arm in arms}, rounds)
    counts = auditor.counts
    return {
        f"learner, {name}: audited / plain": ratio(found["audited"], found["plain"]),
        f"learner, {name}": {
            "share of time": auditor.record()["audit_share"],
            "draws looked at per s": f"{counts.audited / watches['audited'].now():.0f}",
            "wrong": str(sum(vars(counts).values()) - counts.audited),
        },
    }
