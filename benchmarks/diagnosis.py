"""What all diagnosis costs: an actor and a learner with everything that is measured, and without.

Everything is the live audit, what is noted and measured of rows, draws and gradients, and a record
a second of it. Both arms are the same objects in one process; stretches come in turn, in random
order, each as long as it is from one record to the next. The quotient is of processor time, so
neighbours do not count. What only passes within stretches with everything is all the time that its
clocks know of.

Such a quotient is within a few per cent of the next one, which is more than what is asked for. So
a third arm has everything and a clock around the functions that measure: what they take of the
stretch, which is known to a tenth of a per cent. Its own calls are in it; what an `if` in a loop
costs, or a cache that has been used for something else, is in the quotient alone.

What the supervisor spends on checks is measured by `diagnosis_supervisor.py`, and whole runs with
everything and without by `diagnosis_runs.py`.
"""

from __future__ import annotations

import time
from collections.abc import Callable
from contextlib import nullcontext
from dataclasses import dataclass, field
from typing import Any

from benchmarks.inside import (
    EXPLORED,
    EXPLORING,
    PICTURES,
    Account,
    Stopwatch,
    chunk,
    fill,
    world,
)
from benchmarks.pairs import PAIRS, interleave, ratio
from tuitrain.replay.auditor import Auditor
from tuitrain.schedules.acting import build_actor
from tuitrain.workers.acting.actor import Actor
from tuitrain.workers.acting.row_audit import RowAudit
from tuitrain.workers.acting.row_figures import RowFigures
from tuitrain.workers.blueprint import Blueprint
from tuitrain.workers.learners.learner import Learner

STRETCH_S = 1.0
"""As records are made."""
ARMS = "measured", "plain", "accounted"
USED_UP_S = 8.0
"""With a look every few chunks, after which nothing is left of the time that is given once."""
CHUNKS_A_DRAW = 3
"""Written before every draw, untimed, as by three actors."""


@dataclass(frozen=True)
class Case:
    """What is measured, and where.

    Attributes:
        overrides: of `configs/cartpole.toml`.
        steps: that the run has made: whether actions are drawn at random.
        learns: whether its learner is measured too.
    """

    overrides: list[str] = field(default_factory=list)
    steps: int = EXPLORED
    learns: bool = False


UNSURE = "env.kwargs={ shape = %s, pays = false }"
CASES = {
    "CartPole": Case(learns=True),
    "84×84, 4 frames": Case(PICTURES, learns=True),
    "84×84, random actions without effect": Case([*PICTURES, UNSURE % "[84, 84]"], EXPLORING),
    "10×10×4, random actions without effect": Case(
        [
            "env.id=benchmarks.pictures:Noise",
            UNSURE % "[10, 10, 4]",
            "learner.network=mlp",
            "replay.capacity=20000",
        ],
        EXPLORING,
    ),
    "4 numbers, random actions without effect": Case(
        ["env.id=benchmarks.pictures:Noise", UNSURE % "[4]"], EXPLORING
    ),
}


def measure(pairs: int = PAIRS) -> dict[str, Any]:
    """Figures by name."""
    figures: dict[str, Any] = {}
    for name, case in CASES.items():
        with world(case.overrides) as (blueprint, shared):
            learner = Learner(blueprint, shared)
            learner.publish(0)
            actor = build_actor(blueprint, shared, 0)
            try:
                figures |= _actor(name, blueprint, actor, case.steps, pairs)
                if case.learns:
                    figures |= _learner(name, blueprint, actor, learner, pairs)
            finally:
                actor.close()
    return figures


