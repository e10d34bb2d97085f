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


def told(make: Make, seed: int, shuffled: bool, rows: int = 7_000, at_once: int = 700) -> float:
    rng = np.random.default_rng(seed)
    effect = ActionEffect(3)
    for _ in range(-(-rows // at_once)):
        action = rng.integers(0, 3, at_once)
        done = rng.integers(0, 3, at_once) if shuffled else action
        before, after, reward, end = make(rng, done)
        effect.add(before, after, action, np.stack([reward, end], 1))
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
        effect = ActionEffect(18)
        action = rng.integers(0, 18, 18_001)
        before, after = rng.standard_cauchy((2, 18_001, 6))
        reward = np.zeros((18_001, 2))
        reward[rng.integers(0, 18_001, 3), 0] = 100.0**number
        effect.add(before, after, action, reward)
        assert p_of(effect) > 0.01


def test_what_follows_upon_what_went_before_proves_nothing() -> None:
    """Rows of one long walk, which all resemble their neighbours."""
    rng = np.random.default_rng(0)
    for _ in range(10):
        walk = rng.normal(size=(5_001, 3)).cumsum(0).cumsum(0)
        effect = ActionEffect(2)
        outcome = np.stack([walk[1:, 0], walk[1:, 1] > 0], 1)
        effect.add(walk[:-1], walk[1:], rng.integers(0, 2, 5_000), outcome)
        assert p_of(effect) > 0.01


def masked_rows(rng: np.random.Generator, n: int, matters: bool) -> float:
    """Which actions are legal depends on what is seen, and what is seen says what follows."""
    effect = ActionEffect(4)
    seen = rng.integers(0, 4, n)
    legal = np.ones((n, 4), np.bool_)
    legal[np.arange(n), seen] = False
    legal[np.arange(n), (seen + 1) % 4] = False
    action = (legal * rng.random((n, 4))).argmax(1)
    follows = (seen + (action if matters else rng.integers(0, 4, n))) % 4
    pictures = np.eye(4)
    effect.add(pictures[seen], pictures[follows], action, np.zeros((n, 2)), legal)
    return p_of(effect)


def test_masks_are_no_effect_and_hide_none() -> None:
    rng = np.random.default_rng(0)
    assert masked_rows(rng, 4_000, matters=True) < CERTAIN
    assert min(masked_rows(rng, 4_000, matters=False) for _ in range(5)) > 0.01


def test_nothing_is_said_before_an_effect_would_have_shown() -> None:
    effect = ActionEffect(2)
    assert (effect.rows, effect.p_value()) == (0, None)
    part = np.zeros((FIRST_ROWS - 1, 8))
    effect.add(part, part, np.zeros(len(part), np.int64), part[:, :2])
    assert (effect.rows, effect.p_value()) == (0, None)
    effect.add(part[:1], part[:1], np.zeros(1, np.int64), part[:1, :2])
    assert (effect.rows, effect.p_value()) == (FIRST_ROWS, None)
    while effect.p_value() is None:
        effect.add(part, part, np.zeros(len(part), np.int64), part[:, :2])
    assert (
        ENOUGH_ROWS * 2 * LEAST_NUMBERS <= effect.rows < ENOUGH_ROWS * 2 * LEAST_NUMBERS + len(part)
    )
    assert effect.p_value() == 1.0
