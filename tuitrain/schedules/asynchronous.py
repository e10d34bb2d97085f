"""`async`: actors and learner run freely, held together by the rate limiter alone.

Actors reserve before they step, take the newest weights at each chunk, and sleep only when they are
too far ahead of the learner; the learner sleeps only when no update is due.
"""

from __future__ import annotations

from collections.abc import Callable
from contextlib import closing

from tuitrain.replay.limiter import InsertsEnded, Ticket
from tuitrain.schedules.acting import ActorDesk, build_actor
from tuitrain.schedules.learning import LearnerDesk
from tuitrain.workers.actor import Actor
from tuitrain.workers.blueprint import Blueprint
from tuitrain.workers.board import AWAKE, WAITS, WAITS_FOR_ROOM
from tuitrain.workers.child import ChildArgs
from tuitrain.workers.learner import Learner
from tuitrain.workers.link import Link
from tuitrain.workers.stores import Stores, attach


def run_learner(args: ChildArgs, link: Link) -> None:
    """The learner process."""
    blueprint = args.blueprint
    assert blueprint is not None
    stores = attach(blueprint)
    learn(blueprint, stores, Learner(blueprint, stores), link)


def learn(blueprint: Blueprint, stores: Stores, learner: Learner, link: Link) -> None:
    """Make every update that becomes due, publish every few, until inserts have ended."""
    board, limiter = stores.board, stores.limiter
    policies = list(learner.policies)
    every = blueprint.config.learner.publish_every_updates
    desk = LearnerDesk(blueprint, stores, learner, link, one_version=False)
    desk.start()
    desk.wake_actors()  # there are weights now
    unpublished = [0] * len(policies)

    def due() -> list[int]:
        return [limiter.updates_due(i) for i in range(len(policies))]

    while True:
        counts = due()
        if not any(counts):
            if limiter.ended() and not any(due()):  # the last rows may have come in between
                break
            board.learner_waits = 1
            link.wait(lambda: any(due()) or limiter.ended(), "data: no update is due")
            board.learner_waits = 0
            continue
        for index, name in enumerate(policies):
            # a burst: never more than is due, never longer than until the next publication
            burst = min(counts[index], every - unpublished[index])
            for made in range(burst):
                # all that is due will be made, in this burst or a later one
                learner.step(name, link.counters.phases, sure=counts[index] - made)
                link.advance()
            if burst:
                limiter.add_updates(index, burst)
                unpublished[index] += burst
        if max(unpublished) == every:
            desk.publish()
            unpublished = [0] * len(policies)
        desk.reporter.updates()
        # last, because all of the above may have let go of what an actor waits for
        desk.wake_actors()
    desk.wake_actors()  # that all steps are made or reserved ends their wait
    desk.publish(final=True)
    desk.finish()


def run_actor(args: ChildArgs, link: Link) -> None:
    """An actor process."""
    blueprint = args.blueprint
    assert blueprint is not None
    stores = attach(blueprint)
    with closing(build_actor(blueprint, stores, args.index)) as actor:
        act(blueprint, stores, actor, link)


def act(blueprint: Blueprint, stores: Stores, actor: Actor, link: Link) -> None:
    """Reserve, roll out, commit, until the steps asked for are done."""
    board, limiter = stores.board, stores.limiter
    rows = blueprint.config.actors.chunk_steps
    inserts = [blueprint.chunk_inserts(name) for name in blueprint.policies]
    steps = blueprint.config.actors.envs_per_actor * rows
    desk = ActorDesk(blueprint, actor, link)
    link.on("resync", lambda _: desk.pull_and_report())
    desk.start()
    ticket: Ticket | None = None

    def wait(ready: Callable[[], bool], reason: str, what: int = WAITS) -> None:
        # The flag is up before `ready` is looked at, so the learner either sees it or is seen.
        board.actor_waits[actor.index] = what
        link.wait(ready, reason)
        board.actor_waits[actor.index] = AWAKE

    def reserved() -> bool:
        nonlocal ticket
        ticket = limiter.reserve(actor.index, inserts, steps)
        return ticket is not None

    # Weights are published before the learner is ready, but the learner may start after us.
    wait(lambda: all(s.published() for s in stores.weights.values()), "the first weights")
    try:
        with actor.random:  # nobody else works here, and entering at every chunk would cost
            while True:
                if not reserved():
                    wait(reserved, "the learner: replay ratio reached", WAITS_FOR_ROOM)
                assert ticket is not None
                actor.pull()
                actor.begin(ticket, rows, wait)
                actor.rollout(rows, link.advance, link.counters.phases)
                committed = actor.commit()
                limiter.commit(actor.index, committed.inserts, committed.steps)
                # in warm-up, and at a small ratio, most chunks make nothing due
                if board.learner_waits and any(map(limiter.updates_due, range(len(inserts)))):
                    link.ring(["learner"])
                desk.reporter.episodes(ticket.step_base)
    except InsertsEnded:
        board.actor_waits[actor.index] = AWAKE
        limiter.retire(actor.index)
        link.ring(["learner"])
    desk.finish()
