"""What learners and actors tell of themselves for checks: where they compute, and what was lost."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest
import torch

from tests.unit.workers.one_actor import Run, one_actor
from tests.unit.workers.test_workers_taken_over import SETTINGS, act
from tuitrain.replay.layout import HEADER_TAIL
from tuitrain.schedules.acting import build_actor
from tuitrain.workers.acting.actor import Actor
from tuitrain.workers.learners.learner import Learner

TOLD = "overwritten/default"


@pytest.fixture
def run(tmp_path: Path) -> Iterator[Run]:
    with one_actor(tmp_path, **SETTINGS) as run:
        yield run


@pytest.fixture
def actor(run: Run) -> Iterator[Actor]:
    actor = build_actor(*run, 0)
    yield actor
    actor.close()


def tail(run: Run) -> int:
    return int(run[1].replays["default"].columns.header[0, HEADER_TAIL])


def test_rows_are_counted_that_were_gone_before_the_first_draw(run: Run, actor: Actor) -> None:
    learner = Learner(*run)
    act(run, actor, 3)
    assert TOLD not in learner.counters()
    learner.step("default")
    assert (learner.counters()[TOLD], tail(run)) == (0, 0)
    while not tail(run):
        act(run, actor, 1)
    learner.step("default")
    assert learner.counters()[TOLD] == 0, "they were there to be drawn"


def test_a_ring_that_went_round_in_warm_up_is_told(run: Run, actor: Actor) -> None:
    learner = Learner(*run)
    while not tail(run):
        act(run, actor, 1)
    learner.step("default")
    assert learner.counters()[TOLD] == tail(run)


def test_a_successor_does_not_know_what_there_was_before(run: Run, actor: Actor) -> None:
    while not tail(run):
        act(run, actor, 1)
    successor = Learner(*run, 0, 1)
    successor.step("default")
    assert TOLD not in successor.counters()


def test_devices_are_those_of_the_parameters(run: Run, actor: Actor) -> None:
    """▣ Not what was asked for: a network may put its parameters where it likes."""
    learner = Learner(*run)
    assert (learner.device, actor.device) == ("cpu", "cpu")
    learner.policies["default"].dqn.online.extra = torch.nn.Parameter(torch.zeros(1, device="meta"))
    actor.parts["default"].policy._network.extra = torch.nn.Parameter(torch.zeros(1, device="meta"))
    assert (learner.device, actor.device) == ("cpu, meta", "cpu, meta")
