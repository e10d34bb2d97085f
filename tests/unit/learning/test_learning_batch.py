"""Batches drawn together and taken apart are the batches that were drawn."""

from __future__ import annotations

import numpy as np
import torch

from tuitrain.learning.batch import TensorBatch, split


def drawn(rows: int, weights: bool) -> TensorBatch:
    column = torch.arange(rows)
    state = torch.from_numpy(np.random.default_rng(0).random((rows, 1, 4), np.float32))
    return TensorBatch(
        state, state + 1, column, column * 2.0, column * 3.0, column * 4.0 if weights else None
    )


def test_split_keeps_rows_together_and_in_order() -> None:
    whole = drawn(12, weights=True)
    parts = split(whole, 4)
    assert [len(part.action) for part in parts] == [4, 4, 4]
    for name, column in whole._asdict().items():
        assert torch.equal(torch.cat([getattr(part, name) for part in parts]), column)


def test_split_without_weights_copies_nothing() -> None:
    whole = drawn(8, weights=False)
    first, second = split(whole, 4)
    assert first.weights is None
    assert second.state.data_ptr() == whole.state[4:].data_ptr()
