"""`lockstep`: rounds with actors and learner at work at the same time, byte for byte `sequential`.

The learner opens a round by writing its number on the board, after it has pinned its windows and
while every actor rests. It publishes only when every actor has committed, so an actor that pulls at
the start of round r can only find W(r-1). Policy lag is exactly one round.

Where several processes learn, the first one conducts. Each of the others publishes its part of
W(r), pins its windows for round r+1 and says so; the conductor opens no round before all have. From
the last commit of a round to the opening of the next nothing is counted but updates, each by who
made them, so all see the same counts.
"""

from __future__ import annotations

from collections.abc import Callable
from contextlib import closing

from tuitrain.parts import the
from tuitrain.replay.limiter import Ticket
from tuitrain.schedules import learner_names
from tuitrain.schedules.acting import ActorDesk, build_actor
from tuitrain.schedules.attaching import attached
from tuitrain.schedules.learning import LearnerDesk
from tuitrain.schedules.rounds import act_half, drain, learn_half, open_round
from tuitrain.workers.acting.actor import Actor
from tuitrain.workers.blueprint import Blueprint
from tuitrain.workers.board import Board
from tuitrain.workers.child import ChildArgs
from tuitrain.workers.learners.learner import Learner
from tuitrain.workers.link import Link
from tuitrain.workers.stores import Stores


def run_learner(args: ChildArgs, link: Link) -> None:
    """A learner process: conducts the rounds, or does its part in them."""
    blueprint, stores = attached(args, link)
    learner = the(Learner)(blueprint, stores, args.index, args.incarnation)
    (accompany if args.index else conduct)(blueprint, stores, learner, link)


def conduct(blueprint: Blueprint, stores: Stores, learner: Learner, link: Link) -> None:
    """Open rounds until the steps asked for are done, then finish."""
    board = stores.board
    desk = LearnerDesk(blueprint, stores, learner, link, one_version=True)
    desk.start()
    number = 0
    # Concluding comes between two rounds: the other learners may have pinned their windows.
    while not desk.concluded:
        # Others have counted already what is due of theirs, by the ratio before.
        changed = desk.settings.take_over()
        opened = open_round(learner)
        if opened is None:
            break
        number += 1
        board.settings = changed or board.settings
        _all_ready(board, number, link)
        board.round_steps = opened.ticket.step_base
        board.round_inserts[:] = opened.ticket.stamp_base
        board.round = number
        link.ring([*desk.other_learners, *desk.actor_names])
        learn_half(learner, opened.due, link)
        link.wait(board.all_done, "actors to end the round")
        learner.close_windows()
        desk.publish()
        _all_ready(board, number + 1, link)
        desk.evaluate()
        desk.reporter.updates()
        desk.save_together()
        link.tick()
    board.ended = 1
    link.ring([*desk.other_learners, *desk.actor_names])
    drain(learner, link)
    desk.publish_last()
    desk.finish()


def _all_ready(board: Board, number: int, link: Link) -> None:
    """Wait until all weights that round `number` acts with are published, all windows pinned."""
    link.wait(lambda: board.others_ready(number), "the other learners to end the round")


def accompany(blueprint: Blueprint, stores: Stores, learner: Learner, link: Link) -> None:
    """A further learner: its half of every round that the conductor opens."""
    board = stores.board
    desk = LearnerDesk(blueprint, stores, learner, link, one_version=True)
    desk.start()
    number = 0

    saved = board.learner_saved

    def begun() -> bool:
        return bool(board.round >= number or board.ended)

    def asked() -> bool:
        return bool(board.save_request > saved[learner.index])

    def wait(ready: Callable[[], bool], reason: str) -> None:
        """For the conductor, who may have all save before it goes on, after the last round too."""
        link.wait(lambda: ready() or asked(), reason)
        if asked():
            desk.saves.make(board.save_request, moment=True)
            saved[learner.index] = board.save_request
            link.ring([desk.conductor])
            link.wait(ready, reason)

    while True:
        opened = open_round(learner)
        number += 1
        board.learner_ready[learner.index] = number
        link.ring([desk.conductor])
        if opened is None:
            break
        wait(begun, "the next round")
        if board.round < number:  # concluded
            learner.close_windows()
            break
        desk.settings.take_over(board.settings)
        learn_half(learner, opened.due, link)
        link.wait(board.all_done, "actors to end the round")
        learner.close_windows()
        desk.publish()
        desk.reporter.updates()
        link.tick()
    # an evaluation of the last round's weights may not have taken them yet
    wait(lambda: bool(board.ended), "the conductor to end the rounds")
    drain(learner, link)
    desk.publish_last()
    desk.finish()


def run_actor(args: ChildArgs, link: Link) -> None:
    """An actor process."""
    blueprint, stores = attached(args, link)
    with closing(build_actor(blueprint, stores, args.index, args.incarnation)) as actor:
        follow(blueprint, stores, actor, link)


def follow(blueprint: Blueprint, stores: Stores, actor: Actor, link: Link) -> None:
    """Take part in every round that opens."""
    board = stores.board
    desk = ActorDesk(blueprint, actor, link, at_once=False)
    # A hand-made resync must not change which weights a round acts with: it only reports.
    link.on("resync", lambda _: desk.holdings())
    desk.start()
    learners = learner_names(blueprint.n_learners)
    done, saved = board.actor_done, board.actor_saved

    def opened() -> bool:
        return board.round > done[actor.index] or bool(board.ended)

    def asked() -> bool:
        return bool(board.save_request > saved[actor.index])

    with actor.random:  # nobody else works here
        while True:
            link.wait(lambda: opened() or asked(), "the next round")
            # Told of at the count at which all rounds before have ended: on either side of a
            # checkpoint it is the same.
            desk.reporter.episodes(board.round_steps)
            if asked():
                # Here and not when the next round opens, which is at the same count: what is told
                # then would be told again by who goes on from here.
                desk.reporter.last()
                desk.saves.make(board.save_request, moment=True)
                saved[actor.index] = board.save_request
                link.ring(learners)
                continue
            number = board.round
            if number <= done[actor.index]:
                desk.finish()
            desk.settings.take_over(board.settings)
            ticket = Ticket(board.round_steps, tuple(int(n) for n in board.round_inserts))
            act_half(actor, stores, ticket, blueprint.config.actors.chunk_steps, link)
            done[actor.index] = number
            link.ring(learners)
            link.tick()
