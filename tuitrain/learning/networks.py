"""Q networks by name, and the checks that a user's own network must pass.

Every network takes a batch of stacked observations ``[B, n_frames, *observation_shape]`` in the
observation's own dtype and returns float32 action values ``[B, n_actions]``. Names: ``mlp``,
``nature`` (Mnih et al. 2015), ``minatar`` (Young & Tian 2019), or a reference to a factory
``factory(input_shape, n_actions, **kwargs) -> nn.Module``. Knows nothing of learning.
"""

from __future__ import annotations

import inspect
import itertools
import math
from collections.abc import Callable, Mapping, Sequence
from typing import Any

import numpy as np
import torch
from torch import Tensor, nn
from torch.nn import functional

from tuitrain.loading import is_reference, load_object
from tuitrain.seeding import GlobalRandom

Shape = tuple[int, ...]


class NetworkError(ValueError):
    """A network cannot be built or does not fit the environment; the message says why."""


def dueling_q(value: Tensor, advantage: Tensor) -> Tensor:
    """Q = V + A - mean(A) (Wang et al. 2016, eq. 9). value [B, 1], advantage [B, A] -> [B, A]."""
    return value + advantage - advantage.mean(1, keepdim=True)


class Dense(nn.Module):
    """Fully connected layers with ReLU between them: [B, widths[0]] -> [B, widths[-1]].

    The layers are applied as functions of their parameters: calling a module costs as much as
    the arithmetic of a small one, and acting on a few rows is the actors' hot path.

    Args:
        widths: of the input and of each layer; a single one is no layer at all.
        relu_last: ReLU after the last layer too.
    """

    stateless = True

    def __init__(self, widths: Sequence[int], relu_last: bool = False) -> None:
        super().__init__()
        for index, (n_in, n_out) in enumerate(itertools.pairwise(widths)):
            self.add_module(str(index), nn.Linear(n_in, n_out))
        self._n_relu = len(widths) - 1 if relu_last else len(widths) - 2

    def forward(self, x: Tensor) -> Tensor:
        """Apply the layers."""
        for index, layer in enumerate(self._modules.values()):
            parameters = layer._parameters  # type: ignore[union-attr]
            x = functional.linear(x, parameters["weight"], parameters["bias"])  # type: ignore[arg-type]
            if index < self._n_relu:
                x = x.relu_()
        return x


class Heads(nn.Module):
    """The last layers: features [B, n] -> q [B, n_actions], plain or dueling.

    Args:
        n_features: width of the input.
        hidden: width of the hidden layer of each stream; 0 is no hidden layer.
        n_actions: number of actions.
        dueling: two streams, state value and advantages, instead of one.
    """

    stateless = True

    def __init__(self, n_features: int, hidden: int, n_actions: int, dueling: bool) -> None:
        super().__init__()
        widths = [n_features, hidden] if hidden else [n_features]
        self.advantage = Dense([*widths, n_actions])
        self.value = Dense([*widths, 1]) if dueling else None

    def forward(self, features: Tensor) -> Tensor:
        """Action values of a batch of features."""
        advantage = self.advantage.forward(features)
        if self.value is None:
            return advantage
        return dueling_q(self.value.forward(features), advantage)


class Mlp(nn.Module):
    """Fully connected layers on the flattened stack.

    Args:
        input_shape: (n_frames, *observation_shape).
        n_actions: number of actions.
        dueling: split the last hidden layer into two streams.
        hidden: widths of the hidden layers.
    """

    stateless = True

    def __init__(
        self, input_shape: Shape, n_actions: int, dueling: bool, hidden: Sequence[int] = (120, 84)
    ) -> None:
        super().__init__()
        if any(not isinstance(width, int) or width < 1 for width in hidden):
            raise NetworkError(f"mlp: hidden must be positive widths, got {list(hidden)}")
        widths = [math.prod(input_shape), *hidden[:-1]]
        self.trunk = Dense(widths, relu_last=True)
        self.heads = Heads(widths[-1], hidden[-1] if hidden else 0, n_actions, dueling)

    def forward(self, x: Tensor) -> Tensor:
        """float32 [B, *input_shape] -> q [B, n_actions]."""
        return self.heads.forward(self.trunk.forward(x.flatten(1)))


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
        n_actions: number of actions.
        dueling: two streams after the convolutions.
        layers: (planes, kernel, stride) of each convolution.
        hidden: width of the fully connected layer (of each stream).
        channels: see ``image_layout``.
        name: for errors.
    """

    stateless = True

    def __init__(
        self,
        input_shape: Shape,
        n_actions: int,
        dueling: bool,
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
        self.heads = Heads(planes * height * width, hidden, n_actions, dueling)

    def forward(self, x: Tensor) -> Tensor:
        """float32 [B, *input_shape] -> q [B, n_actions]."""
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
        q: Tensor = self.heads(functional.relu(x.flatten(1), inplace=True))
        return q


def _nature(
    input_shape: Shape, n_actions: int, dueling: bool, hidden: int = 512, channels: str = "auto"
) -> nn.Module:
    layers = [(32, 8, 4), (64, 4, 2), (64, 3, 1)]
    return Convolutional(input_shape, n_actions, dueling, layers, hidden, channels, "nature")


def _minatar(
    input_shape: Shape, n_actions: int, dueling: bool, hidden: int = 128, channels: str = "auto"
) -> nn.Module:
    layers = [(16, 3, 1)]
    return Convolutional(input_shape, n_actions, dueling, layers, hidden, channels, "minatar")


NETWORKS: dict[str, Callable[..., nn.Module]] = {
    "mlp": Mlp,
    "nature": _nature,
    "minatar": _minatar,
}
"""Built-in networks; each takes (input_shape, n_actions, dueling, **kwargs)."""

DEFAULT_INPUT_SCALE = {"minatar": 1.0}
"""uint8 inputs are divided by this, 255 where nothing is said. MinAtar's are 0 and 1."""


