"""What a learner process does in both parallel schedules, around their different loops.

Where several learn, the first one conducts: it alone opens rounds, asks for evaluations and says
that the run is over.
"""

from __future__ import annotations

import time
from dataclasses import asdict
from typing import Any

from tuitrain.schedules import evaluation, learner_names
from tuitrain.schedules.evaluation import EVALUATOR, EvaluationClock
from tuitrain.schedules.rounds import Reporter
from tuitrain.schedules.saving import Saves
from tuitrain.schedules.settings import Settings
from tuitrain.workers.blueprint import Blueprint
from tuitrain.workers.board import WAITS, WAITS_FOR_ROOM
from tuitrain.workers.learners.learner import Learner
from tuitrain.workers.link import Link
from tuitrain.workers.messages import Checkpoint, Conclude, Stop
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
        self.settings = Settings(link, blueprint, self._take, at_once=not one_version)
        self._board = stores.board
        self._limiter = stores.limiter
        self._learner = learner
        self._link = link
        self._one_version = one_version
        # of a successor: what its predecessor has asked for last
        asked = stores.board.eval_steps
        self._clock = EvaluationClock(blueprint.config.eval.every_steps, asked)
        self._evaluates = blueprint.config.eval.enabled and not learner.index
        self.reporter = Reporter(link, time.monotonic, learner=learner)
        self.conductor, *self.other_learners = learner_names(blueprint.n_learners)
        self.actor_names = [f"a{i}" for i in range(blueprint.n_actors)]
        self._chunk = [blueprint.chunk_inserts(name) for name in blueprint.policies]
        self._turn = 0
        if one_version:  # `lockstep`: with state all save together, between two rounds
            self.saves = Saves(link, blueprint.base.session, self._save, self._checkpoint)
        else:
            link.on("checkpoint", self._checkpoint)
        link.on("stop", self._last_words)
        link.on("resync", lambda _: learner.holdings())
        link.on("conclude", self._conclude)
        self.concluded = False
        """Set when training is to end before its last step."""

    def _take(self, blueprint: Blueprint) -> None:
        self._learner.retune(blueprint)
        if self._learner.index:
            return
        self._learner.set_ratio()
        self._clock.change(blueprint.config.eval.every_steps, self._limiter.totals().steps)
        if not self._one_version:  # with another ratio who waits may go on
            self._link.ring([*self.other_learners, *self.actor_names])

    def start(self) -> None:
        """Publish the initial (or restored) weights and report ready."""
        if not self._learner.index:  # a predecessor may have died before a change did hold
            self._learner.set_ratio()
        self._learner.publish(self._limiter.totals().steps)
        self._link.ready(
            spec_hash=self.settings.blueprint.spec.spec_hash(),
            device=self._learner.device,
            data=asdict(self._learner.taken_over) if self._learner.taken_over else {},
        )
        if self._learner.taken_over is None:  # a predecessor has told these things
            self._link.notice(self._learner.description())
            if not self._learner.index:
                self._link.notice(self.settings.blueprint.about_saving())
        if self.settings.blueprint.base.states:
            self._link.wait(self._board.all_here, "the actors to take over their rows")

    def publish(self) -> None:
        """Hand the weights of this learner's policies to whoever acts."""
        phase = self._link.counters.phases.enter("publish")
        self._learner.publish(self._limiter.totals().steps)
        self._link.counters.phases.enter(phase)

    def evaluation_due(self) -> bool:
        """Whether ``evaluate`` would ask for one."""
        return self._evaluates and self._clock.passed(self._limiter.totals().steps)

    def evaluate(self, *, final: bool = False) -> None:
        """Ask for an evaluation of what is published, if one is due or it is the run's last."""
        if not self._evaluates:
            return
        steps = self._limiter.totals().steps
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

    def _checkpoint(self, command: Checkpoint) -> dict[str, Any]:
        saved = self._learner.save(command.command_id, state=command.state)
        if command.hold:
            self._link.hold()
        return saved

    def _save(self, request: int | None, moment: str | None) -> dict[str, Any]:
        return self._learner.save(request, state=True, moment=moment)

    def save_together(self) -> None:
        """Carry out a checkpoint of all, if one has been asked for: nobody moves meanwhile.

        The conductor calls it between two rounds. What has been measured until now is told before.
        """
        request = self.saves.asked
        if request is None:
            return
        board, link = self._board, self._link
        if self._evaluates:
            link.wait(lambda: board.eval_done >= board.eval_request, "the evaluation to end")
        board.round_steps = self._limiter.totals().steps
        board.save_request = request
        link.ring([*self.other_learners, *self.actor_names])
        self.saves.make(request, moment=True)
        link.wait(board.all_saved, "all to save")

    def _last_words(self, stop: Stop) -> dict[str, Any]:
        self.reporter.last()
        return self._learner.save(stop.command_id) if stop.checkpoint else {}

    def _conclude(self, _: Conclude) -> dict[str, Any]:
        if not self._learner.index:
            self.concluded = True
            if not self._one_version:  # nobody waits for the next round: actors go on by themselves
                self._board.ended = 1
                self._link.ring(self.actor_names)
        return {}

    def publish_last(self) -> None:
        """Publish what all training has led to; the conductor asks for the last evaluation."""
        self.publish()
        self._board.learner_ended[self._learner.index] = 1
        if self._learner.index:
            self._link.ring([self.conductor])
            return
        self._link.wait(self._board.others_ended, "the other learners' last weights")
        self.evaluate(final=True)

    def finish(self) -> None:
        """Report, save, and wait for `Stop`, which comes once all have finished."""
        self.reporter.last()
        if self._one_version:
            self.saves.end()
        saved = self._learner.save(state=self.settings.blueprint.saves_state)
        wanted = self.settings.blueprint.config.run.fingerprint
        self._link.finish(**saved, fingerprint=self._learner.fingerprint() if wanted else None)
