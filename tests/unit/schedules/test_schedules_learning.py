"""The free-running learner's loop and the rounds' counting, with nothing real but the counts."""

from __future__ import annotations

import builtins
from collections.abc import Callable
from fractions import Fraction
from itertools import pairwise
from types import SimpleNamespace
from typing import Any

import numpy as np
import pytest

from tests.unit.replay.limiter_world import limiter, rule
from tuitrain.replay.limiter import InsertsEnded, Limiter
from tuitrain.schedules import asynchronous
from tuitrain.schedules.rounds import open_round
from tuitrain.workers.board import Board

CHUNK = 4
STARTS = 10
RATIO = Fraction(1, 2)
EVERY = 3


class Run:
    """One learner; an actor has its turn whenever the learner waits.

    Args:
        brings: transitions of a chunk, per policy.
    """

    def __init__(self, brings: tuple[int, ...], total_steps: int) -> None:
        n = len(brings)
        self.brings = brings
        self.limiter = limiter([rule(RATIO, STARTS, CHUNK)] * n, total_steps, 1)
        board = Board(np.zeros(Board.size(n, 1), np.int64), n, 1)
        self.stores: Any = SimpleNamespace(board=board, limiter=self.limiter)
        config = SimpleNamespace(learner=SimpleNamespace(publish_every_updates=EVERY))
        self.blueprint: Any = SimpleNamespace(config=config)
        self.made = dict.fromkeys("abc"[:n], 0)
        places = {name: SimpleNamespace(place=i) for i, name in enumerate(self.made)}
        self.learner: Any = SimpleNamespace(
            policies=places,
            bundles=[(name,) for name in places],
            step_together=self.step_together,
            count_updates=self.count_updates,
            uncounted=dict.fromkeys(self.made, 0),
            index=0,
        )
        self.saves_between = False
        self.counters = SimpleNamespace(phases=None)
        self.published = [dict(self.made)]
        self.finished = False

    def step_together(self, bundle: tuple[str, ...], phases: object, sure: int) -> None:
        for policy in bundle:
            assert 1 <= sure <= self.limiter.updates_due("abc".index(policy))
            self.made[policy] += 1

    def count_updates(self) -> None:
        """As a learner's."""
        for place, (name, made) in enumerate(self.learner.uncounted.items()):
            self.limiter.add_updates(place, made)
            self.learner.uncounted[name] = 0

    def advance(self) -> None:
        """As a link's, which may bring the wish for a checkpoint."""
        if self.saves_between:
            self.count_updates()
            assert self.limiter.totals().updates == tuple(self.made.values())

    def wait(self, ready: Callable[[], bool], reason: str) -> None:
        """As a link's: the actor goes on for as long as it may."""
        while not ready():
            try:
                assert self.limiter.reserve(0, [CHUNK] * len(self.made), CHUNK), "both wait"
                self.limiter.commit(0, self.brings, CHUNK)
            except InsertsEnded:
                self.limiter.retire(0)

    def learn(self, monkeypatch: pytest.MonkeyPatch) -> None:
        """The loop itself."""

        def nothing(**_: object) -> None:
            pass

        def publish(**_: object) -> None:
            self.published.append(dict(self.made))

        def finish() -> None:
            self.finished = True

        desk = SimpleNamespace(
            start=nothing,
            wake_actors=nothing,
            publish=publish,
            evaluate=nothing,
            evaluation_due=lambda: False,
            publish_last=publish,
            finish=finish,
            reporter=SimpleNamespace(updates=nothing),
        )
        monkeypatch.setattr(asynchronous, "LearnerDesk", lambda *_, **__: desk)
        asynchronous.learn(self.blueprint, self.stores, self.learner, self)


def earned(inserts: int) -> int:
    return int((inserts - STARTS) * RATIO) + 1 if inserts >= STARTS else 0


@pytest.mark.parametrize("brings", [(4, 0), (4, 1), (0, 4), (3, 0, 2), (0, 0)])
def test_no_policy_waits_for_another(
    brings: tuple[int, ...], monkeypatch: pytest.MonkeyPatch
) -> None:
    run = Run(brings, 200)
    run.learn(monkeypatch)
    assert run.finished
    totals = run.limiter.totals()
    assert totals.steps == 200
    assert list(run.made.values()) == list(totals.updates) == [earned(n) for n in totals.inserts]


@pytest.mark.parametrize("brings", [(4,), (4, 0), (4, 1), (3, 0, 2)])
def test_weights_are_published_every_so_many_updates_whoever_is_absent(
    brings: tuple[int, ...], monkeypatch: pytest.MonkeyPatch
) -> None:
    run = Run(brings, 200)
    run.learn(monkeypatch)
    *regular, last = [
        max(after[name] - before[name] for name in run.made)
        for before, after in pairwise(run.published)
    ]
    assert len(regular) > 20
    assert set(regular) == {EVERY}
    assert last <= EVERY
    assert run.published[-1] == run.made


def test_a_checkpoint_within_a_burst_counts_all_that_was_made(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    run = Run((4, 1), 200)
    run.saves_between = True
    run.learn(monkeypatch)
    totals = run.limiter.totals()
    assert list(run.made.values()) == list(totals.updates) == [earned(n) for n in totals.inserts]


def test_a_learner_that_waits_for_all_policies_is_noticed(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(asynchronous, "any", builtins.all, raising=False)
    with pytest.raises(AssertionError, match="both wait"):
        Run((4, 0), 200).learn(monkeypatch)


# ---- rounds ------------------------------------------------------------------------------------


def rounds(shared: Limiter, brings: int, total_steps: int) -> list[tuple[int, int]]:
    """(transitions at its start, updates due) of every round."""
    seen = []
    learner: Any = SimpleNamespace(
        stores=SimpleNamespace(limiter=shared),
        blueprint=SimpleNamespace(
            config=SimpleNamespace(run=SimpleNamespace(total_steps=total_steps))
        ),
        policies={"a": SimpleNamespace(place=0)},
        open_windows=lambda inserts: seen.append(inserts[0]),
    )
    out = []
    while (opened := open_round(learner)) is not None:
        shared.commit(0, [brings], CHUNK)
        shared.add_updates(0, opened.due["a"])
        out.append((seen[-1], opened.due["a"]))
    return out


@pytest.mark.parametrize("base", [0, 100])
@pytest.mark.parametrize("brings", [1, 3, CHUNK])
@pytest.mark.parametrize("starts", [1, 9, 10, 11, 12])
def test_the_first_update_is_in_the_first_round_that_starts_with_enough(
    starts: int, brings: int, base: int
) -> None:
    shared = limiter([rule(RATIO, starts, CHUNK)], base + 60, 1)
    shared.set_base(base, [base], [base])
    seen = rounds(shared, brings, base + 60)
    for inserts, due in seen:
        assert (due > 0) <= (inserts - base >= starts)
    first = next(i for i, (_, due) in enumerate(seen) if due)
    assert first == next(i for i, (inserts, _) in enumerate(seen) if inserts - base >= starts)
    assert first > 0


def test_a_round_that_counts_what_comes_meanwhile_is_noticed() -> None:
    class Ahead(Limiter):
        def updates_due(self, policy: int) -> int:
            totals = self.totals()
            return self.rules[policy].updates_due(totals.inserts[policy] + CHUNK, totals.updates[0])

    seen = rounds(limiter([rule(RATIO, 10, CHUNK)], 60, 1, kind=Ahead), CHUNK, 60)
    assert any(due > 0 and inserts < 10 for inserts, due in seen)
