"""The test whether actions matter: it finds every kind of effect, and none that is not there."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np
import pytest

from tuitrain.workers.acting.effects import (
    ENOUGH_ROWS,
    FIRST_ROWS,
    LEAST_NUMBERS,
    MOST_ROWS,
    ActionEffect,
)

Rows = tuple[Any, Any, Any, Any]
Make = Callable[[np.random.Generator, np.ndarray[Any, Any]], Rows]
"""From actions [n] to what was seen before and after, reward and end."""

CERTAIN = 1e-9


def around(rng: np.random.Generator, places: int, n: int) -> tuple[Any, Any]:
    """Players at places of a ring: where they are, and the places as pictures."""
    return rng.integers(0, places, n), np.eye(places, dtype=np.uint8)


def moves(rng: np.random.Generator, action: Any) -> Rows:
    place, pictures = around(rng, 20, len(action))
    none = np.zeros(len(action))
    return pictures[place], pictures[(place + action - 1) % 20], none, none


def pushes(rng: np.random.Generator, action: Any) -> Rows:
    before = rng.normal(size=(len(action), 4)).astype(np.float32)
    after = before + rng.normal(size=before.shape)
    after[:, 2] += action - 1
    return before, after, np.ones(len(action)), np.zeros(len(action))


def shakes(rng: np.random.Generator, action: Any) -> Rows:
    before = rng.normal(size=(len(action), 4)).astype(np.float32)
    after = before + rng.normal(size=before.shape) * (1 + action[:, None])
    return before, after, np.ones(len(action)), np.zeros(len(action))


def pays(rng: np.random.Generator, action: Any) -> Rows:
    nothing = np.zeros((len(action), 1), np.float32)
    return nothing, nothing, rng.random(len(action)) < 0.1 * action, np.zeros(len(action))


def answers(rng: np.random.Generator, action: Any) -> Rows:
    asked, pictures = around(rng, 3, len(action))
    after = pictures[rng.integers(0, 3, len(action))]
    return pictures[asked], after, asked == action, np.zeros(len(action))


def ends(rng: np.random.Generator, action: Any) -> Rows:
    nothing = np.zeros((len(action), 1), np.float32)
    return nothing, nothing, np.zeros(len(action)), rng.random(len(action)) < 0.05 * action


def bets(rng: np.random.Generator, action: Any) -> Rows:
    before = rng.normal(size=(len(action), 2)).cumsum(0)
    change = rng.normal(size=before.shape)
    return before, before + change, change[:, 0] * (action - 1), np.zeros(len(action))


EFFECTS: list[Make] = [moves, pushes, shakes, pays, answers, ends, bets]


def p_of(effect: ActionEffect) -> float:
    found = effect.p_value()
    assert found is not None
    return found


def effect_on(n_actions: int, size: int) -> ActionEffect:
    return ActionEffect(n_actions, np.arange(size)[:, None])


def follow(
    effect: ActionEffect, before: Any, after: Any, action: Any, outcome: Any, legal: Any = None
) -> None:
    """Episodes that are over after the next row."""
    outcome = np.stack([outcome[:, 0], 0 * outcome[:, 0], outcome[:, 1], 0 * outcome[:, 1]], 1)
    effect.add(before, after, after, action, outcome, legal)


def told(make: Make, seed: int, shuffled: bool, rows: int = 7_000, at_once: int = 700) -> float:
    rng = np.random.default_rng(seed)
    effect: ActionEffect | None = None
    for _ in range(-(-rows // at_once)):
        action = rng.integers(0, 3, at_once)
        done = rng.integers(0, 3, at_once) if shuffled else action
        before, after, reward, end = make(rng, done)
        effect = effect or effect_on(3, before.shape[1])
        follow(effect, before, after, action, np.stack([reward, end], 1))
    assert effect is not None
    return p_of(effect)


@pytest.mark.parametrize("make", EFFECTS)
def test_an_effect_is_found(make: Make) -> None:
    assert told(make, 1, shuffled=False) < CERTAIN


@pytest.mark.parametrize("make", EFFECTS)
def test_shuffled_actions_have_none(make: Make) -> None:
    assert min(told(make, seed, shuffled=True, rows=4_000) for seed in range(5)) > 0.01


def test_rare_and_enormous_numbers_prove_nothing() -> None:
    """One reward in a thousand rows belongs to some action; so does one that is a million."""
    rng = np.random.default_rng(0)
    for number in range(8):
        effect = effect_on(18, 6)
        action = rng.integers(0, 18, 18_001)
        before, after = rng.standard_cauchy((2, 18_001, 6))
        reward = np.zeros((18_001, 2))
        reward[rng.integers(0, 18_001, 3), 0] = 100.0**number
        follow(effect, before, after, action, reward)
        assert p_of(effect) > 0.01


def test_what_follows_upon_what_went_before_proves_nothing() -> None:
    """Rows of one long walk, which all resemble their neighbours."""
    rng = np.random.default_rng(0)
    for _ in range(10):
        walk = rng.normal(size=(5_001, 3)).cumsum(0).cumsum(0)
        effect = effect_on(2, 3)
        outcome = np.stack([walk[1:, 0], walk[1:, 1] > 0], 1)
        follow(effect, walk[:-1], walk[1:], rng.integers(0, 2, 5_000), outcome)
        assert p_of(effect) > 0.01


def masked_rows(rng: np.random.Generator, n: int, matters: bool) -> float:
    """Which actions are legal depends on what is seen, and what is seen says what follows."""
    effect = effect_on(4, 4)
    seen = rng.integers(0, 4, n)
    legal = np.ones((n, 4), np.bool_)
    legal[np.arange(n), seen] = False
    legal[np.arange(n), (seen + 1) % 4] = False
    action = (legal * rng.random((n, 4))).argmax(1)
    follows = (seen + (action if matters else rng.integers(0, 4, n))) % 4
    pictures = np.eye(4)
    follow(effect, pictures[seen], pictures[follows], action, np.zeros((n, 2)), legal)
    return p_of(effect)


def test_masks_are_no_effect_and_hide_none() -> None:
    rng = np.random.default_rng(0)
    assert masked_rows(rng, 4_000, matters=True) < CERTAIN
    assert min(masked_rows(rng, 4_000, matters=False) for _ in range(5)) > 0.01


def test_nothing_is_said_before_an_effect_would_have_shown() -> None:
    effect = effect_on(2, 8)
    assert (effect.rows, effect.p_value()) == (0, None)
    part = np.zeros((FIRST_ROWS - 1, 8))
    follow(effect, part, part, np.zeros(len(part), np.int64), part[:, :2])
    assert (effect.rows, effect.p_value()) == (0, None)
    follow(effect, part[:1], part[:1], np.zeros(1, np.int64), part[:1, :2])
    assert (effect.rows, effect.p_value()) == (FIRST_ROWS, None)
    while effect.p_value() is None:
        follow(effect, part, part, np.zeros(len(part), np.int64), part[:, :2])
    assert (
        ENOUGH_ROWS * 2 * LEAST_NUMBERS <= effect.rows < ENOUGH_ROWS * 2 * LEAST_NUMBERS + len(part)
    )
    assert effect.p_value() == 1.0


def test_what_is_wanted_of_pictures_comes_within_a_minute() -> None:
    """Epsilon falls: of 400 numbers and 6 actions there will never be 96,000 random ones."""
    assert effect_on(6, 400).wanted < 10_000
    assert ActionEffect(18, np.zeros((504, 2)), 84 * 84).wanted == MOST_ROWS


def slid(picture: Any, by: Any) -> Any:
    """Each picture [n, 10, 10, 4] with its first channel moved so far to the right."""
    out = picture.copy()
    columns = (np.arange(10) - by[:, None]) % 10
    out[..., 0] = np.take_along_axis(picture[..., 0], columns[:, None, :], 2)
    return out


def test_a_small_thing_that_moves_in_a_busy_picture_is_found_early() -> None:
    """A player among clutter: its pixels alone, or random sums of all, need many times more."""
    rng = np.random.default_rng(0)
    places = np.indices((10, 10, 4)).reshape(3, -1).T
    for shuffled in (False, True):
        effect = ActionEffect(6, places)
        while effect.rows < 3_000:
            before, clutter = (rng.random((2, 500, 10, 10, 4)) < 0.005).astype(np.uint8)
            before[..., 0] = 0
            before[np.arange(500), rng.integers(0, 10, 500), rng.integers(2, 8, 500), 0] = 1
            action, done = rng.integers(0, 6, (2, 500))
            after = slid(before, (done if shuffled else action) % 3 - 1)
            after[..., 1:] = clutter[..., 1:]
            before, after = before.reshape(500, 400), after.reshape(500, 400)
            follow(effect, before, after, action, np.zeros((500, 2)))
        effect.wanted = 0
        assert p_of(effect) > 0.01 if shuffled else p_of(effect) < CERTAIN


def test_going_nowhere_is_an_effect() -> None:
    """Most actions change something, wherever one is; two hardly ever do (pick up, put down)."""
    rng = np.random.default_rng(0)
    effect = ActionEffect(6, np.zeros((500, 1)))
    state, action = rng.integers(0, 500, 1_000), rng.integers(0, 6, 1_000)
    becomes = np.where(action < 4, rng.integers(0, 500, 1_000), state)
    pictures = np.eye(500, dtype=np.uint8)
    follow(effect, pictures[state], pictures[becomes], action, np.zeros((1_000, 2)))
    assert p_of(effect) < CERTAIN


@pytest.mark.parametrize("shown_by", ["observation", "reward"])
def test_an_effect_that_shows_one_row_later_is_found(shown_by: str) -> None:
    rng = np.random.default_rng(0)
    effect = effect_on(3, 2)
    before, after, later = rng.normal(size=(3, 3_000, 2))
    action, outcome = rng.integers(0, 3, 3_000), np.zeros((3_000, 4))
    if shown_by == "reward":
        outcome[:, 1] = action == 2
    else:
        later[:, 0] += action
    effect.add(before, after, later, action, outcome)
    assert p_of(effect) < CERTAIN


def guesses(rows: int, *, shown: bool, shuffled: bool = False, seed: int = 0) -> float:
    """Something goes round a ring, which way it must be told; only two frames say it."""
    rng = np.random.default_rng(seed)
    effect, pictures = effect_on(2, 9), np.eye(9)
    way, place, action, done = rng.integers(0, [[2], [9], [2], [2]], (4, rows))
    right = way == (done if shuffled else action)
    outcome = np.zeros((rows, 4))
    outcome[:, 0] = right
    frames = [pictures[(place + k * (2 * way - 1)) % 9] for k in (-1, 0, 1, 2)]
    effect.add(*frames[1:], action, outcome, previous=frames[0] if shown else None)
    return p_of(effect)


def test_an_effect_that_only_two_frames_tell_is_found() -> None:
    assert guesses(2_000, shown=True) < CERTAIN
    assert guesses(2_000, shown=False) > 0.01, "nor could any policy find it"
    assert min(guesses(2_000, shown=True, shuffled=True, seed=n) for n in range(8)) > 0.01
