"""The gradient of an objective, for any network, by torch's autograd.

``mlp_gradient`` does the same by hand for one network. Neither changes a weight.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import NamedTuple, Protocol

import torch
from torch import Tensor

from tuitrain.learning.adam import Adam
from tuitrain.learning.batch import TensorBatch
from tuitrain.learning.objectives import Objective


class Seen(NamedTuple):
    """What one batch showed: tensors of its own, which nothing overwrites.

    Attributes:
        loss: scalar.
        q: [B, A] online action values, of every action, legal or not.
        q_taken: [B] values of the actions taken.
        target: [B] what they are moved towards.
        error: [B] what priorities are made of; None is ``target - q_taken``.
    """

    loss: Tensor
    q: Tensor
    q_taken: Tensor
    target: Tensor
    error: Tensor | None = None


class Gradient(Protocol):
    """Writes the mean gradient of some batches to the optimizer it was given."""

    def __call__(self, batches: Sequence[TensorBatch]) -> list[Seen]:
        """Overwrite the gradient; returns what each batch showed."""


class AutogradGradient:
    """For any network and any objective.

    Args:
        objective: what is minimised.
        adam: of the parameters that learn; its gradient is written.
    """

    def __init__(self, objective: Objective, adam: Adam) -> None:
        self._objective = objective
        self._adam = adam

    def __call__(self, batches: Sequence[TensorBatch]) -> list[Seen]:
        """Overwrite the gradient; returns what each batch showed."""
        self._adam.zero_gradients()
        share = 1.0 / len(batches)
        seen = [self._add(batch, share) for batch in batches]
        self._adam.settle()  # a forward may replace its parameters' memory (to constrain them, say)
        return seen

    def _add(self, batch: TensorBatch, share: float) -> Seen:
        judged = self._objective(batch)
        loss = judged.loss.mean() if batch.weights is None else (judged.loss * batch.weights).mean()
        torch.autograd.backward(loss if share == 1.0 else loss * share)
        return Seen(
            loss.detach(), judged.q.detach(), judged.q_taken.detach(), judged.target, judged.error
        )
