"""`async`: actors and learners run freely, held together by the rate limiter alone.

Actors reserve before they step, take the newest weights at each chunk, and sleep only when they are
too far ahead of a learner; a learner sleeps only when no update of its policies is due.
"""

from __future__ import annotations

from collections.abc import Callable
from contextlib import closing

from tuitrain.parts import the
from tuitrain.replay.limiter import InsertsEnded, Ticket
from tuitrain.schedules import learner_names
from tuitrain.schedules.acting import ActorDesk, build_actor
from tuitrain.schedules.attaching import attached
from tuitrain.schedules.learning import LearnerDesk
from tuitrain.workers.acting.actor import Actor
from tuitrain.workers.blueprint import Blueprint
from tuitrain.workers.board import AWAKE, WAITS, WAITS_FOR_ROOM
from tuitrain.workers.child import ChildArgs
from tuitrain.workers.learners.learner import Learner
from tuitrain.workers.link import Link
from tuitrain.workers.stores import Stores


def run_learner(args: ChildArgs, link: Link) -> None:
    """A learner process."""
    blueprint, stores = attached(args, link)
    # A predecessor may have died in its sleep, or while others were waiting for its end.
    stores.board.learner_waits[args.index] = 0
    stores.board.learner_ended[args.index] = 0
    learner = the(Learner)(blueprint, stores, args.index, args.incarnation)
    learn(blueprint, stores, learner, link)


def learn(blueprint: Blueprint, stores: Stores, learner: Learner, link: Link) -> None:
    """Make every update that becomes due, publish every few, until inserts have ended."""
    board, limiter = stores.board, stores.limiter
    policies = {name: part.place for name, part in learner.policies.items()}
    every = blueprint.config.learner.publish_every_updates
    desk = LearnerDesk(blueprint, stores, learner, link, one_version=False)
    desk.start()
    desk.wake_actors()  # there are weights now
    unpublished = dict.fromkeys(policies, 0)

    def due() -> dict[str, int]:
        return {name: limiter.updates_due(place) for name, place in policies.items()}

    while True:
        counts = due()
        if not any(counts.values()):
            if limiter.ended() and not any(due().values()):  # the last rows came in between
                break
            # Who asks for evaluations asks in time, though others learn what is evaluated.
            desk.evaluate()
            board.learner_waits[learner.index] = 1
            link.wait(
                lambda: any(due().values()) or limiter.ended() or desk.evaluation_due(),
                "data: no update is due",
            )
            board.learner_waits[learner.index] = 0
            continue
        for bundle in learner.bundles:
            common = min(counts[name] for name in bundle)
            # together while all are due; if somebody is not, the others go on alone
            for some in [bundle] if common else [(name,) for name in bundle]:
                sure = common or counts[some[0]]
                # a burst: never more than is due, never longer than until the next publication
                burst = min(sure, every - max(unpublished[name] for name in some))
                for made in range(burst):
                    # all that is due will be made, in this burst or a later one
                    learner.step_together(some, link.counters.phases, sure=sure - made)
                    for name in some:
                        learner.uncounted[name] += 1
                        unpublished[name] += 1
                    link.advance()  # it may save
                learner.count_updates()  # at once: each time takes a lock
        if max(unpublished.values()) == every:
            desk.publish()
            desk.evaluate()
            unpublished = dict.fromkeys(policies, 0)
        desk.reporter.updates()
        # last, because all of the above may have let go of what an actor waits for
        desk.wake_actors()
    desk.wake_actors()  # that all steps are made or reserved ends their wait
    desk.publish_last()
    desk.finish()


def run_actor(args: ChildArgs, link: Link) -> None:
    """An actor process."""
    blueprint, stores = attached(args, link)
    # A predecessor may have died with a reservation, or in its sleep.
    stores.limiter.cancel(args.index)
    stores.board.actor_waits[args.index] = AWAKE
    with closing(build_actor(blueprint, stores, args.index, args.incarnation)) as actor:
        act(blueprint, stores, actor, link)


def act(blueprint: Blueprint, stores: Stores, actor: Actor, link: Link) -> None:
    """Reserve, roll out, commit, until the steps asked for are done."""
    board, limiter = stores.board, stores.limiter
    rows = blueprint.config.actors.chunk_steps
    inserts = [blueprint.chunk_inserts(name) for name in blueprint.policies]
    steps = blueprint.config.actors.envs_per_actor * rows
    learners = learner_names(blueprint.n_learners)
    learned = [  # per learner, places of its policies
        [blueprint.policies.index(name) for name in blueprint.learned_by(i)]
        for i in range(len(learners))
    ]
    desk = ActorDesk(blueprint, actor, link, at_once=True)
    link.on("resync", lambda _: desk.pull_and_report())
    saves = desk.saves
    desk.start()
    ticket: Ticket | None = None

    def wait(ready: Callable[[], bool], reason: str, what: int = WAITS) -> None:
        # The flag is up before `ready` is looked at, so the learner either sees it or is seen.
        board.actor_waits[actor.index] = what
        link.wait(ready, reason)
        board.actor_waits[actor.index] = AWAKE

    def reserved() -> bool:
        nonlocal ticket
        if board.ended:
            raise InsertsEnded("training has been concluded")
        ticket = limiter.reserve(actor.index, inserts, steps)
        return ticket is not None

    def room_or_asked() -> bool:
        return saves.asked is not None or reserved()

    # Weights are published before the learner is ready, but the learner may start after us.
    wait(lambda: all(s.published() for s in stores.weights.values()), "the first weights")
    try:
        with actor.random:  # nobody else works here, and entering at every chunk would cost
            while True:
                if saves.asked is not None:
                    saves.make(saves.asked, moment=False)
                    link.tick()  # it may be all that is wanted any more
                if not reserved():
                    wait(room_or_asked, "the learner: replay ratio reached", WAITS_FOR_ROOM)
                if ticket is None:
                    continue
                actor.pull()
                actor.begin(ticket, rows, wait)
                actor.rollout(rows, link.advance, link.counters.phases)
                committed = actor.commit(link.counters.phases)
                limiter.commit(actor.index, committed.inserts, committed.steps)
                # in warm-up, and at a small ratio, most chunks make nothing due
                link.ring(
                    learners[i]
                    for i, waits in enumerate(board.learner_waits.tolist())
                    if waits and any(map(limiter.updates_due, learned[i]))
                )
                desk.reporter.episodes(ticket.step_base)
    except InsertsEnded:
        board.actor_waits[actor.index] = AWAKE
        limiter.retire(actor.index)
        link.ring(learners)
    desk.finish()
