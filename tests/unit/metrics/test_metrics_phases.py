"""What a worker does right now, as others see it."""

from __future__ import annotations

import numpy as np
import pytest

from tuitrain.metrics.phases import Phases, stay


def test_the_current_phase_is_in_the_word_shown() -> None:
    words = np.zeros(3, np.int64)
    phases = Phases()
    phases.enter("save")
    phases.show_in(words[1:2].data)
    assert stay(int(words[1])).phase == "save"  # also what was entered before
    for phase in ("act", "env step", "commit"):
        phases.enter(phase)
        assert stay(int(words[1])).phase == phase
    assert words[[0, 2]].tolist() == [0, 0]


def test_a_word_that_nobody_has_written_says_start() -> None:
    assert stay(0) == ("start", 0)


def test_every_stay_is_told_from_every_other() -> None:
    word = np.zeros(1, np.int64)
    phases = Phases()
    phases.show_in(word.data)
    stays = set()
    for _ in range(3):
        phases.enter("env step")
        phases.read()  # a heartbeat is no change of phase
        stays.add(stay(int(word[0])))
    assert len(stays) == 3


def test_to_enter_returns_what_to_come_back_to() -> None:
    phases = Phases()
    phases.enter("update")
    before = phases.enter("wait")
    assert before == "update"
    assert phases.enter(before) == "wait"


def test_seconds_of_all_phases_sum_up_to_wall_time() -> None:
    phases = Phases()
    begun = phases._since
    phases.enter("act")
    phases.enter("wait")
    told = phases.read()
    assert set(told) == {"start", "act", "wait"}
    assert sum(told.values()) == pytest.approx(phases._since - begun)
