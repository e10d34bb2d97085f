"""Actor steps per second with no learner to wait for, over environment and inference alone.

Inside real actor processes three arms take turns of a fraction of a second:

- `actor`: `async`'s own loop: reserve, stack frames out of the shard, act, step, write rows, keep
  episode statistics, heartbeat, commit. A published version is pulled once, at the start.
- `bare`: environments of its own stepped as a vector, with the same network on the same number of
  rows, the observation going straight from one to the other, nothing kept.
- `gymnasium`: the same work as a user would write it: `gymnasium.vector.SyncVectorEnv` (NEXT_STEP),
  the same network called by torch in inference mode, epsilon-greedy with numpy, nothing kept.

Updates are credited with the clock stopped, so nobody ever waits for a learner. Measured with one
actor alone, and with as many at once as the machine would be given.
"""

from __future__ import annotations

import os
from statistics import median
from typing import Any

import numpy as np

from benchmarks import supervised
from benchmarks.pairs import PAIRS, Clock, Turns, ratio
from tuitrain.workers.child import ChildArgs
from tuitrain.workers.link import Link

CHUNKS = 60
"""Of a timed stretch."""
WARM = 10
EPSILON = 0.04
"""At 1 an actor would not ask the network."""


def measure(pairs: int = PAIRS) -> dict[str, Any]:
    """Figures by name."""
    figures: dict[str, Any] = {}
    for count in sorted({1, max(1, len(os.sched_getaffinity(0)) - 1)}):
        names = [f"a{i}" for i in range(count)]
        with supervised.run(
            [
                f"actors.count={count}",
                f"exploration.epsilon_start={EPSILON}",
                f"exploration.epsilon_end={EPSILON}",
                "run.total_steps=1_000_000_000",
                "learner.replay_ratio=0.001",
                f"replay.max_lead={3 * (CHUNKS + WARM)}",
            ],
            {"actor": "benchmarks.actor:run_actor"},
            only=names,
            options={"pairs": pairs},
        ) as folder:
            got = [supervised.kept(folder, name) for name in names]
            actors = folder.load_config().actors
            scale = actors.chunk_steps * actors.envs_per_actor
        label = f"{count} actor{'s at once' if count > 1 else ' alone'}"
        for clock, second in enumerate(("s", "cpu s")):
            found = {
                arm: [rates[clock] for one in got for rates in one["found"][arm]]
                for arm in ("actor", "bare", "gymnasium")
            }
            for other in ("bare", "gymnasium"):
                figures[f"steps/{second}, actor / {other}, {label}"] = ratio(
                    found["actor"], found[other]
                )
            figures[f"steps/{second} per actor, medians, {label}"] = {
                arm: round(scale * median(rates)) for arm, rates in found.items()
            }
        figures[f"time of the actor stretches, {label}"] = supervised.shares(got[0]["phases"])
    return figures


def run_actor(args: ChildArgs, link: Link) -> None:
    """An actor process: `async`'s own loop, which now and then runs bare."""
    import gymnasium
    import torch

    from tuitrain.learning.flatten import FlatModule
    from tuitrain.schedules import asynchronous
    from tuitrain.schedules.acting import build_actor
    from tuitrain.workers.build import checked_lanes, network_for, policies_for
    from tuitrain.workers.stores import attach

    blueprint = args.blueprint
    assert blueprint is not None
    stores = attach(blueprint)
    actor = build_actor(blueprint, stores, args.index)
    config = blueprint.config
    (name,) = blueprint.policies
    if args.index == 0:
        module = FlatModule(network_for(config, blueprint.spec, name))
        module.to_bytes(module.buffer)
        stores.weights[name].publish(module.buffer, updates=0)
        link.ring(n for n in args.peers if n.startswith("a"))
    rows, envs = config.actors.chunk_steps, config.actors.envs_per_actor
    lanes = checked_lanes(blueprint.config, blueprint.spec, envs)
    policy = policies_for(config, blueprint.spec, "cpu")[name]
    rng = np.random.default_rng(args.index)
    observation = lanes.reset(range(envs))[name].observation

    def bare() -> Clock:
        nonlocal observation
        start = Clock.now()
        for row in range((WARM + CHUNKS) * rows):
            if row == WARM * rows:
                start = Clock.now()
            actions = policy.act(observation[:, None], EPSILON, rng)
            observation = lanes.step({name: actions})[name].observation
        rate = Clock.now().since(start).rate(CHUNKS)
        link.tick()
        return rate

    vector = gymnasium.vector.SyncVectorEnv(
        [lambda: gymnasium.make(config.env.id, **config.env.kwargs) for _ in range(envs)],
        autoreset_mode=gymnasium.vector.AutoresetMode.NEXT_STEP,
    )
    network = network_for(config, blueprint.spec, name)
    seen, _ = vector.reset(seed=args.index)

    def plain() -> Clock:
        nonlocal seen
        start = Clock.now()
        for row in range((WARM + CHUNKS) * rows):
            if row == WARM * rows:
                start = Clock.now()
            with torch.inference_mode():
                actions = network(torch.from_numpy(seen[:, None])).argmax(1).numpy()
            explore = rng.random(envs) < EPSILON
            actions = np.where(explore, rng.integers(2, size=envs), actions)
            seen, *_ = vector.step(actions)
        rate = Clock.now().since(start).rate(CHUNKS)
        link.tick()
        return rate

    phases: dict[str, float] = {}

    def on_stretch(begins: bool) -> None:
        sign = -1 if begins else 1
        for phase, seconds in link.counters.phases.read().items():
            phases[phase] = phases.get(phase, 0.0) + sign * seconds
        if not begins:
            stores.limiter.add_updates(0, stores.limiter.updates_due(0))

    turns = Turns(
        "actor",
        CHUNKS,
        WARM,
        {"bare": bare, "gymnasium": plain},
        supervised.options(args)["pairs"],
        on_stretch,
    )
    begin = actor.begin

    def begin_in_turn(*given: Any) -> None:
        if turns.unit():
            supervised.keep(args, {"found": turns.found, "phases": phases})
            stores.limiter.retire(actor.index)
            link.finish()
        begin(*given)

    actor.begin = begin_in_turn
    asynchronous.act(blueprint, stores, actor, link)
