"""Batches drawn together and taken apart are the batches that were drawn."""

from __future__ import annotations

from types import SimpleNamespace

import numpy as np
import pytest
import torch

from tuitrain.learning.batch import TensorBatch, split, to_device


def drawn(rows: int, weights: bool, masked: bool = False) -> TensorBatch:
    column = torch.arange(rows)
    state = torch.from_numpy(np.random.default_rng(0).random((rows, 1, 4), np.float32))
    legal = torch.from_numpy(np.random.default_rng(1).random((rows, 3)) < 0.5) if masked else None
    return TensorBatch(
        state,
        state + 1,
        column,
        column * 2.0,
        column * 3.0,
        column * 4.0 if weights else None,
        legal,
        None if legal is None else ~legal,
    )


@pytest.mark.parametrize("weights", [False, True])
@pytest.mark.parametrize("masked", [False, True])
def test_split_keeps_rows_together_and_in_order(weights: bool, masked: bool) -> None:
    whole = drawn(12, weights, masked)
    parts = split(whole, 4)
    assert [len(part.action) for part in parts] == [4, 4, 4]
    for name, column in whole._asdict().items():
        of_parts = [getattr(part, name) for part in parts]
        if column is None:
            assert of_parts == [None] * 3, name
        else:
            assert torch.equal(torch.cat(of_parts), column), name


def test_split_without_weights_copies_nothing() -> None:
    whole = drawn(8, weights=False)
    first, second = split(whole, 4)
    assert first.weights is None
    assert second.state.data_ptr() == whole.state[4:].data_ptr()


@pytest.mark.parametrize("weights", [False, True])
@pytest.mark.parametrize("masked", [False, True])
def test_every_column_moves_to_the_place_of_its_name(weights: bool, masked: bool) -> None:
    whole = drawn(6, weights, masked)
    arrays = {name: None if c is None else c.numpy() for name, c in whole._asdict().items()}
    given = arrays.pop("weights")
    moved = to_device(SimpleNamespace(**arrays), "cpu", given)
    for name, column in whole._asdict().items():
        found = getattr(moved, name)
        assert (found is None) == (column is None), name
        assert column is None or torch.equal(found, column), name