class QNetwork(nn.Module):
    """Turns integer observations to float32 and passes them to the network proper.

    Args:
        body: float32 [B, n_frames, *observation_shape] -> [B, n_actions].
        input_scale: uint8 observations are divided by this; float ones pass unchanged.
    """

    stateless = True

    def __init__(self, body: nn.Module, input_scale: float) -> None:
        super().__init__()
        self.body = body
        self.input_scale = input_scale

    def forward(self, x: Tensor) -> Tensor:
        """[B, n_frames, *observation_shape] of the observation dtype -> q [B, n_actions]."""
        if x.dtype == torch.uint8:
            x = x.to(torch.float32).div_(self.input_scale)
        q: Tensor = self.body(x)
        return q


def build_network(
    name: str,
    input_shape: Sequence[int],
    obs_dtype: str | np.dtype[Any],
    n_actions: int,
    dueling: bool = False,
    kwargs: Mapping[str, Any] | None = None,
    seed: int = 0,
) -> QNetwork:
    """Build a network and try it on a batch of zeros. Equal arguments give equal bytes.

    Global random state (torch, numpy, random) is left as it was; CPU only, move it afterwards.

    Args:
        name: a key of ``NETWORKS`` or a reference (see ``tuitrain.loading``).
        input_shape: (n_frames, *observation_shape).
        obs_dtype: "uint8" or "float32". uint8 is divided by ``input_scale`` (255) first.
        n_actions: number of actions.
        dueling: dueling heads; built-in networks only.
        kwargs: passed on, except that built-in networks take ``input_scale`` too. A module of a
            user's own may have an attribute ``input_scale``; 1.0 gets it the raw values.
        seed: of the initial weights.

    Raises:
        NetworkError: unknown name or arguments, or the network's output is not float32
            [B, n_actions].
        LoadError: the reference cannot be followed.
    """
    shape, kwargs = tuple(input_shape), dict(kwargs or {})
    with GlobalRandom(np.random.SeedSequence(seed)):
        if name in NETWORKS:
            scale = float(kwargs.pop("input_scale", DEFAULT_INPUT_SCALE.get(name, 255.0)))
            body = _call(name, NETWORKS[name], (shape, n_actions, dueling), kwargs)
        elif is_reference(name):
            if dueling:
                raise NetworkError(
                    f"learner.dueling is for {', '.join(NETWORKS)}; {name} has its own heads. "
                    "Set dueling = false and build them in your network."
                )
            body = _call(name, load_object(name), (shape, n_actions), kwargs)
            scale = float(getattr(body, "input_scale", 255.0))
        else:
            raise NetworkError(
                f"no network is called {name!r}; there are {', '.join(NETWORKS)}, "
                "package.module:factory and file.py:factory"
            )
        if not scale > 0 or not math.isfinite(scale):
            raise NetworkError(f"{name}: input_scale must be positive, got {scale}")
        network = QNetwork(body, scale)
        _try(name, network, shape, np.dtype(obs_dtype), n_actions)
    return network


def _call(name: str, factory: Any, arguments: tuple[Any, ...], kwargs: dict[str, Any]) -> nn.Module:
    if not callable(factory):
        raise NetworkError(f"{name} is a {type(factory).__name__}, not a function or class")
    try:
        inspect.signature(factory).bind(*arguments, **kwargs)
    except TypeError as error:
        raise NetworkError(
            f"{name} cannot be called with network_kwargs {kwargs}: {error}"
        ) from error
    except ValueError:
        pass  # no signature to look at; the call will tell
    try:
        body = factory(*arguments, **kwargs)
    except NetworkError:
        raise
    except Exception as error:
        raise NetworkError(f"{name} failed to build: {type(error).__name__}: {error}") from error
    if not isinstance(body, nn.Module):
        raise NetworkError(f"{name} must return a torch.nn.Module, got {type(body).__name__}")
    return body


def _try(name: str, network: QNetwork, shape: Shape, dtype: np.dtype[Any], n_actions: int) -> None:
    batch = 2  # one row would hide a network that mixes up rows and features
    example = torch.from_numpy(np.zeros((batch, *shape), dtype))
    given = f"an input of {dtype}{[batch, *shape]} (batch, frames, *observation)"
    expected = f"float32{[batch, n_actions]} (batch, actions)"
    was_training = network.training
    network.eval()  # so that the trial leaves no trace in normalisation statistics
    try:
        with torch.no_grad():
            result = network(example)
    except Exception as error:
        raise NetworkError(f"{name} failed on {given}: {type(error).__name__}: {error}") from error
    network.train(was_training)
    if not isinstance(result, Tensor):
        raise NetworkError(f"{name} must return a tensor {expected}, got {type(result).__name__}")
    if tuple(result.shape) != (batch, n_actions) or result.dtype != torch.float32:
        got = f"{str(result.dtype).removeprefix('torch.')}{list(result.shape)}"
        raise NetworkError(f"{name} must return {expected} for {given}, got {got}")
