"""A sampled batch on its way from replay's numpy arrays to the learner's device, in one place."""

from __future__ import annotations

from typing import Any, NamedTuple, Protocol

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor


class NumpyBatch(Protocol):
    """What ``to_device`` needs of a sampled batch (``replay.buffer.Batch`` has it)."""

    @property
    def state(self) -> NDArray[Any]:
        """[B, n_frames, *observation_shape], observation dtype."""

    @property
    def next_state(self) -> NDArray[Any]:
        """Like `state`: the observation that the bootstrap looks at."""

    @property
    def action(self) -> NDArray[np.int64]:
        """int64 [B]."""

    @property
    def returns(self) -> NDArray[np.float32]:
        """float32 [B], n-step returns."""

    @property
    def discount(self) -> NDArray[np.float32]:
        """float32 [B], gamma**m or 0 after termination."""

    @property
    def legal(self) -> NDArray[np.bool_] | None:
        """bool [B, n_actions], what could be done in the states; None unless masked."""

    @property
    def next_legal(self) -> NDArray[np.bool_] | None:
        """Like `legal`: of the observation that the bootstrap looks at."""


class TensorBatch(NamedTuple):
    """A batch on the learner's device; fields as in ``NumpyBatch``."""

    state: Tensor
    next_state: Tensor
    action: Tensor
    returns: Tensor
    discount: Tensor
    weights: Tensor | None = None
    legal: Tensor | None = None
    next_legal: Tensor | None = None


def to_device(
    batch: NumpyBatch,
    device: str | torch.device,
    weights: NDArray[np.float32] | None = None,
) -> TensorBatch:
    """Move a batch to the learner's device: the only place where this happens.

    On the CPU nothing is copied, so the arrays must stay as they are until the update is done.
    On CUDA they go through pinned memory without waiting; they may be overwritten at once. Strided
    ones (overlapping stacks) are made contiguous first, or the copy would wait.
    """
    device = torch.device(device)
    arrays = (batch.state, batch.next_state, batch.action, batch.returns, batch.discount)
    perhaps = (weights, batch.legal, batch.next_legal)
    return TensorBatch(
        *(_move(array, device) for array in arrays),
        *(None if array is None else _move(array, device) for array in perhaps),
    )


def _move(array: NDArray[Any], device: torch.device) -> Tensor:
    tensor = torch.from_numpy(array)
    if device.type == "cuda":
        return tensor.contiguous().pin_memory().to(device, non_blocking=True)
    return tensor.to(device)  # itself, if it is there


def split(batch: TensorBatch, rows: int) -> list[TensorBatch]:
    """The batches of `rows` rows that `batch` is made of, in order; views, nothing is copied."""
    columns = {
        name: torch.split(column, rows)
        for name, column in batch._asdict().items()
        if column is not None
    }
    return [
        TensorBatch(**dict(zip(columns, parts, strict=True)))
        for parts in zip(*columns.values(), strict=True)
    ]
