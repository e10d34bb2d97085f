"""When checkpoints are due."""

from __future__ import annotations

from tuitrain.supervisor.checkpoint_clock import CheckpointClock


def test_by_time_alone() -> None:
    clock = CheckpointClock(10.0, None, 0.0, 0)
    assert [clock.due(now, 10**9) for now in (9.9, 10.0, 19.9, 20.0)] == [False, True, False, True]


def test_whichever_comes_first_begins_both_anew() -> None:
    clock = CheckpointClock(10.0, 100, 0.0, 1000)
    assert not clock.due(5.0, 1099)
    assert clock.due(6.0, 1150)
    assert not clock.due(15.0, 1249)  # 10 s after 6 s, 100 steps after 1150
    assert clock.due(16.0, 1249)
    assert clock.due(17.0, 1349)


def test_training_that_went_back_counts_from_there() -> None:
    clock = CheckpointClock(1e9, 100, 0.0, 1000)
    assert not clock.due(1.0, 600)
    assert clock.due(2.0, 700)


def test_after_a_failure_it_is_due_soon_and_then_later_and_later() -> None:
    clock = CheckpointClock(60.0, None, 0.0, 0)
    assert clock.due(60.0, 0)
    assert clock.failed(61.0) == 10.0
    assert [clock.due(now, 0) for now in (70.9, 71.0, 72.0)] == [False, True, False]
    assert [clock.failed(100.0) for _ in range(5)] == [20.0, 40.0, 60.0, 60.0, 60.0]
    clock.written()
    assert not clock.due(130.9, 0)  # 60 s after the try at 71 s
    assert clock.due(131.0, 0)
    assert clock.failed(131.0) == 10.0
