"""The gradient of the TD loss of this project's own MLP, written by hand.

For a small network autograd spends more time on its graph than on arithmetic. Here every matrix
product goes to memory that is allocated once, the online network looks at states and next states
in one forward, and the backward writes straight into the optimizer's gradient. The result equals
``gradient.AutogradGradient``'s up to rounding (tests compare them); which of the two is used
follows from the network and the device alone, never from a measurement.
"""

from __future__ import annotations

from collections.abc import Sequence

import torch
from torch import Tensor, nn

from tuitrain.config.learner import LearnerConfig
from tuitrain.learning.adam import Adam
from tuitrain.learning.batch import TensorBatch
from tuitrain.learning.bodies import Dense, Mlp
from tuitrain.learning.distributions import QNetwork
from tuitrain.learning.gradient import Seen
from tuitrain.learning.losses import only_legal
from tuitrain.learning.noisy import noisy_layers


def fits(network: nn.Module) -> bool:
    """Whether `network` is one whose gradient is written here: nothing but a built-in MLP.

    No subclass, no hook, all of it learning, float32, on the CPU.
    """
    return (
        type(network) is QNetwork
        and type(network.body) is Mlp
        and not noisy_layers(network)
        and not any(
            m._forward_hooks or m._forward_pre_hooks or m._backward_hooks or m._backward_pre_hooks
            for m in network.modules()
        )
        and all(
            p.requires_grad and p.dtype == torch.float32 and p.device.type == "cpu"
            for p in network.parameters()
        )
    )


class MlpGradient:
    """For a network that ``fits``, and a target network of the same architecture.

    Args:
        online: the network that learns.
        target: the target network.
        config: `double`, `loss` and `huber_delta` count.
        adam: of the parameters of `online`; its gradient is written.
    """

    def __init__(
        self, online: nn.Module, target: nn.Module, config: LearnerConfig, adam: Adam
    ) -> None:
        assert isinstance(online, QNetwork)
        assert isinstance(target, QNetwork)
        self._scale = online.input_scale
        self._double = config.double
        self._delta = config.huber_delta if config.loss == "huber" else None
        gradients = dict(zip(map(id, adam.parameters), adam.gradients, strict=True))
        self._online = _Network(online.body, gradients)
        self._target = _Network(target.body, {})
        self._shape = torch.Size()

    @torch.inference_mode()  # half the price of no_grad: views and versions are not kept
    def __call__(self, batches: Sequence[TensorBatch]) -> list[Seen]:
        """Overwrite the gradient; returns what each batch showed."""
        share = 1.0 / len(batches)
        return [self._add(batch, share, index > 0) for index, batch in enumerate(batches)]

    def _add(self, batch: TensorBatch, share: float, add: bool) -> Seen:
        shape = batch.state.shape
        if shape != self._shape:
            self._resize(shape)
        rows = shape[0]
        self._read(batch)
        next_q = self._target.forward(self._next_state)
        online_q = self._online.forward(self._input)
        if self._double:
            best = only_legal(online_q[rows:], batch.next_legal).argmax(1).add_(self._first_of_row)
            next_value = next_q.take(best)
        else:
            next_value = only_legal(next_q, batch.next_legal).amax(1)
        target = torch.addcmul(batch.returns, batch.discount, next_value)
        q = online_q[:rows].clone()
        taken = batch.action + self._first_of_row
        q_taken = q.take(taken)
        loss, slope = _loss(q_taken, target, self._delta, batch.weights)
        if share != 1.0:
            slope *= share
        self._online.backward(self._state, taken, slope, add)
        return Seen(loss, q, q_taken, target)

    def _read(self, batch: TensorBatch) -> None:
        """Copy states and next states, whatever their strides and dtype, as ``QNetwork`` would."""
        for own, given in zip(self._unflattened, batch[:2], strict=True):
            own.copy_(given)
            if given.dtype == torch.uint8:
                own.div_(self._scale)

    def _resize(self, shape: torch.Size) -> None:
        self._shape, rows = shape, shape[0]
        both = torch.empty(2 * rows, *shape[1:])
        self._unflattened = both[:rows], both[rows:]
        self._state, self._next_state = (half.flatten(1) for half in self._unflattened)
        self._input = both.flatten(1) if self._double else self._state
        self._online.resize(len(self._input), rows)
        self._target.resize(rows, 0)
        self._first_of_row = torch.arange(rows) * self._target.n_actions


def _loss(
    q_taken: Tensor, target: Tensor, delta: float | None, weights: Tensor | None
) -> tuple[Tensor, Tensor]:
    """Mean loss, scalar, and its slope with respect to `q_taken` [B].

    With c the error clamped to ±delta, Huber's loss is c·(e - c/2) and its slope c; without a
    delta c is e, and this is half the square.
    """
    error = q_taken - target
    slope = error if delta is None else error.clamp(-delta, delta)
    height = torch.sub(error, slope, alpha=0.5)
    slope = slope * (1.0 / len(error))
    if weights is not None:
        slope *= weights
    return torch.dot(slope, height), slope


