"""The layers of Q networks: fully connected ones, convolutions, and heads, plain, dueling or noisy.

Everything here maps float32 to float32 and knows nothing of observations' dtypes, of how a network
is named in a config, or of what its outputs mean.
"""

from __future__ import annotations

import itertools
import math
from collections.abc import Sequence
from typing import NamedTuple

import torch
from torch import Tensor, nn
from torch.nn import functional

from tuitrain.learning.noisy import NoisyLinear

Shape = tuple[int, ...]


class NetworkError(ValueError):
    """A network cannot be built or does not fit the environment; the message says why."""


class HeadForm(NamedTuple):
    """What the last layers give.

    Attributes:
        n_actions: number of actions A.
        dueling: a stream for the state's value and one for advantages (Wang et al. 2016).
        outputs: numbers per action Z, e.g. the atoms of a distribution.
        noisy_sigma: initial noise of noisy layers (Fortunato et al. 2018); 0 is plain layers.
    """

    n_actions: int
    dueling: bool = False
    outputs: int = 1
    noisy_sigma: float = 0.0


def dueling_q(value: Tensor, advantage: Tensor) -> Tensor:
    """Q = V + A - mean(A) (Wang et al. 2016, eq. 9). value [B, 1], advantage [B, A] -> [B, A].

    Of distributions ([B, 1, Z] and [B, A, Z]) atom by atom, as in Rainbow (Hessel et al. 2018).
    """
    return value + advantage - advantage.mean(1, keepdim=True)


class Dense(nn.Module):
    """Fully connected layers with ReLU between them: [B, widths[0]] -> [B, widths[-1]].

    The layers are applied as functions of their parameters: calling a module costs as much as
    the arithmetic of a small one, and acting on a few rows is the actors' hot path.

    Args:
        widths: of the input and of each layer; a single one is no layer at all.
        relu_last: ReLU after the last layer too.
        noisy_sigma: more than 0 makes noisy layers.
    """

    stateless = True

    def __init__(
        self, widths: Sequence[int], relu_last: bool = False, noisy_sigma: float = 0.0
    ) -> None:
        super().__init__()
        self._noisy = noisy_sigma > 0.0
        for index, (n_in, n_out) in enumerate(itertools.pairwise(widths)):
            layer = NoisyLinear(n_in, n_out, noisy_sigma) if self._noisy else nn.Linear(n_in, n_out)
            self.add_module(str(index), layer)
        self._n_relu = len(widths) - 1 if relu_last else len(widths) - 2

    def forward(self, x: Tensor) -> Tensor:
        """Apply the layers."""
        for index, layer in enumerate(self._modules.values()):
            # torch's types say that a module or a parameter may be None; none of these is
            if self._noisy:
                x = layer(x)  # type: ignore[misc]
            else:
                parameters = layer._parameters  # type: ignore[union-attr]
                x = functional.linear(x, parameters["weight"], parameters["bias"])  # type: ignore[arg-type]
            if index < self._n_relu:
                x = x.relu_()
        return x


class Heads(nn.Module):
    """The last layers: features [B, n] -> [B, A], or [B, A, Z] with several outputs per action.

    Args:
        n_features: width of the input.
        hidden: width of the hidden layer of each stream; 0 is no hidden layer.
        form: what they give.
    """

    stateless = True

    def __init__(self, n_features: int, hidden: int, form: HeadForm) -> None:
        super().__init__()
        self._form = form
        widths = [n_features, hidden] if hidden else [n_features]
        self.advantage = Dense(
            [*widths, form.n_actions * form.outputs], noisy_sigma=form.noisy_sigma
        )
        self.value = (
            Dense([*widths, form.outputs], noisy_sigma=form.noisy_sigma) if form.dueling else None
        )

    def forward(self, features: Tensor) -> Tensor:
        """What a batch of features says of every action."""
        advantage = self.advantage.forward(features)
        if self._form.outputs > 1:
            advantage = advantage.view(-1, self._form.n_actions, self._form.outputs)
        if self.value is None:
            return advantage
        value = self.value.forward(features)
        return dueling_q(value if self._form.outputs == 1 else value[:, None, :], advantage)


