"""The gradient of the TD loss, for any network, by torch's autograd.

``mlp_gradient`` does the same by hand for one network. Neither changes a weight.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import NamedTuple, Protocol

import torch
from torch import Tensor, nn

from tuitrain.config.schema import LearnerConfig
from tuitrain.learning import losses
from tuitrain.learning.adam import Adam
from tuitrain.learning.batch import TensorBatch

_STATELESS = (nn.Linear, nn.Conv2d, nn.ReLU, nn.Flatten, nn.Sequential, nn.ModuleList, nn.Identity)


class Seen(NamedTuple):
    """What one batch showed: tensors of its own, which nothing overwrites.

    Attributes:
        loss: scalar.
        q: [B, A] online action values.
        q_taken: [B] values of the actions taken.
        target: [B] what they are moved towards.
    """

    loss: Tensor
    q: Tensor
    q_taken: Tensor
    target: Tensor


class Gradient(Protocol):
    """Writes the mean gradient of some batches to the optimizer it was given."""

    def __call__(self, batches: Sequence[TensorBatch]) -> list[Seen]:
        """Overwrite the gradient; returns what each batch showed."""


class AutogradGradient:
    """For any network.

    Args:
        online: the network that learns, in training mode.
        target: the target network, in evaluation mode.
        config: `double`, `loss` and `huber_delta` count.
        adam: of the parameters that learn; its gradient is written.
    """

    def __init__(
        self,
        online: nn.Module,
        target: nn.Module,
        config: LearnerConfig,
        adam: Adam,
    ) -> None:
        self._online, self._target = online, target
        self._config = config
        self._adam = adam
        # Modules that behave differently in training (normalisation, dropout) must choose and
        # value next actions as they would act; others are spared the walk through the tree.
        self._modal = any(
            not isinstance(m, _STATELESS) and not getattr(m, "stateless", False)
            for m in online.modules()
        )

    def __call__(self, batches: Sequence[TensorBatch]) -> list[Seen]:
        """Overwrite the gradient; returns what each batch showed."""
        self._adam.zero_gradients()
        share = 1.0 / len(batches)
        seen = [self._add(batch, share) for batch in batches]
        self._adam.settle()  # a forward may replace its parameters' memory (to constrain them, say)
        return seen

    def _add(self, batch: TensorBatch, share: float) -> Seen:
        goal = self._goal(batch)
        q = self._online(batch.state)
        q_taken = losses.take_actions(q, batch.action)
        if self._config.loss == "huber":
            loss = losses.huber(q_taken, goal, self._config.huber_delta, batch.weights)
        else:
            loss = losses.mse(q_taken, goal, batch.weights)
        torch.autograd.backward(loss if share == 1.0 else loss * share)
        return Seen(loss.detach(), q.detach(), q_taken.detach(), goal)

    def _goal(self, batch: TensorBatch) -> Tensor:
        with torch.no_grad():
            next_q = self._target(batch.next_state)
            if self._config.double:
                if self._modal:
                    self._online.eval()
                online_next_q = self._online(batch.next_state)
                if self._modal:
                    self._online.train()
                value = losses.double_dqn_next_value(online_next_q, next_q)
            else:
                value = losses.max_next_value(next_q)
            return losses.td_target(batch.returns, batch.discount, value)