class _Network:
    """An ``Mlp``: trunk, then advantage and, if it is dueling, value."""

    def __init__(self, mlp: nn.Module, gradients: dict[int, Tensor]) -> None:
        assert isinstance(mlp, Mlp)
        self._trunk = _Layers(mlp.trunk, True, gradients)
        self._advantage = _Layers(mlp.heads.advantage, False, gradients)
        value = mlp.heads.value
        self._value = None if value is None else _Layers(value, False, gradients)
        self.n_actions = self._advantage.width

    def resize(self, rows: int, backward_rows: int) -> None:
        """Allocate for forwards of `rows` rows and backwards of the first `backward_rows`."""
        for layers in (self._trunk, self._advantage, self._value):
            if layers is not None:
                layers.resize(rows, backward_rows)
        self._slope_q = torch.empty(backward_rows, self.n_actions)
        self._slope_features = torch.empty(backward_rows, self._advantage.n_inputs)

    def forward(self, x: Tensor) -> Tensor:
        """Action values [rows, A], in memory that the next forward overwrites."""
        self._features = self._trunk.forward(x)
        q = self._advantage.forward(self._features)
        if self._value is not None:
            mean = q.mean(1, keepdim=True)
            q += self._value.forward(self._features)
            q -= mean
        return q

    def backward(self, x: Tensor, taken: Tensor, slope: Tensor, add: bool) -> None:
        """The gradient of a loss that depends on the values of the actions taken.

        Args:
            x: the first rows of the last forward's input.
            taken: int64 [rows], places of these values among all [rows, A].
            slope: of the loss, with respect to these values, [rows].
            add: add to the gradient that is there, instead of replacing it.
        """
        features = self._features[: len(x)]
        below = self._slope_features if self._trunk else None
        column = slope.unsqueeze(1)
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
    """A ``Dense`` with the memory for its outputs and for the slopes with respect to them.

    Args:
        dense: the layers, y = relu(x @ weight.T + bias), the last one with ReLU or not.
        relu_last: whether it has.
        gradients: where the gradient of each parameter goes, by the parameter's id; empty if
            there is none to compute.
    """

    def __init__(self, dense: Dense, relu_last: bool, gradients: dict[int, Tensor]) -> None:
        layers = [module for module in dense.children() if isinstance(module, nn.Linear)]
        self._weights = [layer.weight.detach() for layer in layers]
        self._transposed = [weight.t() for weight in self._weights]
        self._biases = [layer.bias.detach() for layer in layers]
        self._gradients = [
            (gradients[id(layer.weight)], gradients[id(layer.bias)])
            for layer in layers
            if gradients
        ]
        self._relu = [relu_last or i < len(layers) - 1 for i in range(len(layers))]

    def __bool__(self) -> bool:
        return bool(self._weights)

    @property
    def width(self) -> int:
        """Outputs of the last layer."""
        return self._weights[-1].shape[0]

    @property
    def n_inputs(self) -> int:
        """Inputs of the first layer."""
        return self._weights[0].shape[1]

    def resize(self, rows: int, backward_rows: int) -> None:
        """As in ``_Network``."""
        self._outputs = [torch.empty(rows, len(bias)) for bias in self._biases]
        self._kept = [output[:backward_rows] for output in self._outputs]
        self._slopes = [torch.empty(backward_rows, len(bias)) for bias in self._biases]
        self._ones = torch.ones(backward_rows)

    def forward(self, x: Tensor) -> Tensor:
        """[rows, n_inputs] -> [rows, width], in own memory; without layers, x itself."""
        for bias, weight, relu, out in zip(
            self._biases, self._transposed, self._relu, self._outputs, strict=True
        ):
            torch.addmm(bias, x, weight, out=out)
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
            below: [rows, n_inputs], where the slope with respect to `x` goes; None if nobody
                needs it.
            add_below: add to what is in `below`.
        """
        for i in reversed(range(len(self._weights))):
            if self._relu[i]:
                threshold_backward(slope, self._kept[i], 0, grad_input=slope)
            below_i, add_below_i = (self._slopes[i - 1], False) if i else (below, add_below)
            weight, bias = self._gradients[i]
            transposed = slope.t()
            _product(transposed, self._kept[i - 1] if i else x, weight, add)
            if add:
                bias.addmv_(transposed, self._ones)
            else:
                torch.mv(transposed, self._ones, out=bias)
            if below_i is not None:
                _product(slope, self._weights[i], below_i, add_below_i)
                slope = below_i


threshold_backward = torch.ops.aten.threshold_backward.grad_input
"""threshold_backward(slope, x, 0): slope where x > 0, else 0, as autograd has it for ReLU."""


def _product(a: Tensor, b: Tensor, out: Tensor, add: bool) -> None:
    """out = a @ b, or out += a @ b."""
    if add:
        out.addmm_(a, b)
    else:
        torch.mm(a, b, out=out)
