"""Every reachable state of small limiters: nobody waits for ever, whoever dies wherever."""

from __future__ import annotations

from dataclasses import replace
from fractions import Fraction

import pytest

from tests.unit.replay.limiter_faults import (
    CountsAfterwards,
    CountsInPlace,
    Eager,
    EndsEarly,
    KeepsReservationsOfTheDead,
    NeverEnds,
    RetiresWithReservation,
    SessionsMixed,
    Unreserved,
)
from tests.unit.replay.limiter_world import Explorer, Setting, rule
from tuitrain.replay.limiter import Limiter
from tuitrain.replay.limiter_rule import LimiterRule

F = Fraction

SHAPES = ((1, 1, 6), (2, 1, 8), (1, 3, 6), (3, 2, 9), (2, 2, 6))
"""Steps of a chunk, actors, steps of the run."""
SETTINGS = [
    Setting((ratio,), starts, chunk, actors, total)
    for ratio in (F(1, 3), F(1), F(3, 2))
    for starts in (0, 1, 3)
    for chunk, actors, total in SHAPES
]
SETTINGS += [
    Setting((F(1),), 2, 2, 2, 8, extra=F(7, 2)),
    Setting((F(1),), 2, 2, 2, 6, base=(9, 7, 5)),
    Setting((F(1), F(2, 3)), 0, 2, 1, 8),
    Setting((F(1, 2), F(1)), 1, 1, 2, 4),
]
DEATHS = [
    Setting((F(1),), 1, 2, 2, 4, deaths=2),
    Setting((F(1, 2),), 0, 1, 2, 3, deaths=2, base=(4, 3, 2)),
    Setting((F(1), F(1, 2)), 1, 1, 2, 2, deaths=1),
]
CHANGES = [
    Setting((F(1, 2),), 1, 1, 2, 5, change=F(2)),
    Setting((F(2),), 1, 2, 1, 6, change=F(1, 3)),
    Setting((F(3, 2),), 0, 1, 2, 3, deaths=1, base=(4, 3, 2), change=F(2, 3)),
]
LONG = [
    Setting((ratio,), starts, chunk, actors, 2 * total)
    for ratio in (F(1, 2), F(2), F(5, 3))
    for starts in (0, 1, 3)
    for chunk, actors, total in SHAPES
]
LONG += [
    Setting((F(2),), 2, 2, 2, 8, deaths=3),
    Setting((F(1),), 2, 2, 3, 8, deaths=1),
    Setting((F(2, 3), F(2)), 2, 2, 2, 6, deaths=1),
    Setting((F(1, 2), F(1)), 1, 1, 3, 3, deaths=1, base=(3, 2, 1)),
    Setting((F(1, 2), F(1)), 2, 2, 2, 8),
]
EVERYTHING = {"reserve", "wait", "write", "commit", "update", "retire"}
EVERY_DEATH = {
    *("die", "die in reserve", "die in commit", "die in update", "die in retire"),
    *("successor", "no successor"),
}


def problems(setting: Setting, **changes: object) -> set[str]:
    explorer = Explorer(setting, **changes)
    explorer.explore(any_problem=True)
    return explorer.problems


@pytest.mark.parametrize("setting", [*SETTINGS, *DEATHS, *CHANGES], ids=str)
def test_no_state_deadlocks_or_leaves_the_band(setting: Setting) -> None:
    explorer = Explorer(setting)
    states = explorer.explore()
    assert explorer.problems == set()
    assert states > setting.total
    assert explorer.seen >= EVERYTHING - {"wait"}
    assert explorer.seen >= EVERY_DEATH or not setting.deaths
    assert not setting.change or explorer.seen >= {"change"}
    assert not (setting.change and setting.deaths) or explorer.seen >= {"die in change"}


@pytest.mark.long
@pytest.mark.parametrize("setting", LONG, ids=str)
def test_no_state_of_larger_ones_either(setting: Setting) -> None:
    test_no_state_deadlocks_or_leaves_the_band(setting)


def test_actors_do_wait() -> None:
    explorer = Explorer(Setting((F(1),), 0, 2, 2, 20))
    explorer.explore()
    assert "wait" in explorer.seen


def test_a_band_that_is_too_narrow_is_refused() -> None:
    for ratio, chunks in ((F(1), 4), (F(1, 3), 6), (F(5, 2), 1)):
        rule(ratio, 3, chunks)
        with pytest.raises(ValueError, match="wait for each other for ever"):
            rule(ratio, 3, chunks, extra=F(-1, 100))


@pytest.mark.parametrize("limit", [0, 1, 2])
def test_a_narrower_band_would_deadlock(limit: int) -> None:
    """What the refusal is for; around zero it stops already in warm-up."""
    narrow = rule(F(1), 3, 4)
    object.__setattr__(narrow, "_limit", limit - 2)
    assert "deadlock" in problems(Setting((F(1),), 3, 2, 2, 8), rules=[narrow])


def test_a_learner_that_waits_for_every_policy_would_deadlock() -> None:
    """What it is for that each policy's updates are made as they become due."""
    setting = Setting((F(1), F(1)), 1, 1, 1, 5)
    assert problems(setting) == set()
    assert problems(setting, learner_waits_for_all=True) == {"deadlock"}


# ---- faults ------------------------------------------------------------------------------------


TWO = Setting((F(1),), 0, 1, 3, 7)
DIES = Setting((F(1),), 1, 2, 2, 5, deaths=1)
RESUMED = Setting((F(1),), 2, 2, 2, 6, base=(9, 7, 5))


@pytest.mark.parametrize(
    ("fault", "setting", "problem"),
    [
        (Unreserved(F(1), 0, F(4), 3), TWO, "the actors are ahead by more than the band"),
        (Eager(F(1, 2), 1, F(2), 2), replace(TWO, starts=1, actors=2), "ahead of the data"),
        (CountsInPlace, DIES, "half a count"),
        (CountsAfterwards, DIES, "half a count"),
        (KeepsReservationsOfTheDead, DIES, "a reservation was not returned"),
        (RetiresWithReservation, DIES, "a reservation was not returned"),
        (EndsEarly, TWO, "ended while a chunk is being made"),
        (NeverEnds, DIES, "deadlock"),
        (SessionsMixed, RESUMED, "updates before learning_starts"),
    ],
)
def test_a_fault_is_noticed(
    fault: LimiterRule | type[Limiter], setting: Setting, problem: str
) -> None:
    if isinstance(fault, LimiterRule):
        setting = replace(setting, ratios=(fault.updates_per_insert,))
        found = problems(setting, rules=[fault])
    else:
        found = problems(setting, kind=fault)
    assert any(problem in one for one in found), found
