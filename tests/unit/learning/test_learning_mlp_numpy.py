"""The MLP on numpy against torch's, and which networks are left to torch."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
import torch
from torch import nn

from tuitrain.learning.distributions import QNetwork
from tuitrain.learning.flatten import FlatModule
from tuitrain.learning.mlp_numpy import NumpyMlp
from tuitrain.learning.networks import build_network
from tuitrain.learning.policy import Policy

SHAPE = (2, 5)


def network(dtype: str = "float32", dueling: bool = False, seed: int = 1, **kwargs: Any) -> Any:
    return build_network("mlp", SHAPE, dtype, 3, dueling, kwargs, seed)


def observations(dtype: str, rows: int, seed: int = 0) -> np.ndarray:
    rng = np.random.default_rng(seed)
    if dtype == "uint8":
        return rng.integers(0, 256, (rows, *SHAPE)).astype(np.uint8)
    return rng.standard_normal((rows, *SHAPE)).astype(np.float32)


def by_torch(module: nn.Module, x: np.ndarray) -> np.ndarray:
    with torch.inference_mode():
        return module(torch.from_numpy(x)).numpy()


@pytest.mark.parametrize("dueling", [False, True], ids=["plain", "dueling"])
@pytest.mark.parametrize("dtype", ["float32", "uint8"])
@pytest.mark.parametrize("hidden", [[], [7], [120, 84], [64, 48, 32]])
def test_values_and_actions_equal_those_of_torch(
    hidden: list[int], dtype: str, dueling: bool
) -> None:
    module = network(dtype, dueling, hidden=hidden)
    assert NumpyMlp.fits(module)
    policy = Policy(module, 3)
    for rows in (8, 1, 300, 8):  # another batch size needs other arrays
        x = observations(dtype, rows, seed=rows)
        wanted = by_torch(module, x)
        assert policy.values(x).dtype == np.float32
        np.testing.assert_allclose(policy.values(x), wanted, rtol=1e-6, atol=1e-6)
        assert (policy.greedy(x) == wanted.argmax(1)).all()


def test_input_scale_counts() -> None:
    x = observations("uint8", 4)
    module = network("uint8", input_scale=7.0)
    np.testing.assert_allclose(Policy(module, 3).values(x), by_torch(module, x), rtol=1e-5)
    assert not np.allclose(Policy(network("uint8"), 3).values(x), by_torch(module, x))


def test_a_row_of_a_larger_array_is_taken_as_it_lies() -> None:
    """Actors hand in a row of the shard, not a copy."""
    ring = observations("float32", 40).reshape(5, 8, *SHAPE)
    module = network()
    np.testing.assert_allclose(
        Policy(module, 3).values(ring[3]), by_torch(module, ring[3].copy()), rtol=1e-6, atol=1e-6
    )


def test_weights_are_those_in_the_vector() -> None:
    module, other = network(seed=1), network(seed=2)
    flat = FlatModule(other)
    flat.to_bytes(flat.buffer)
    x = observations("float32", 8)
    policy = Policy(module, 3)
    assert np.allclose(policy.values(x), by_torch(module, x), atol=1e-6)
    policy.load(flat.buffer, 1)
    assert np.allclose(policy.values(x), by_torch(other, x), atol=1e-6)
    flat.buffer[:] = 0  # the policy has a copy of its own
    assert np.allclose(policy.values(x), by_torch(other, x), atol=1e-6)


def test_equal_calls_give_equal_bits() -> None:
    x = observations("float32", 8)
    first, second = Policy(network(), 3), Policy(network(), 3)
    first.values(observations("float32", 3))
    assert first.values(x).tobytes() == second.values(x).tobytes()


def test_weights_that_have_diverged_show_as_in_torch() -> None:
    module = network(hidden=[4])
    with torch.no_grad():
        for bad, parameter in zip((torch.nan, torch.inf), module.parameters(), strict=False):
            parameter.view(-1)[0] = bad
    x = observations("float32", 8)
    np.testing.assert_array_equal(
        np.isnan(Policy(module, 3).values(x)), np.isnan(by_torch(module, x))
    )


class Added(nn.Module):
    def __init__(self, body: nn.Module) -> None:
        super().__init__()
        self.body = body

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        return self.body(x) + 1


def _hooked() -> nn.Module:
    module = network()
    module.body.register_forward_hook(lambda *_: None)
    return module


@pytest.mark.parametrize(
    "module",
    [
        Added(network()),
        QNetwork(Added(network().body), 1.0),
        network().double(),
        _hooked(),
        nn.Sequential(nn.Flatten(), nn.Linear(10, 3)),
        build_network("minatar", (1, 6, 6), "uint8", 3),
    ],
    ids=["around", "body", "double", "hook", "own", "minatar"],
)
def test_what_is_not_exactly_the_mlp_is_left_to_torch(module: nn.Module) -> None:
    assert not NumpyMlp.fits(module)


def test_a_subclass_is_left_to_torch() -> None:
    class Doubled(QNetwork):
        def forward(self, x: torch.Tensor) -> torch.Tensor:
            return 2 * super().forward(x)

    module = Doubled(network().body, 1.0)
    x = observations("float32", 4)
    np.testing.assert_array_equal(Policy(module, 3).values(x), by_torch(module, x))
