"""`sequential`: the whole of training in one process, one thing after the other.

The reference that the others are measured against: what it learns, `lockstep` must learn byte for
byte, and `async` but for staleness.
"""

from __future__ import annotations

import time
from contextlib import closing
from functools import partial
from typing import Any

from tuitrain.parts import the
from tuitrain.schedules.acting import build_actor, tell_begun_anew
from tuitrain.schedules.attaching import attached
from tuitrain.schedules.evaluation import (
    BY_HAND,
    EvaluationClock,
    build_evaluator,
    run_evaluation,
    tell,
)
from tuitrain.schedules.rounds import Reporter, act_half, drain, learn_half, open_round
from tuitrain.schedules.saving import Saves
from tuitrain.schedules.settings import Settings
from tuitrain.workers.acting.sight import see
from tuitrain.workers.beginning.state_files import save_actor
from tuitrain.workers.blueprint import Blueprint
from tuitrain.workers.child import ChildArgs
from tuitrain.workers.evaluating.best import Best
from tuitrain.workers.evaluating.evaluator import Evaluator
from tuitrain.workers.learners.learner import Learner
from tuitrain.workers.link import Link
from tuitrain.workers.messages import Conclude, Evaluate, Stop
from tuitrain.workers.stores import Stores


class Trainer:
    """All roles of a run in one process."""

    def __init__(self, blueprint: Blueprint, stores: Stores) -> None:
        self.blueprint = blueprint
        self.stores = stores
        self.learner = the(Learner)(blueprint, stores)
        self.actors = [build_actor(blueprint, stores, i) for i in range(blueprint.n_actors)]
        self.evaluator: Evaluator | None = (
            build_evaluator(blueprint) if blueprint.config.eval.enabled else None
        )
        self._clock = EvaluationClock(blueprint.config.eval.every_steps, blueprint.base.steps)
        self.best = Best(blueprint)
        self._evaluations = blueprint.base.evaluations

    def retune(self, blueprint: Blueprint) -> None:
        """Go on with changed keys of ``config.live``, between two rounds."""
        self.blueprint = blueprint
        self.learner.retune(blueprint)
        self.learner.set_ratio()
        for actor in self.actors:
            actor.retune(blueprint)
        self._clock.change(blueprint.config.eval.every_steps, self.stores.limiter.totals().steps)

    def round(self, link: Link) -> bool:
        """One round: actors, learner, publication, evaluation if due. False when there is none."""
        opened = open_round(self.learner)
        if opened is None:
            return False
        rows = self.blueprint.config.actors.chunk_steps
        for actor in self.actors:
            act_half(actor, self.stores, opened.ticket, rows, link)
        learn_half(self.learner, opened.due, link)
        self.learner.close_windows()
        steps = self.stores.limiter.totals().steps
        self.learner.publish(steps)
        if self._clock.due(steps):
            self._scheduled_evaluation(link, steps)
        return True

    def finish(self, link: Link) -> None:
        """The updates still owed, the last publication and the last evaluation."""
        drain(self.learner, link)
        steps = self.stores.limiter.totals().steps
        self.learner.publish(steps)
        self._scheduled_evaluation(link, steps)

    def _scheduled_evaluation(self, link: Link, steps: int) -> None:
        self._evaluations += 1
        self.stores.board.eval_request = self._evaluations
        self.evaluate(link, self._evaluations, steps)

    def save(self, request: int | None, moment: str | None, link: Link) -> dict[str, Any]:
        """Save all that training goes on from, between two rounds; see ``Learner.save``."""
        saved = self.learner.save(request, state=True, moment=moment)
        warn = partial(link.notice, level="warning")
        states = [
            save_actor(self.blueprint, actor, request, moment, link.advance, warn)
            for actor in self.actors
        ]
        return saved | {"states": states}

    def evaluate(self, link: Link, number: int, steps: int) -> None:
        """Evaluate the weights published last; does not touch training."""
        if self.evaluator is None:
            return
        self.evaluator.pull(self.stores, self.blueprint.evaluator_reader)
        run_evaluation(self.evaluator, self.best, link, number, steps)

    def close(self) -> None:
        """Close all environments."""
        for actor in self.actors:
            actor.close()
        if self.evaluator is not None:
            self.evaluator.close()


def run(args: ChildArgs, link: Link) -> None:
    """The one worker process of `sequential`."""
    blueprint, stores = attached(args, link)
    with closing(Trainer(blueprint, stores)) as trainer:
        train(blueprint, stores, trainer, link)


def train(blueprint: Blueprint, stores: Stores, trainer: Trainer, link: Link) -> None:
    """Rounds until the steps asked for are done, then finish."""
    learner = trainer.learner
    by_hand: list[int] = []

    def evaluate_soon(command: Evaluate) -> dict[str, object]:
        by_hand.append(command.command_id)
        return {"queued": trainer.evaluator is not None}

    def last_words(stop: Stop) -> dict[str, object]:
        reporter.last()
        return learner.save() if stop.checkpoint else {}

    concluded = False

    def conclude(_: Conclude) -> dict[str, object]:
        nonlocal concluded
        concluded = True
        return {}

    reporter = Reporter(
        link,
        time.monotonic,
        actors=trainer.actors,
        learner=learner,
        reductions=blueprint.config.env.metrics,
    )
    saves = Saves(
        link,
        blueprint.base.session,
        lambda request, moment: trainer.save(request, moment, link),
        lambda _: learner.save(),
    )
    settings = Settings(link, blueprint, trainer.retune, at_once=False)
    link.on("stop", last_words)
    link.on("resync", lambda _: learner.holdings())
    link.on("evaluate", evaluate_soon)
    link.on("conclude", conclude)
    link.on("see", lambda asked: see(trainer.actors[0], asked.policy))
    learner.publish(blueprint.base.steps)
    tell(link, trainer.best.found)
    link.ready(
        spec_hash=blueprint.spec.spec_hash(),
        device=learner.device,
        data=tell_begun_anew(link, trainer.actors),
    )
    link.notice(learner.description())
    link.notice(blueprint.about_saving())
    going = True
    while going and not concluded:
        settings.take_over()
        going = trainer.round(link)
        steps = stores.limiter.totals().steps
        reporter.episodes(steps)
        reporter.updates()
        if by_hand:
            trainer.evaluate(link, BY_HAND + by_hand.pop(), steps)
        if saves.asked is not None:
            saves.make(saves.asked, moment=True)
        link.tick()
    trainer.finish(link)
    reporter.last()
    saves.end()
    saved = trainer.save(None, None, link) if blueprint.saves_state else learner.save()
    fingerprint = learner.fingerprint() if blueprint.config.run.fingerprint else None
    link.finish(**saved, fingerprint=fingerprint)
