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


class TensorBatch(NamedTuple):
    """A batch on the learner's device; fields as in ``NumpyBatch``."""

    state: Tensor
    next_state: Tensor
    action: Tensor
    returns: Tensor
    discount: Tensor
    weights: Tensor | None = None


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
    arrays = [batch.state, batch.next_state, batch.action, batch.returns, batch.discount]
    if weights is not None:
        arrays.append(weights)
    tensors = [torch.from_numpy(array) for array in arrays]
    if device.type == "cuda":
        tensors = [
            tensor.contiguous().pin_memory().to(device, non_blocking=True) for tensor in tensors
        ]
    elif device.type != "cpu":
        tensors = [tensor.to(device) for tensor in tensors]
    return TensorBatch(*tensors)


def split(batch: TensorBatch, rows: int) -> list[TensorBatch]:
    """The batches of `rows` rows that `batch` is made of, in order; views, nothing is copied."""
    columns = [torch.split(column, rows) for column in batch if column is not None]
    return [TensorBatch(*parts) for parts in zip(*columns, strict=True)]
