"""When a change holds: at once, or at the boundary that the conductor says."""

from __future__ import annotations

import logging
from collections.abc import Iterator
from types import SimpleNamespace
from typing import Any

import pytest

from tuitrain.config.live import with_values
from tuitrain.config.resolve import resolve
from tuitrain.config.schema import Config
from tuitrain.schedules.evaluation import EvaluationClock
from tuitrain.schedules.settings import Settings
from tuitrain.workers.messages import Set

CONFIG = resolve(Config(), cores=2)


class Blueprint(SimpleNamespace):
    def changed(self, config: Config) -> Blueprint:
        return Blueprint(config=config)


class Worker:
    """Takes settings; `rates` are the learning rates that it went by."""

    def __init__(self, *, at_once: bool) -> None:
        self.rates: list[float] = []
        self.handle: Any = None
        link: Any = SimpleNamespace(on=self.on)
        blueprint: Any = Blueprint(config=CONFIG)
        self.settings = Settings(link, blueprint, self.take, at_once=at_once)

    def on(self, kind: str, handler: Any) -> None:
        assert kind == "set"
        self.handle = handler

    def take(self, blueprint: Any) -> None:
        self.rates.append(blueprint.config.learner.lr)

    def told(self, number: int, **values: Any) -> None:
        named = {key.replace("__", "."): value for key, value in values.items()}
        assert self.handle(Set(command_id=90 + number, number=number, values=named)) == {}


@pytest.fixture
def root_level() -> Iterator[None]:
    level = logging.getLogger().level
    yield
    logging.getLogger().setLevel(level)


def test_at_once() -> None:
    worker = Worker(at_once=True)
    worker.told(1, learner__lr=0.1)
    worker.told(2, learner__lr=0.2)
    assert worker.rates == [0.1, 0.2]
    assert worker.settings.take_over() == 0


def test_at_a_boundary_and_not_before() -> None:
    worker = Worker(at_once=False)
    worker.told(1, learner__lr=0.1)
    worker.told(2, eval__every_steps=3)
    assert worker.rates == []
    assert worker.settings.take_over() == 2
    assert worker.rates == [0.1, 0.1]
    config = worker.settings.blueprint.config
    assert config == with_values(CONFIG, {"learner.lr": 0.1, "eval.every_steps": 3})


def test_up_to_the_number_that_the_conductor_says() -> None:
    """▣ All change at the same round, though one may have been told more already."""
    worker = Worker(at_once=False)
    worker.told(4, learner__lr=0.1)
    worker.told(5, learner__lr=0.2)
    assert worker.settings.take_over(3) == 0
    assert worker.settings.take_over(4) == 4
    assert worker.rates == [0.1]
    assert worker.settings.take_over(7) == 5
    assert worker.rates == [0.1, 0.2]


@pytest.mark.usefixtures("root_level")
def test_the_log_level_never_waits() -> None:
    Worker(at_once=False).told(1, run__log_level="debug")
    assert logging.getLogger().level == logging.DEBUG


@pytest.mark.parametrize(
    ("before", "after", "steps", "due"),
    [(100, 10, 237, 240), (100, 1000, 237, 1000), (100, 10, 240, 250), (100, 50, 305, 300)],
)
def test_another_interval_counts_from_now(before: int, after: int, steps: int, due: int) -> None:
    """What was due and not asked for yet stays due."""
    clock = EvaluationClock(before, 200)
    clock.change(after, steps)
    assert not clock.passed(due - 1) or due < steps
    assert clock.due(max(due, steps))
    following = max(due, steps) // after * after + after
    assert not clock.passed(following - 1)
    assert clock.passed(following)
