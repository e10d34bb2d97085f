"""Whether resets leave something as it was: incomplete ones are told from chance."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest

from tuitrain.workers.acting.kept import Kept

RESETS = 400


def share(begun: Any, ended: Any, anew: Any, at_once: int = 7) -> float:
    kept = Kept()
    for at in range(0, len(anew), at_once):
        some = slice(at, at + at_once)
        kept.add(begun[some], ended[some], anew[some])
    assert kept.resets == len(anew) - 1
    return kept.share()


def draws(rng: np.random.Generator, values: int) -> Any:
    """Beginnings and ends of episodes, and beginnings of the next; 0 values is any number."""
    shape = 3, RESETS, 6
    return rng.integers(0, values, shape) if values else rng.normal(size=shape)


@pytest.mark.parametrize("values", [0, 2, 10, 50])
def test_resets_that_reset_everything(values: int) -> None:
    for seed in range(20):
        assert share(*draws(np.random.default_rng(seed), values)) == 0.0


@pytest.mark.parametrize("values", [0, 50])
def test_a_number_that_every_reset_keeps(values: int) -> None:
    begun, ended, anew = draws(np.random.default_rng(0), values)
    anew[:, 3] = ended[:, 3]
    assert share(begun, ended, anew) > 0.85


def test_one_reset_in_five_that_resets_nothing() -> None:
    begun, ended, anew = draws(np.random.default_rng(0), 0)
    anew[::5] = ended[::5]
    assert 0.19 < share(begun, ended, anew) < 0.21


def test_a_player_who_is_left_anywhere() -> None:
    """No single number is left often: each of a hundred places is one."""
    rng, places = np.random.default_rng(0), np.eye(100)
    begun, ended, anew = rng.integers(0, 100, (3, RESETS))
    assert share(places[begun], places[ended], places[anew]) == 0.0
    assert share(places[begun], places[ended], places[ended]) > 0.9


def test_what_belongs_to_an_environment_is_not_kept_by_its_resets() -> None:
    """Four environments, each with a place of its own where all of its episodes begin."""
    begun, ended, anew = draws(np.random.default_rng(0), 0)
    begun[:, 2] = ended[:, 2] = anew[:, 2] = np.arange(RESETS) % 4
    begun[:] = anew[:] = (np.arange(RESETS) % 4)[:, None]
    ended[::3] = begun[::3]
    assert share(begun, ended, anew) == 0.0


def test_few_are_no_proof() -> None:
    begun, ended, anew = draws(np.random.default_rng(0), 0)
    anew[::50] = ended[::50]
    assert share(begun, ended, anew) == 0.0
