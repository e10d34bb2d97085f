"""Writers and readers agree with plain lists in any order, and faulty ones do not."""

from __future__ import annotations

from typing import Any

import pytest
from hypothesis import HealthCheck, Phase, settings
from hypothesis.stateful import run_state_machine_as_test

from tests.unit.replay.faulty import (
    HeadFirst,
    HidesTheCut,
    LegalOfTheRowBefore,
    PassesPins,
    TailStays,
)
from tests.unit.replay.machine import ReplayMachine
from tuitrain.replay import reader as reader_module
from tuitrain.replay.buffer import Batch, ReplayReader, Window
from tuitrain.replay.index import Moved, TransitionIndex
from tuitrain.replay.layout import ReplayDamaged
from tuitrain.replay.priority import Priorities
from tuitrain.replay.shard import ShardWriter


def explore(machine: type[ReplayMachine], examples: int, *, steps: int = 30, **how: Any) -> None:
    run_state_machine_as_test(
        machine,
        settings=settings(
            max_examples=examples,
            stateful_step_count=steps,
            deadline=None,
            database=None,
            suppress_health_check=list(HealthCheck),
            **how,
        ),
    )


def test_replay_agrees_with_the_lists() -> None:
    ReplayMachine.seen.clear()
    explore(ReplayMachine, 80, derandomize=True)
    rare = "nothing to sample", "late priorities", "priorities"
    often = "blocked", "died", "sampled", "sampled while written", "loaded", "wrapped twice"
    for what in rare + often:
        assert ReplayMachine.seen[what] >= (1 if what in rare else 10), ReplayMachine.seen


@pytest.mark.long
@pytest.mark.timeout(900)
def test_replay_agrees_with_the_lists_for_long() -> None:
    explore(ReplayMachine, 1500, steps=50)


def caught(machine: type[ReplayMachine]) -> None:
    """The rules find what is wrong with this one; nothing is said of how it looks when shrunk."""
    with pytest.raises((AssertionError, pytest.fail.Exception, ReplayDamaged)):
        explore(machine, 200, derandomize=True, phases=[Phase.generate], report_multiple_bugs=False)


@pytest.mark.parametrize(
    "mutant", [TailStays, PassesPins, HeadFirst, HidesTheCut, LegalOfTheRowBefore]
)
def test_a_faulty_writer_is_caught(mutant: type[ShardWriter]) -> None:
    caught(type("Mutant", (ReplayMachine,), {"writer_type": mutant}))


class ForgetsHistory(ReplayReader):
    """Pins the rows it draws, and not the frames before them."""

    def pin(self, min_stamp: int = 0) -> Window:
        window = super().pin(min_stamp)
        self._pins[:] = window.low
        return window


class KeepsOldPins(ReplayReader):
    """Lets the pins of its predecessor stand."""

    def unpin(self) -> None:
        if hasattr(self, "_asked"):
            super().unpin()
        self._asked = True
        self._window = None


class IgnoresStamps(ReplayReader):
    """Draws rows of any age."""

    def pin(self, min_stamp: int = 0) -> Window:
        return super().pin(0)


class _OtherLegal(ReplayReader):
    def sample(self, *args: Any, **kwargs: Any) -> Batch:
        batch = super().sample(*args, **kwargs)
        if batch.legal is not None:
            batch.legal, batch.next_legal = self.swap(batch.legal, batch.next_legal)
        return batch

    def swap(self, legal: Any, next_legal: Any) -> tuple[Any, Any]:
        raise NotImplementedError


class BootstrapsAsNow(_OtherLegal):
    """What could be done in the state is taken for what can be done in the next one."""

    def swap(self, legal: Any, next_legal: Any) -> tuple[Any, Any]:
        return legal, legal


class RewardsAsNext(_OtherLegal):
    """The other way round."""

    def swap(self, legal: Any, next_legal: Any) -> tuple[Any, Any]:
        return next_legal, next_legal


class BootstrapsOneStepOn(ReplayReader):
    """The next mask is that of the next row, however many rows lie before the bootstrap's."""

    def sample(self, *args: Any, **kwargs: Any) -> Batch:
        batch = super().sample(*args, **kwargs)
        legal = self._columns.legal
        if legal is not None:
            of = self.origin(batch)
            batch.next_legal = legal[of.shard, (batch.rows + 1) % legal.shape[1], of.lane]
        return batch


FAULTY_READERS = [
    ForgetsHistory,
    KeepsOldPins,
    IgnoresStamps,
    BootstrapsAsNow,
    RewardsAsNext,
    BootstrapsOneStepOn,
]


@pytest.mark.parametrize("mutant", FAULTY_READERS)
def test_a_faulty_reader_is_caught(
    mutant: type[ReplayReader], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("tuitrain.replay.buffer.ReplayReader", mutant)
    caught(ReplayMachine)


class EntersEarly(TransitionIndex):
    """Offers rows whose future is not committed."""

    def advance(self, low: Any, head: Any) -> Any:
        return super().advance(low, head + 1)


class NeverLeaves(TransitionIndex):
    """Offers rows that the window has left behind."""

    def advance(self, low: Any, head: Any) -> Any:
        return super().advance(0 * low, head)


@pytest.mark.parametrize("mutant", [EntersEarly, NeverLeaves])
def test_a_faulty_index_is_caught(
    mutant: type[TransitionIndex], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(reader_module, "TransitionIndex", mutant)
    caught(ReplayMachine)


class AcceptsLate(Priorities):
    """Gives the priority of a row that is gone to the one that has taken its place."""

    def write(self, drawn: Any, rows: Any, td_error: Any) -> None:
        super().write(drawn, self._row.take(drawn), td_error)


class KeepsWhatLeft(Priorities):
    """Goes on drawing rows that the window has left behind."""

    def move(self, moved: Moved) -> None:
        super().move(moved._replace(left=[]))


@pytest.mark.parametrize("mutant", [AcceptsLate, KeepsWhatLeft])
def test_faulty_priorities_are_caught(
    mutant: type[Priorities], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(reader_module, "Priorities", mutant)
    caught(ReplayMachine)
