"""When to evaluate, and the evaluator's loop in the parallel schedules.

The learner asks for an evaluation right after it has published weights, by putting a number on the
board. In `lockstep` it then waits until the evaluator holds those weights, so an evaluation
belongs to one weights version; in `async` the evaluator takes the newest there are.
"""

from __future__ import annotations

import time
from contextlib import closing

from tuitrain.parts import the
from tuitrain.schedules import learner_names
from tuitrain.schedules.attaching import attached
from tuitrain.schedules.settings import Settings
from tuitrain.workers.blueprint import Blueprint
from tuitrain.workers.board import Board
from tuitrain.workers.build import checked_lanes, policies_for
from tuitrain.workers.child import ChildArgs
from tuitrain.workers.evaluating.best import Best, Told
from tuitrain.workers.evaluating.evaluator import EvalResult, Evaluator, records
from tuitrain.workers.link import Link
from tuitrain.workers.messages import Evaluate
from tuitrain.workers.stores import Stores

EVALUATOR = "eval"
BY_HAND = 1_000_000
"""Evaluations asked for by hand are numbered from here, so that they don't shift the others."""


class EvaluationClock:
    """Due each time the environment steps pass a multiple of `every_steps`."""

    def __init__(self, every_steps: int, done_steps: int) -> None:
        self._every = every_steps
        self._next = (done_steps // every_steps + 1) * every_steps

    def change(self, every_steps: int, steps: int) -> None:
        """Another interval, when `steps` have been made; what is due already stays so."""
        if not self.passed(steps):
            self._next = (steps // every_steps + 1) * every_steps
        self._every = every_steps

    def due(self, steps: int) -> bool:
        """Whether `steps` has passed the next multiple; a yes moves the clock on."""
        if not self.passed(steps):
            return False
        self._next = (steps // self._every + 1) * self._every
        return True

    def passed(self, steps: int) -> bool:
        """What ``due`` would say; the clock stays."""
        return steps >= self._next


def request(board: Board, steps: int, *, final: bool) -> int:
    """Put the next evaluation on the board and return its number; the caller rings."""
    board.eval_steps = steps
    number: int = board.eval_request + 1
    board.eval_request = number
    if final:
        board.eval_final = 1  # last: who sees it sees the request
    return number


def build_evaluator(blueprint: Blueprint, incarnation: int = 0) -> Evaluator:
    """The run's evaluator, with environments of its own.

    Args:
        incarnation: how many were in its place before it in this session.
    """
    return the(Evaluator)(
        blueprint.config,
        blueprint.spec,
        policies_for(blueprint.config, blueprint.spec, "cpu"),
        lambda n: checked_lanes(blueprint.config, blueprint.spec, n, for_evaluation=True),
        blueprint.base.stream,
        incarnation,
    )


def run_evaluation(
    evaluator: Evaluator, best: Best, link: Link, number: int, steps: int
) -> list[EvalResult]:
    """Evaluate the weights held, keep them if they are the best, and record the results."""
    start = time.perf_counter()
    phase = link.counters.phases.enter("evaluate")
    values, rows = link.counters.values, 0

    def advance() -> None:
        nonlocal rows
        rows += 1
        # how far the one at hand is: without ends nothing else would be said of it for hours
        values["eval_rows"], values["eval_over"] = rows, evaluator.over
        link.advance()

    results = evaluator.evaluate(number, advance)
    values["eval_rows"] = 0
    link.counters.phases.enter(phase)
    duration_s = time.perf_counter() - start
    told = best.consider(results, evaluator.policies, evaluator.held, steps)
    for record in records(results, evaluator.held, steps, duration_s):
        link.record(record)
    tell(link, told)
    link.counters.values["evaluations"] = link.counters.values.get("evaluations", 0) + 1
    return results


def tell(link: Link, told: Told | None) -> None:
    """Pass on what became of the best weights."""
    if told is not None:
        link.notice(told.text, told.level, **({} if told.best is None else {"best": told.best}))


def run_evaluator(args: ChildArgs, link: Link) -> None:
    """The evaluator process of `lockstep` and `async`."""
    blueprint, stores = attached(args, link)
    with closing(build_evaluator(blueprint, args.incarnation)) as evaluator:
        serve(blueprint, stores, evaluator, link)


def serve(blueprint: Blueprint, stores: Stores, evaluator: Evaluator, link: Link) -> None:
    """Evaluate whenever the board or a person asks, until the run's last evaluation."""
    board = stores.board
    board.eval_taken = board.eval_done  # what a predecessor has not finished is made again
    conductor = learner_names(blueprint.n_learners)[0]
    wanted_by_hand: list[int] = []

    def over() -> bool:
        return bool(board.eval_final) and board.eval_done == board.eval_request

    def by_hand(command: Evaluate) -> dict[str, object]:
        wanted_by_hand.append(command.command_id)
        return {"queued": True}

    Settings(link, blueprint, lambda _: None, at_once=True)
    link.on("evaluate", by_hand)
    link.on("resync", lambda _: evaluator.holdings())
    best = Best(blueprint)
    tell(link, best.found)
    link.ready(spec_hash=blueprint.spec.spec_hash(), device="cpu")
    while True:
        link.wait(
            lambda: board.eval_request > board.eval_taken or bool(wanted_by_hand) or over(),
            "the next evaluation",
        )
        requested, steps = board.eval_request, board.eval_steps
        if requested == board.eval_taken and not wanted_by_hand:
            link.finish()
        evaluator.pull(stores, blueprint.evaluator_reader)
        by_schedule = requested > board.eval_taken
        if by_schedule:
            number = requested
            board.eval_taken = requested
            link.ring([conductor])
        else:
            number = BY_HAND + wanted_by_hand.pop()
            steps = stores.limiter.totals().steps
        link.counters.values["version"] = max(h.version for h in evaluator.held.values())
        link.counters.values["updates_held"] = max(h.updates for h in evaluator.held.values())
        run_evaluation(evaluator, best, link, number, steps)
        if by_schedule:
            link.deliver()  # before anybody saves what came after it
            board.eval_done = requested
            link.ring([conductor])
