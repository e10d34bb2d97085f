"""Updates per second of the learner in `async`, over a bare loop of the same update.

One real run. Inside its learner process three arms take turns of a quarter of a second:

- `async`: the schedule's own loop: limiter, pin, sample, update, heartbeat, publish, wake actors.
- `bare`: `DQN.update` on one fixed batch and nothing else, on networks of its own, while actors
  work as they do for `async`: every `publish_every_updates` updates, with the clock stopped, its
  updates are credited to the limiter and weights are published.
- `bare, idle`: the same without credit, so that after an instant every actor sleeps.

So the three have the process, its memory, its heat and the machine's other load in common. One
thing differs where cores are short: actors woken by a credit take the core while the clock stands,
which is why every figure is also given per second of the learner's own processor time.
"""

from __future__ import annotations

from dataclasses import fields, replace
from statistics import median
from typing import Any

from benchmarks import supervised
from benchmarks.pairs import PAIRS, Clock, Turns, ratio
from tuitrain.workers.child import ChildArgs
from tuitrain.workers.link import Link

UPDATES = 300
"""Of a timed stretch."""
WARM = 100
"""Untimed before it: what the other arm left in caches, limiter and sleeping actors."""


def measure(pairs: int = PAIRS) -> dict[str, Any]:
    """Figures by name."""
    # the measuring learner ends the run itself, so there need only be steps enough
    steps = 10 * 3 * (UPDATES + WARM) * (pairs + 2)
    with supervised.run(
        [f"run.total_steps={steps}"],
        {"learner": "benchmarks.learner:run_learner"},
        options={"pairs": pairs},
    ) as folder:
        got = supervised.kept(folder, "learner")
    figures: dict[str, Any] = {}
    for clock, second in enumerate(("s", "cpu s")):
        found = {arm: [rates[clock] for rates in all_] for arm, all_ in got["found"].items()}
        for over, under in (("async", "bare"), ("async", "bare, idle"), ("bare", "bare, idle")):
            figures[f"updates/{second}, {over} / {under}"] = ratio(found[over], found[under])
        figures[f"updates/{second}, medians"] = {
            arm: round(median(rates)) for arm, rates in found.items()
        }
    figures["time of the async stretches"] = supervised.shares(got["phases"])
    return figures


def run_learner(args: ChildArgs, link: Link) -> None:
    """The learner process: `async`'s own loop over a learner that now and then runs bare."""
    from tuitrain.learning.dqn import DQN, to_device
    from tuitrain.schedules import asynchronous, evaluation
    from tuitrain.workers.build import network_for
    from tuitrain.workers.learners.learner import Learner
    from tuitrain.workers.stores import attach

    blueprint = args.blueprint
    assert blueprint is not None
    stores = attach(blueprint)
    learner = Learner(blueprint, stores)
    (name, part), *_ = learner.policies.items()
    config = blueprint.config
    every = config.learner.publish_every_updates
    dqn = DQN(
        network_for(config, blueprint.spec, name),
        network_for(config, blueprint.spec, name),
        config.learner,
        blueprint.spec.policies[name].n_actions,
        config.learner.device,
        total_updates=10_000,
    )

    def fixed_batch() -> Any:
        window = part.pin(stores.limiter.totals().inserts[0])
        batch = part.reader.sample(window, config.learner.batch_size, part.rng)
        part.reader.unpin()
        own = {field.name: getattr(batch, field.name) for field in fields(batch)}
        own = {name: array.copy() for name, array in own.items() if array is not None}
        return to_device(replace(batch, **own), config.learner.device)

    def credit() -> None:
        """What `every` updates mean to the others."""
        if stores.limiter.updates_due(0) >= every:
            stores.limiter.add_updates(0, every)
        waiting = stores.board.actor_waits
        link.ring(f"a{i}" for i, waits in enumerate(waiting) if waits)
        learner.publish(stores.limiter.totals().steps)

    def bare(credited: bool) -> Clock:
        batch = [fixed_batch()]
        wall = cpu = 0.0
        for start in range(-WARM, UPDATES, every):
            before = Clock.now()
            for _ in range(every):
                dqn.update(batch)
            if start >= 0:
                took = Clock.now().since(before)
                wall, cpu = wall + took.wall, cpu + took.cpu
            if credited:
                credit()
            link.tick()
        return Clock(wall, cpu).rate(UPDATES)

    phases: dict[str, float] = {}

    def note_phases(begins: bool) -> None:
        sign = -1 if begins else 1
        for phase, seconds in link.counters.phases.read().items():
            phases[phase] = phases.get(phase, 0.0) + sign * seconds

    turns = Turns(
        "async",
        UPDATES,
        WARM,
        {"bare": lambda: bare(True), "bare, idle": lambda: bare(False)},
        supervised.options(args)["pairs"],
        note_phases,
    )
    step = learner.step

    def step_in_turn(*given: Any, **more: Any) -> None:
        if turns.unit():
            supervised.keep(args, {"found": turns.found, "phases": phases})
            evaluation.request(stores.board, stores.limiter.totals().steps, final=True)
            link.ring([evaluation.EVALUATOR])
            link.finish()
        step(*given, **more)

    learner.step = step_in_turn
    asynchronous.learn(blueprint, stores, learner, link)
