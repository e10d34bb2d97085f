"""The TD gradient of several MLPs of one architecture at once: `mlp_gradient` with a policy axis.

What several small networks cost is mostly the number of operations, and a product of a stack of
matrices is one operation. Row p of everything is what policy p has, and nothing ever mixes rows.
The result is that of ``MlpGradient`` for each policy by itself, up to rounding (tests compare).
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import NamedTuple

import torch
from torch import Tensor, nn

from tuitrain.config.learner import LearnerConfig
from tuitrain.learning.batch import TensorBatch
from tuitrain.learning.bodies import Dense, Mlp
from tuitrain.learning.distributions import QNetwork
from tuitrain.learning.losses import only_legal
from tuitrain.learning.mlp_gradient import threshold_backward


class StackedSeen(NamedTuple):
    """What one batch of each policy showed. P policies, B transitions, A actions.

    Attributes:
        loss: [P].
        q: [P, B, A] online action values; memory that the next batch overwrites.
        q_taken: [P, B].
        target: [P, B].
    """

    loss: Tensor
    q: Tensor
    q_taken: Tensor
    target: Tensor


class StackedMlpGradient:
    """For networks that each would have an ``MlpGradient``.

    Args:
        like: one of the networks: architecture and input scale are read from it.
        online, target: by parameter name, [P, *shape] of all networks.
        gradients: of the same form; where gradients go.
        config: `double`, `loss` and `huber_delta` count.
    """

    def __init__(
        self,
        like: nn.Module,
        online: Mapping[str, Tensor],
        target: Mapping[str, Tensor],
        gradients: Mapping[str, Tensor],
        config: LearnerConfig,
    ) -> None:
        assert isinstance(like, QNetwork)
        assert isinstance(like.body, Mlp)
        self._scale = like.input_scale
        self._double = config.double
        self._delta = config.huber_delta if config.loss == "huber" else None
        names = {id(parameter): name for name, parameter in like.named_parameters()}
        self._online = _Network(like.body, names, online, gradients)
        self._target = _Network(like.body, names, target, {})
        self._shape = torch.Size()

    def __call__(self, batch: TensorBatch, share: float, add: bool) -> StackedSeen:
        """Write `share` times the gradient of one batch of each policy, [P, B, ...] each column.

        Args:
            add: add to the gradient that is there, instead of replacing it.
        """
        shape = batch.state.shape
        if shape != self._shape:
            self._resize(shape)
        rows = shape[1]
        for own, given in zip(self._unflattened, batch[:2], strict=True):
            own.copy_(given)
            if given.dtype == torch.uint8:
                own.div_(self._scale)
        next_q = self._target.forward(self._next_state)
        online_q = self._online.forward(self._input)
        if self._double:
            best = only_legal(online_q[:, rows:], batch.next_legal).argmax(2)
            next_value = next_q.take(best.add_(self._first_of_row))
        else:
            next_value = only_legal(next_q, batch.next_legal).amax(2)
        target = torch.addcmul(batch.returns, batch.discount, next_value)
        q = online_q[:, :rows].contiguous()
        taken = batch.action + self._first_of_row
        q_taken = q.take(taken)
        loss, slope = _losses(q_taken, target, self._delta, batch.weights)
        if share != 1.0:
            slope *= share
        self._online.backward(self._state, taken, slope, add)
        return StackedSeen(loss, q, q_taken, target)

    def _resize(self, shape: torch.Size) -> None:
        self._shape, (policies, rows) = shape, shape[:2]
        both = torch.empty(policies, 2 * rows, *shape[2:])
        self._unflattened = both[:, :rows], both[:, rows:]
        flat = both.flatten(2)
        self._state, self._next_state = flat[:, :rows], flat[:, rows:]
        self._input = flat if self._double else self._state
        self._online.resize(policies, self._input.shape[1], rows)
        self._target.resize(policies, rows, 0)
        places = torch.arange(policies * rows) * self._target.n_actions
        self._first_of_row = places.view(policies, rows)


def _losses(
    q_taken: Tensor, target: Tensor, delta: float | None, weights: Tensor | None
) -> tuple[Tensor, Tensor]:
    """Mean loss of each policy, [P], and its slope with respect to `q_taken` [P, B]."""
    error = q_taken - target
    slope = error if delta is None else error.clamp(-delta, delta)
    height = torch.sub(error, slope, alpha=0.5)
    slope = slope * (1.0 / error.shape[1])
    if weights is not None:
        slope *= weights
    return (slope * height).sum(1), slope


class _Network:
    """``Mlp``s: trunk, then advantage and, if they are dueling, value."""

    def __init__(
        self,
        like: Mlp,
        names: Mapping[int, str],
        values: Mapping[str, Tensor],
        gradients: Mapping[str, Tensor],
    ) -> None:
        def layers(dense: Dense, relu_last: bool) -> _Layers:
            found = [
                (names[id(layer.weight)], names[id(layer.bias)])
                for layer in dense.children()
                if isinstance(layer, nn.Linear)
            ]
            return _Layers(found, relu_last, values, gradients)

        self._trunk = layers(like.trunk, True)
        self._advantage = layers(like.heads.advantage, False)
        value = like.heads.value
        self._value = None if value is None else layers(value, False)
        self.n_actions = self._advantage.width

    def resize(self, policies: int, rows: int, backward_rows: int) -> None:
        """Allocate for forwards of `rows` rows and backwards of the first `backward_rows`."""
        for layers in (self._trunk, self._advantage, self._value):
            if layers is not None:
                layers.resize(policies, rows, backward_rows)
        self._slope_q = torch.empty(policies, backward_rows, self.n_actions)
        self._slope_features = torch.empty(policies, backward_rows, self._advantage.n_inputs)

    def forward(self, x: Tensor) -> Tensor:
        """Action values [P, rows, A], in memory that the next forward overwrites."""
        self._features = self._trunk.forward(x)
        q = self._advantage.forward(self._features)
        if self._value is not None:
            mean = q.mean(2, keepdim=True)
            q += self._value.forward(self._features)
            q -= mean
        return q

    def backward(self, x: Tensor, taken: Tensor, slope: Tensor, add: bool) -> None:
        """The gradient of losses that depend on the values of the actions taken.

        Args:
            x: the first rows of the last forward's input, [P, B, n].
            taken: int64 [P, B], places of these values among all [P, B, A].
            slope: of the losses, with respect to these values, [P, B].
        """
        features = self._features[:, : x.shape[1]]
        below = self._slope_features if self._trunk else None
        column = slope.unsqueeze(2)
        slope_q = self._slope_q
        if self._value is None:
            slope_q.zero_().put_(taken, slope)
        else:  # through the mean to every advantage
            slope_q.copy_(column * (-1.0 / self.n_actions)).put_(taken, slope, accumulate=True)
        self._advantage.backward(features, slope_q, add, below, False)
        if self._value is not None:
            self._value.backward(features, column, add, below, True)
        if below is not None:
            self._trunk.backward(x, below, add, None, False)


class _Layers:
    """Layers of all policies, y = relu(x @ weight.T + bias), with memory for outputs and slopes.

    Args:
        names: of each layer's weight and bias.
        relu_last: whether the last layer has a ReLU.
        values, gradients: by name, [P, *shape]; no gradients if there are none to compute.
    """

    def __init__(
        self,
        names: Sequence[tuple[str, str]],
        relu_last: bool,
        values: Mapping[str, Tensor],
        gradients: Mapping[str, Tensor],
    ) -> None:
        self._weights = [values[weight] for weight, _ in names]
        self._transposed = [weight.transpose(1, 2) for weight in self._weights]
        self._biases = [values[bias].unsqueeze(1) for _, bias in names]
        self._gradients = [
            (gradients[weight], gradients[bias]) for weight, bias in names if gradients
        ]
        self._relu = [relu_last or i < len(names) - 1 for i in range(len(names))]

    def __bool__(self) -> bool:
        return bool(self._weights)

    @property
    def width(self) -> int:
        """Outputs of the last layer."""
        return self._weights[-1].shape[1]

    @property
    def n_inputs(self) -> int:
        """Inputs of the first layer."""
        return self._weights[0].shape[2]

    def resize(self, policies: int, rows: int, backward_rows: int) -> None:
        """As in ``_Network``."""
        widths = [weight.shape[1] for weight in self._weights]
        self._outputs = [torch.empty(policies, rows, width) for width in widths]
        self._kept = [output[:, :backward_rows] for output in self._outputs]
        self._slopes = [torch.empty(policies, backward_rows, width) for width in widths]
        # A product is one operation only if its result is contiguous, and a gradient is not: the
        # other parameters of its policy lie before those of the next. So it is copied there.
        self._products = [torch.empty(weight.shape) for weight in self._weights]

    def forward(self, x: Tensor) -> Tensor:
        """[P, rows, n_inputs] -> [P, rows, width], in own memory; without layers, x itself."""
        for bias, weight, relu, out in zip(
            self._biases, self._transposed, self._relu, self._outputs, strict=True
        ):
            torch.baddbmm(bias, x, weight, out=out)
            if relu:
                out.relu_()
            x = out
        return x

    def backward(
        self, x: Tensor, slope: Tensor, add: bool, below: Tensor | None, add_below: bool
    ) -> None:
        """Gradients of weights and biases, and the slope with respect to the input.

        Args:
            x: the input of the last forward, its first rows.
            slope: with respect to the output; overwritten if the last layer has a ReLU.
            add: add to the gradients instead of replacing them.
            below: [P, rows, n_inputs], where the slope with respect to `x` goes; None if nobody
                needs it.
            add_below: add to what is in `below`.
        """
        for i in reversed(range(len(self._weights))):
            if self._relu[i]:
                threshold_backward(slope, self._kept[i], 0, grad_input=slope)
            below_i, add_below_i = (self._slopes[i - 1], False) if i else (below, add_below)
            weight, bias = self._gradients[i]
            product = self._products[i]
            torch.bmm(slope.transpose(1, 2), self._kept[i - 1] if i else x, out=product)
            if add:
                weight.add_(product)
                bias.add_(slope.sum(1))
            else:
                weight.copy_(product)
                torch.sum(slope, 1, out=bias)
            if below_i is not None:
                if add_below_i:
                    below_i.baddbmm_(slope, self._weights[i])
                else:
                    torch.bmm(slope, self._weights[i], out=below_i)
                slope = below_i