def _actor(
    name: str, blueprint: Blueprint, actor: Actor, steps: int, rounds: int
) -> dict[str, Any]:
    rows, frames = blueprint.config.actors.chunk_steps, blueprint.spec.n_frames
    ((policy, part),) = actor.parts.items()
    watches = _watches()
    now = watches["measured"].now
    spec = blueprint.spec.policies[policy]
    figures = RowFigures(part.writer, spec, True, clock=now, n_frames=frames)
    audit = RowAudit(actor.parts, frames, False, blueprint.audit_share(1), now)
    none = RowAudit(actor.parts, frames, False, 0.0)
    account = Account((figures, ["begin", "take"]), (audit, ["begin", "watch", "note"]))
    actor.pull()

    def act(chunks: int) -> None:
        for _ in range(chunks):
            chunk(actor, rows, steps)
        _ = part.take_figures() if part.stats.episodes else part.take_row_figures()

    part.figures = None
    act(2)
    start = time.perf_counter()
    act(10)
    chunks = max(1, round(10 * STRETCH_S / (time.perf_counter() - start)))

    def stretch(arm: str) -> Callable[[], float]:
        def run() -> float:
            actor.audit = none if arm == "plain" else audit
            part.figures = None if arm == "plain" else figures
            figures.restore(figures.state() | {"behind": 0})  # what came between is of the others
            watch, spent = watches[arm], account.s
            before, began = watch.cpu_s, watch.now()
            with account.kept() if arm == "accounted" else nullcontext(), watch.running():
                act(chunks)
            if arm == "accounted":
                return (account.s - spent) / (watch.now() - began)
            return watch.cpu_s - before

        return run

    part.figures = figures
    with watches["measured"].running():
        while now() < USED_UP_S:
            act(5)
    before, began = figures.take().get("action_effect_rows", 0), now()
    found = interleave({arm: stretch(arm) for arm in ARMS}, rounds)
    told = figures.take()
    lanes = blueprint.config.actors.envs_per_actor
    followed = (told["action_effect_rows"] - before) / (now() - began)
    actor.audit = RowAudit(actor.parts, frames, False, 1.0)  # from now on, of every chunk
    part.figures = None
    return {
        f"actor, {name}: measured / plain": ratio(found["measured"], found["plain"]),
        f"actor, {name}": {
            "share by the clock": _share(found),
            "audit's share of time": audit.share(),
            "random actions followed per s": f"{followed:.0f}",
            "p": f"{told.get('action_effect_p', float('nan')):.2g}",
            "steps/s": f"{chunks * rows * lanes / min(found['plain']):,.0f}",
        },
    }


def _learner(
    name: str, blueprint: Blueprint, actor: Actor, learner: Learner, rounds: int
) -> dict[str, Any]:
    rows = blueprint.config.actors.chunk_steps
    (policy,) = learner.policies.values()
    watches = _watches()
    auditor = Auditor(
        policy.reader._layout, policy.reader._columns, policy.reader._index,
        blueprint.audit_share(1), watches["measured"].now,
    )  # fmt: skip
    figures, flow = policy.figures, policy.dqn.flow
    account = Account(
        (auditor, ["take_in", "due", "look", "record"]),
        (figures, ["look", "take"]),
        (flow, ["look", "take"]),
    )
    fill(actor, learner, rows)

    def stretch(arm: str) -> Callable[[], float]:
        def run() -> float:
            looks = (None, None, None) if arm == "plain" else (auditor, figures, flow)
            policy.auditor, policy.figures, policy.dqn.flow = looks
            policy.reader.auditor = policy.auditor
            watch, spent = watches[arm], account.s
            before, began, made = watch.cpu_s, watch.now(), 0
            with account.kept() if arm == "accounted" else nullcontext():
                while watch.now() - began < STRETCH_S:
                    for _ in range(CHUNKS_A_DRAW):
                        chunk(actor, rows, EXPLORING)
                    with watch.running():
                        learner.step(policy.name, sure=32)
                        made += 1
                        while not policy.must_draw:
                            learner.step(policy.name, sure=32)
                            made += 1
                with watch.running():
                    learner.records(0.0)
            if arm == "accounted":
                return (account.s - spent) / (watch.now() - began)
            return (watch.cpu_s - before) / made

        return run

    found = interleave({arm: stretch(arm) for arm in ARMS}, rounds)
    counts = auditor.counts
    return {
        f"learner, {name}: measured / plain": ratio(found["measured"], found["plain"]),
        f"learner, {name}": {
            "share by the clock": _share(found),
            "audit's share of time": auditor.record()["audit_share"],
            "draws looked at per s": f"{counts.audited / watches['measured'].now():.0f}",
            "wrong": str(sum(vars(counts).values()) - counts.audited),
            "updates/s": f"{1 / min(found['plain']):,.0f}",
        },
    }


def _watches() -> dict[str, Stopwatch]:
    """By arm; those with everything have one."""
    everything = Stopwatch()
    return {arm: Stopwatch() if arm == "plain" else everything for arm in ARMS}


def _share(found: dict[str, list[float]]) -> str:
    """Of the stretches with a clock: their mean, and the largest."""
    shares = found["accounted"]
    return f"{sum(shares) / len(shares):.2%}, at most {max(shares):.2%}"
