"""The built-in MLP computed by numpy: what acting costs when the environment is small.

On a few rows torch spends most of a forward on finding its way to the arithmetic; numpy's is a
sixth of it. The weights are views of the byte vector that was published, so taking new ones is one
copy. Whether a network is computed here depends on its type alone: every process and every schedule
gets the same bits. Knows nothing of gradients; the learner stays with torch.
"""

from __future__ import annotations

from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray
from torch import nn

from tuitrain.learning.bodies import Mlp
from tuitrain.learning.distributions import QNetwork
from tuitrain.learning.noisy import noisy_layers
from tuitrain.learning.weights_layout import Bytes, WeightsLayout

Floats = NDArray[np.float32]

_ZERO = np.zeros((), np.float32)
"""As an array, because a number would be turned into one at every call."""


class _Layer(NamedTuple):
    """y = x @ weight + bias, then ReLU or not. weight is [inputs, outputs]."""

    weight: Floats
    bias: Floats
    relu: bool


class NumpyMlp:
    """The forward of a ``QNetwork`` around an ``Mlp``, equal to torch's up to rounding.

    Args:
        network: for its structure; see ``fits``.
        layout: of `flat`.
        flat: uint8[layout.nbytes], the weights. It is used, not copied: whatever is in it when
            ``values`` is called counts.
    """

    def __init__(self, network: nn.Module, layout: WeightsLayout, flat: Bytes) -> None:
        assert isinstance(network, QNetwork)
        tensors = {
            name: flat[offset : offset + size].view(dtype).reshape(shape)
            for (name, dtype, shape), offset, size in zip(
                layout.entries, layout.offsets, layout.sizes, strict=True
            )
        }
        self._scale = np.float32(network.input_scale)
        self._trunk = _layers(tensors, "body.trunk", relu_last=True)
        self._advantage = _layers(tensors, "body.heads.advantage", relu_last=False)
        self._value = _layers(tensors, "body.heads.value", relu_last=False)
        self._rows = -1

    @staticmethod
    def fits(network: nn.Module) -> bool:
        """Whether `network` is one that is computed here: no subclass, nothing added to it."""
        return (
            type(network) is QNetwork
            and type(network.body) is Mlp
            and not noisy_layers(network)
            and not any(m._forward_hooks or m._forward_pre_hooks for m in network.modules())
            and all(str(p.dtype) == "torch.float32" for p in network.parameters())
        )

    def values(self, stacked: NDArray[Any]) -> Floats:
        """Action values.

        Args:
            stacked: [B, n_frames, *observation_shape] in the observation's dtype.

        Returns:
            float32 [B, n_actions], valid until the next call.
        """
        rows = len(stacked)
        if rows != self._rows:
            self._resize(rows, stacked.size // max(rows, 1))
        x: Any = stacked.reshape(rows, -1)
        if x.dtype == np.uint8:
            x = np.divide(x, self._scale, out=self._input, dtype=np.float32)
        x = _forward(x, self._trunk, self._hidden)
        q = _forward(x, self._advantage, self._advantages)
        if not self._value:
            return q
        value = _forward(x, self._value, self._values)
        # Q = V + A - mean(A), in the order of bodies.dueling_q
        mean = np.add.reduce(q, axis=1, keepdims=True)
        mean /= np.float32(q.shape[1])
        q += value
        q -= mean
        return q

    def _resize(self, rows: int, n_inputs: int) -> None:
        self._rows = rows
        self._input = np.empty((rows, n_inputs), np.float32)
        self._hidden = _outputs(self._trunk, rows)
        self._advantages = _outputs(self._advantage, rows)
        self._values = _outputs(self._value, rows)


def _layers(tensors: dict[str, Floats], prefix: str, relu_last: bool) -> list[_Layer]:
    count = sum(name.startswith(f"{prefix}.") and name.endswith(".weight") for name in tensors)
    return [
        _Layer(
            tensors[f"{prefix}.{index}.weight"].T,
            tensors[f"{prefix}.{index}.bias"],
            relu_last or index < count - 1,
        )
        for index in range(count)
    ]


def _outputs(layers: list[_Layer], rows: int) -> list[Floats]:
    return [np.empty((rows, len(layer.bias)), np.float32) for layer in layers]


def _forward(x: Floats, layers: list[_Layer], outputs: list[Floats]) -> Floats:
    for (weight, bias, relu), out in zip(layers, outputs, strict=True):
        # not matmul: that one looks for overflows, which is slower, and warns of weights that have
        # diverged, which torch does not
        x.dot(weight, out=out)
        np.add(out, bias, out=out)
        if relu:
            np.maximum(out, _ZERO, out=out)
        x = out
    return x
