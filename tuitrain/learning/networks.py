"""Q networks by name, and the checks that a user's own network must pass.

Every network takes a batch of stacked observations ``[B, n_frames, *observation_shape]`` in the
observation's own dtype and returns float32 action values ``[B, n_actions]``. Names: ``mlp``,
``nature`` (Mnih et al. 2015), ``minatar`` (Young & Tian 2019), or a reference to a factory
``factory(input_shape, n_actions, **kwargs) -> nn.Module``. Knows nothing of learning.
"""

from __future__ import annotations

import inspect
import math
from collections.abc import Callable, Mapping, Sequence
from typing import Any

import numpy as np
import torch
from torch import Tensor, nn

from tuitrain.config.algorithm import AlgorithmConfig
from tuitrain.envs.spec import stored_dtype
from tuitrain.learning.bodies import Convolutional, HeadForm, Mlp, NetworkError, Shape
from tuitrain.learning.distributions import QNetwork, outputs_per_action, wrap
from tuitrain.loading import is_reference, load_object
from tuitrain.seeding import GlobalRandom

DQN_ALGORITHM = AlgorithmConfig()


def _nature(
    input_shape: Shape, form: HeadForm, hidden: int = 512, channels: str = "auto"
) -> nn.Module:
    layers = [(32, 8, 4), (64, 4, 2), (64, 3, 1)]
    return Convolutional(input_shape, form, layers, hidden, channels, "nature")


def _minatar(
    input_shape: Shape, form: HeadForm, hidden: int = 128, channels: str = "auto"
) -> nn.Module:
    layers = [(16, 3, 1)]
    return Convolutional(input_shape, form, layers, hidden, channels, "minatar")


NETWORKS: dict[str, Callable[..., nn.Module]] = {
    "mlp": Mlp,
    "nature": _nature,
    "minatar": _minatar,
}
"""Built-in networks; each takes (input_shape, form, **kwargs)."""

DEFAULT_INPUT_SCALE = {"minatar": 1.0}
"""uint8 inputs are divided by this, 255 where nothing is said. MinAtar's are 0 and 1, and so are
those that an environment declares bool: 1 for every network."""


def build_network(
    name: str,
    input_shape: Sequence[int],
    obs_dtype: str | np.dtype[Any],
    n_actions: int,
    dueling: bool = False,
    kwargs: Mapping[str, Any] | None = None,
    seed: int = 0,
    algorithm: AlgorithmConfig = DQN_ALGORITHM,
) -> QNetwork:
    """Build a network and try it on a batch of zeros. Equal arguments give equal bytes.

    Global random state (torch, numpy, random) is left as it was; CPU only, move it afterwards.

    Args:
        name: a key of ``NETWORKS`` or a reference (see ``tuitrain.loading``).
        input_shape: (n_frames, *observation_shape).
        obs_dtype: as declared, see ``PolicySpec``. uint8 is divided by ``input_scale`` (255; bool,
            which comes as uint8, by 1) first.
        n_actions: number of actions.
        dueling: dueling heads; built-in networks only.
        kwargs: passed on, except that built-in networks take ``input_scale`` too. A module of a
            user's own may have an attribute ``input_scale``; 1.0 gets it the raw values.
        seed: of the initial weights.
        algorithm: decides what the heads give (see ``distributions``); distributions and noisy
            layers are for built-in networks only.

    Raises:
        NetworkError: unknown name or arguments, or the network's output is not float32
            [B, n_actions].
        LoadError: the reference cannot be followed.
    """
    shape, kwargs = tuple(input_shape), dict(kwargs or {})
    is_bool = np.dtype(obs_dtype) == np.bool_
    default_scale = 1.0 if is_bool else DEFAULT_INPUT_SCALE.get(name, 255.0)
    with GlobalRandom(np.random.SeedSequence(seed)):
        if name in NETWORKS:
            scale = float(kwargs.pop("input_scale", default_scale))
            form = HeadForm(
                n_actions,
                dueling,
                outputs_per_action(algorithm),
                algorithm.noisy_sigma if algorithm.noisy else 0.0,
            )
            body = _call(name, NETWORKS[name], (shape, form), kwargs)
        elif is_reference(name):
            if dueling:
                raise NetworkError(
                    f"learner.dueling is for {', '.join(NETWORKS)}; {name} has its own heads. "
                    "Set dueling = false and build them in your network."
                )
            if algorithm.name != "dqn" or algorithm.noisy:
                raise NetworkError(
                    f"algorithm.name = {algorithm.name!r} and algorithm.noisy are for "
                    f"{', '.join(NETWORKS)}; {name} gives one value per action"
                )
            body = _call(name, load_object(name), (shape, n_actions), kwargs)
            scale = float(getattr(body, "input_scale", default_scale))
        else:
            raise NetworkError(
                f"no network is called {name!r}; there are {', '.join(NETWORKS)}, "
                "package.module:factory and file.py:factory"
            )
        if not scale > 0 or not math.isfinite(scale):
            raise NetworkError(f"{name}: input_scale must be positive, got {scale}")
        network = wrap(body, scale, algorithm)
        _try(name, network, shape, stored_dtype(obs_dtype), n_actions)
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
    given = f"an input of {dtype}{[batch, *shape]} (batch, env.n_frames, *observation)"
    expected = f"float32{[batch, n_actions]} (batch, actions)"
    was_training, version = network.training, example._version
    network.eval()  # so that the trial leaves no trace in normalisation statistics
    try:
        with torch.no_grad():
            result = network(example)
    except Exception as error:
        raise NetworkError(f"{name} failed on {given}: {type(error).__name__}: {error}") from error
    network.train(was_training)
    if example._version != version:
        # actors show a network the replay's own memory: what it writes there would be learned from
        raise NetworkError(
            f"{name} changes its input in place (such as x -= 1, x.relu_() or x.clamp_()); "
            "observations belong to the replay. Write x = x - 1"
        )
    if not isinstance(result, Tensor):
        raise NetworkError(f"{name} must return a tensor {expected}, got {type(result).__name__}")
    if tuple(result.shape) != (batch, n_actions) or result.dtype != torch.float32:
        got = f"{str(result.dtype).removeprefix('torch.')}{list(result.shape)}"
        raise NetworkError(f"{name} must return {expected} for {given}, got {got}")
