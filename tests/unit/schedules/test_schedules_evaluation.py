"""The evaluator's loop: what a predecessor left, and what comes last."""

from __future__ import annotations

from collections.abc import Callable
from types import SimpleNamespace
from typing import Any

import numpy as np
import pytest

from tuitrain.schedules import evaluation
from tuitrain.workers.board import Board


class Finished(Exception):
    """The link was told that all work is done."""


class Waits(Exception):
    """The loop has nothing to do."""


class Link:
    """Waits for nothing, and is asked by hand once if `by_hand`."""

    def __init__(self, by_hand: bool = False) -> None:
        self.counters = SimpleNamespace(values={})
        self.by_hand = by_hand
        self.handlers: dict[str, Callable[[Any], Any]] = {}

    def on(self, kind: str, handler: Callable[[Any], Any]) -> None:
        self.handlers[kind] = handler

    def ready(self, **_: Any) -> None:
        if self.by_hand:
            self.handlers["evaluate"](SimpleNamespace(command_id=5))

    def wait(self, ready: Callable[[], bool], reason: str) -> None:
        if not ready():
            raise Waits

    def ring(self, names: Any) -> None:
        pass

    def deliver(self) -> None:
        pass

    def finish(self) -> None:
        raise Finished


@pytest.fixture
def board() -> Board:
    return Board(np.zeros(Board.size(1, 1), np.int64), 1, 1)


def serve(
    board: Board, monkeypatch: pytest.MonkeyPatch, *, by_hand: bool = False
) -> tuple[list[int], type[BaseException]]:
    """Numbers of the evaluations made, and how the loop came to rest."""
    made: list[int] = []
    monkeypatch.setattr(
        evaluation,
        "run_evaluation",
        lambda evaluator, best, link, number, steps: made.append(number),
    )
    monkeypatch.setattr(evaluation, "Best", lambda _: SimpleNamespace(found=None))
    blueprint: Any = SimpleNamespace(
        n_learners=1, evaluator_reader=1, spec=SimpleNamespace(spec_hash=lambda: "")
    )
    limiter = SimpleNamespace(totals=lambda: SimpleNamespace(steps=0))
    stores: Any = SimpleNamespace(board=board, limiter=limiter)
    held = {"default": SimpleNamespace(version=1, updates=0)}
    evaluator: Any = SimpleNamespace(held=held, pull=lambda *_: None, holdings=dict)
    with pytest.raises((Finished, Waits)) as ended:
        evaluation.serve(blueprint, stores, evaluator, Link(by_hand))
    return made, ended.type


def test_an_evaluation_that_was_cut_is_made_again(
    board: Board, monkeypatch: pytest.MonkeyPatch
) -> None:
    board.eval_request, board.eval_taken, board.eval_done = 3, 3, 2
    assert serve(board, monkeypatch) == ([3], Waits)
    assert board.eval_done == 3


def test_the_last_one_too(board: Board, monkeypatch: pytest.MonkeyPatch) -> None:
    board.eval_request, board.eval_taken, board.eval_done, board.eval_final = 3, 3, 2, 1
    assert serve(board, monkeypatch) == ([3], Finished)


def test_who_dies_after_the_last_one_has_nothing_left_to_do(
    board: Board, monkeypatch: pytest.MonkeyPatch
) -> None:
    board.eval_request, board.eval_taken, board.eval_done, board.eval_final = 3, 3, 3, 1
    assert serve(board, monkeypatch) == ([], Finished)


def test_a_request_that_is_being_made_is_not_taken_for_the_one_before(
    board: Board, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Between any two stores of the run's last request the evaluator must not go home."""
    evaluation.request(board, 100, final=False)
    assert serve(board, monkeypatch) == ([1], Waits)

    class Watched(Board):
        seen = 0

        def __setattr__(self, name: str, value: Any) -> None:
            super().__setattr__(name, value)
            if name.startswith("eval_"):
                Watched.seen += 1
                over = bool(self.eval_final) and self.eval_done == self.eval_request
                assert not over, f"after the store of {name}"

    watched = Watched(board._table, 1, 1)
    evaluation.request(watched, 200, final=True)
    assert Watched.seen == 3
    assert serve(board, monkeypatch) == ([2], Finished)


def test_one_by_hand_is_made_before_the_end(board: Board, monkeypatch: pytest.MonkeyPatch) -> None:
    board.eval_request, board.eval_taken, board.eval_done, board.eval_final = 3, 3, 3, 1
    assert serve(board, monkeypatch, by_hand=True) == ([evaluation.BY_HAND + 5], Finished)