class Mlp(nn.Module):
    """Fully connected layers on the flattened stack.

    Args:
        input_shape: (n_frames, *observation_shape).
        form: of the heads; with dueling the last hidden layer is split into two streams.
        hidden: widths of the hidden layers.

    Attributes:
        n_features: width of what ``features`` gives.
    """

    stateless = True

    def __init__(
        self, input_shape: Shape, form: HeadForm, hidden: Sequence[int] = (120, 84)
    ) -> None:
        super().__init__()
        if any(not isinstance(width, int) or width < 1 for width in hidden):
            raise NetworkError(f"mlp: hidden must be positive widths, got {list(hidden)}")
        widths = [math.prod(input_shape), *hidden[:-1]]
        self.trunk = Dense(widths, relu_last=True)
        self.heads = Heads(widths[-1], hidden[-1] if hidden else 0, form)
        self.n_features = widths[-1]

    def features(self, x: Tensor) -> Tensor:
        """float32 [B, *input_shape] -> [B, n_features], what the heads look at."""
        return self.trunk.forward(x.flatten(1))

    def forward(self, x: Tensor) -> Tensor:
        """float32 [B, *input_shape] -> what the heads give."""
        return self.heads.forward(self.features(x))


def image_layout(input_shape: Shape, channels: str = "auto") -> tuple[str, Shape]:
    """How an image observation becomes convolution planes.

    Args:
        input_shape: (n_frames, H, W), (n_frames, H, W, C) or (n_frames, C, H, W).
        channels: "first", "last" or "auto", which takes the smaller of the first and last
            dimension for the channels, and the last of two equal ones.

    Returns:
        ("none" | "first" | "last", (planes, H, W)); frames are the slower part of the planes.

    Raises:
        NetworkError: not an image, or an unknown word for `channels`.
    """
    if channels not in ("auto", "first", "last"):
        raise NetworkError(f'channels must be "auto", "first" or "last", got {channels!r}')
    frames, *obs = input_shape
    if len(obs) == 2:
        return "none", (frames, obs[0], obs[1])
    if len(obs) != 3:
        raise NetworkError(
            f"this network needs images, (H, W), (H, W, C) or (C, H, W); the observation has "
            f'shape {tuple(obs)}. Use network = "mlp".'
        )
    if channels == "auto":
        channels = "first" if obs[0] < obs[2] else "last"
    if channels == "first":
        return "first", (frames * obs[0], obs[1], obs[2])
    return "last", (frames * obs[2], obs[0], obs[1])


class Convolutional(nn.Module):
    """Convolutions, then heads.

    Args:
        input_shape: (n_frames, *observation_shape), see ``image_layout``.
        form: of the heads.
        layers: (planes, kernel, stride) of each convolution.
        hidden: width of the fully connected layer (of each stream).
        channels: see ``image_layout``.
        name: for errors.

    Attributes:
        n_features: width of what ``features`` gives.
    """

    stateless = True

    def __init__(
        self,
        input_shape: Shape,
        form: HeadForm,
        layers: Sequence[tuple[int, int, int]],
        hidden: int,
        channels: str,
        name: str,
    ) -> None:
        super().__init__()
        self._order, (planes, height, width) = image_layout(input_shape, channels)
        smallest = 1
        for _, kernel, stride in reversed(layers):
            smallest = (smallest - 1) * stride + kernel
        if min(height, width) < smallest:
            raise NetworkError(
                f"{name} needs images of at least {smallest}×{smallest}, got {height}×{width} "
                f"(channels {self._order}); use another network or set channels"
            )
        self.convolutions = nn.ModuleList()
        for n_out, kernel, stride in layers:
            self.convolutions.append(nn.Conv2d(planes, n_out, kernel, stride))
            height, width = (height - kernel) // stride + 1, (width - kernel) // stride + 1
            planes = n_out
        self.n_features = planes * height * width
        self.heads = Heads(self.n_features, hidden, form)

    def features(self, x: Tensor) -> Tensor:
        """float32 [B, *input_shape] -> [B, n_features], what the heads look at."""
        if self._order == "last":
            x = x.permute(0, 1, 4, 2, 3)
        if self._order != "none":
            x = x.flatten(1, 2)
        # planes last in memory: a quarter less time for Nature's gradient on a CPU
        x = x.contiguous(memory_format=torch.channels_last)
        first, *others = self.convolutions
        x = first(x)
        for layer in others:
            x = layer(functional.relu(x, inplace=True))
        # flattening puts the planes first again; ReLU after it runs along memory, backwards too
        return functional.relu(x.flatten(1), inplace=True)

    def forward(self, x: Tensor) -> Tensor:
        """float32 [B, *input_shape] -> what the heads give."""
        return self.heads.forward(self.features(x))
