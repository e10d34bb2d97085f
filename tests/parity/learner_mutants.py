"""Faulty learners of several in a run, in the place of the real ones (see ``mutants``)."""

from __future__ import annotations

from collections.abc import Sequence

from tuitrain.learning.stream import GlobalStream
from tuitrain.parts import PROCESS
from tuitrain.schedules import lockstep
from tuitrain.workers.child import ChildArgs
from tuitrain.workers.learners.learner import Learner
from tuitrain.workers.link import Link


def _run(kind: type[Learner], args: ChildArgs, link: Link) -> None:
    with PROCESS.restored() as parts:
        parts.replace(Learner, kind)
        lockstep.run_learner(args, link)


class SharedStream(Learner):
    """What one policy draws depends on what the others have drawn before it."""

    def __init__(self, *args: object) -> None:
        super().__init__(*args)
        for part in self.policies.values():
            part._stream = GlobalStream(part.dqn.device)


def shared_stream(args: ChildArgs, link: Link) -> None:
    _run(SharedStream, args, link)


class PinsLate(Learner):
    """Says that it is ready for a round, and pins its windows when the round has been acted."""

    def open_windows(self, inserts: Sequence[int]) -> None:
        if self.index == 0:
            super().open_windows(inserts)

    def step(self, policy: str, *args: object, **more: object) -> None:
        part = self.policies[policy]
        if part.window is None:
            board = self.stores.board
            while not board.all_done():
                pass
            part.window = part.pin(int(board.round_inserts[part.place]))
        super().step(policy, *args, **more)


def others_pin_late(args: ChildArgs, link: Link) -> None:
    _run(PinsLate, args, link)


class PublishesLate(Learner):
    """Publishes a round's weights only at the end of the next."""

    def publish(self, steps: int) -> None:
        parts = self.policies.values()
        fresh = [part._flat.read().copy() for part in parts]
        for part, mine in zip(parts, fresh, strict=True):
            held = getattr(part, "held", mine) if self.index else mine
            part.store.publish(held, part.dqn.updates, steps)
            part.held = mine


def others_publish_late(args: ChildArgs, link: Link) -> None:
    _run(PublishesLate, args, link)


def honest(args: ChildArgs, link: Link) -> None:
    _run(Learner, args, link)
