"""What episodes begin with: tables put together, and the test whether two are of the same kind."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np
import pytest

from tuitrain.replay.entries import pooled, some
from tuitrain.replay.first_seen import (
    ENTRIES,
    LEAST,
    NOTHING,
    difference_p,
    table_of,
    together,
)

Draw = Callable[[np.random.Generator, int], np.ndarray]

SURE = 1e-6


def cartpole(rng: np.random.Generator, n: int) -> np.ndarray:
    return rng.uniform(-0.05, 0.05, (n, 4)).astype(np.float32)


def maps(rng: np.random.Generator, n: int) -> np.ndarray:
    """Pictures most of whose pixels are nearly always dark."""
    return (rng.random((n, 9, 9)) < 0.002).astype(np.uint8) * 255


def heavy(rng: np.random.Generator, n: int) -> np.ndarray:
    return rng.standard_cauchy((n, 3)).astype(np.float32)


def fixed(rng: np.random.Generator, n: int) -> np.ndarray:
    return np.full((n, 5), 0.1, np.float32)


ALL: list[Draw] = [cartpole, maps, heavy, fixed]


@pytest.mark.parametrize("draw", ALL)
@pytest.mark.parametrize(("here", "there"), [(5, 5), (10, 2_000), (300, 2_000), (500, 20)])
def test_the_same_kind_is_never_taken_for_another(draw: Draw, here: int, there: int) -> None:
    rng = np.random.default_rng(here + there)
    found = [difference_p(table_of(draw(rng, here)), table_of(draw(rng, there))) for _ in range(60)]
    assert min(p for p in found if p is not None) > 1e-3


@pytest.mark.parametrize("here", [20, 200])
def test_another_kind_is(here: int) -> None:
    rng = np.random.default_rng(0)
    there = table_of(cartpole(rng, 500))
    elsewhere = cartpole(rng, here) + np.float32([0, 0.3, 0, 0])
    assert difference_p(table_of(elsewhere), there) < SURE
    assert difference_p(there, table_of(elsewhere)) < SURE
    constant = table_of(fixed(rng, 500))
    assert difference_p(constant, table_of(fixed(rng, here) + np.float32(0.5))) < SURE


def test_so_is_one_that_only_spreads_less() -> None:
    rng = np.random.default_rng(0)
    still = np.zeros((200, 4), np.float32)
    assert difference_p(table_of(still), table_of(cartpole(rng, 500))) < SURE


def test_few_episodes_say_nothing() -> None:
    rng = np.random.default_rng(0)
    many, few = table_of(cartpole(rng, 100)), table_of(cartpole(rng, LEAST - 1) + 9)
    assert difference_p(many, few) is None
    assert difference_p(few, many) is None
    assert difference_p(NOTHING, many) is None


def test_rounding_is_no_difference() -> None:
    rng = np.random.default_rng(0)
    nearly = fixed(rng, 100) * np.float32(1 + 1e-6)
    assert difference_p(table_of(fixed(rng, 100)), table_of(nearly)) == 1.0


def test_tables_put_together_are_the_table_of_all() -> None:
    rng = np.random.default_rng(0)
    parts = [maps(rng, n) for n in (3, 0, 40, 1)]
    whole = together([NOTHING, *(table_of(part) for part in parts)])
    np.testing.assert_allclose(whole, table_of(np.concatenate(parts)), rtol=1e-12, atol=1e-9)
    assert not NOTHING.any()


# ---- some numbers of large observations ----------------------------------------------------------


@pytest.mark.parametrize("shape", [(84, 84), (210, 160, 3), (4,), (33,), (1,), (1025,)])
@pytest.mark.parametrize("most", [ENTRIES, 512])
def test_entries_are_few_and_from_everywhere(shape: tuple[int, ...], most: int) -> None:
    seen = np.arange(np.prod(shape)).reshape(1, *shape)
    (found,) = some(seen, most)
    assert 0 < len(found) <= most
    if seen.size <= most:
        assert found.tolist() == list(range(seen.size))
    elif len(shape) > 1:
        columns = found % shape[-1]
        assert len(set(columns.tolist())) == min(shape[-1], len(found))


def test_pooled_are_sums_of_neighbours() -> None:
    seen = np.full((2, 5, 5), 200, np.uint8)
    assert pooled(seen, 25).shape == (2, 25)
    assert pooled(seen, 8).tolist() == [[800.0] * 6] * 2
    assert pooled(seen[:0], 8).shape == (0, 6)


@pytest.mark.parametrize("dtype", [np.uint8, np.int8, np.bool_, np.uint16, np.float32])
def test_pooled_sums_are_the_same_of_every_kind(dtype: Any) -> None:
    seen = np.random.default_rng(0).integers(0, 2, (3, 5, 7)).astype(dtype) * dtype(100)
    wanted = [row.astype(np.float64).reshape(-1)[:33].reshape(11, 3).sum(1) for row in seen]
    assert pooled(seen, 16).tolist() == np.array(wanted).tolist()
