"""What the learner process does in both parallel schedules, around their different loops."""

from __future__ import annotations

import time

from tuitrain.schedules import evaluation
from tuitrain.schedules.evaluation import EVALUATOR, EvaluationClock
from tuitrain.schedules.rounds import Reporter
from tuitrain.workers.blueprint import Blueprint
from tuitrain.workers.board import WAITS, WAITS_FOR_ROOM
from tuitrain.workers.learner import Learner
from tuitrain.workers.link import Link
from tuitrain.workers.messages import Stop
from tuitrain.workers.stores import Stores


class LearnerDesk:
    """Publishing, reporting, asking for evaluations and answering commands.

    Args:
        one_version: `lockstep`: an evaluation holds the weights it was asked for, so the learner
            waits until the evaluator has taken them.
    """

    def __init__(
        self,
        blueprint: Blueprint,
        stores: Stores,
        learner: Learner,
        link: Link,
        *,
        one_version: bool,
    ) -> None:
        self._blueprint = blueprint
        self._board = stores.board
        self._limiter = stores.limiter
        self._learner = learner
        self._link = link
        self._one_version = one_version
        self._clock = EvaluationClock(blueprint.config.eval.every_steps, blueprint.base.steps)
        self.reporter = Reporter(link, time.monotonic, learner=learner)
        self.actor_names = [f"a{i}" for i in range(blueprint.n_actors)]
        self._chunk = [blueprint.chunk_inserts(name) for name in blueprint.policies]
        self._turn = 0
        link.on("checkpoint", lambda _: {"path": str(learner.save())})
        link.on("stop", self._last_words)
        link.on("resync", lambda _: learner.holdings())

    def start(self) -> None:
        """Publish the initial (or restored) weights and report ready."""
        self._learner.publish(self._blueprint.base.steps)
        self._link.ready(
            spec_hash=self._blueprint.spec.spec_hash(),
            device=self._blueprint.config.learner.device,
        )
        self._link.notice(self._learner.description())

    def publish(self, *, final: bool = False) -> None:
        """Publish, then ask for an evaluation if one is due or this is the last publication."""
        phase = self._link.counters.phases.enter("publish")
        steps = self._limiter.totals().steps
        self._learner.publish(steps)
        self._link.counters.phases.enter(phase)
        if not self._blueprint.config.eval.enabled:
            return
        if final or self._clock.due(steps):
            number = evaluation.request(self._board, steps, final=final)
            self._link.ring([EVALUATOR])
            if self._one_version:
                self._link.wait(
                    lambda: self._board.eval_taken >= number, "the evaluator to take the weights"
                )

    def wake_actors(self) -> None:
        """Ring the actors that sleep and can go on.

        Of those that wait for room only as many as there is room for, each in its turn: waking one
        that has to lie down again costs both processes more than an update of a small network.
        """
        waits = self._board.actor_waits.tolist()
        if not any(waits):
            return
        turn = [*range(self._turn, len(waits)), *range(self._turn)]
        names = [i for i in turn if waits[i] == WAITS]
        if for_room := [i for i in turn if waits[i] == WAITS_FOR_ROOM]:
            room = self._limiter.room(self._chunk, len(for_room))
            names += for_room[:room]
            if 0 < room < len(for_room):
                self._turn = for_room[room]
        self._link.ring(self.actor_names[i] for i in names)

    def _last_words(self, stop: Stop) -> dict[str, str]:
        self.reporter.last()
        return {"path": str(self._learner.save())} if stop.checkpoint else {}

    def finish(self) -> None:
        """Report, save, and wait for `Stop`, which comes once all have finished."""
        self.reporter.last()
        path = self._learner.save()
        wanted = self._blueprint.config.run.fingerprint
        self._link.finish(
            checkpoint=str(path), fingerprint=self._learner.fingerprint() if wanted else None
        )
