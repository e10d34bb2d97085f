"""From a learner's network to an actor's, through the store: every tensor, bit for bit."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import numpy as np
import pytest
import torch
from torch import nn

from tests.unit.learning.weights_doubles import Memory, TurnLock
from tuitrain.learning import flatten
from tuitrain.learning.flatten import FlatModule, TensorTable, rehome
from tuitrain.learning.policy import Policy
from tuitrain.learning.weights import WeightStore
from tuitrain.learning.weights_layout import ITEM_BYTES


class NoisyLinear(nn.Module):
    """As in Fortunato et al. 2018: the noise is a buffer that each forward in training draws."""

    def __init__(self, size: int) -> None:
        super().__init__()
        self.mean = nn.Parameter(torch.randn(size, size))
        self.deviation = nn.Parameter(torch.rand(size, size))
        self.register_buffer("noise", torch.zeros(size, size))
        self.register_buffer("draws", torch.zeros((), dtype=torch.int64), persistent=False)

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        if self.training:
            self.noise = torch.randn_like(self.noise)
            self.draws += 1
        return x @ (self.mean + self.deviation * self.noise)


class Network(nn.Module):
    """Every kind of tensor that a network may hold."""

    def __init__(self) -> None:
        super().__init__()
        self.first = nn.Linear(4, 4)
        self.norm = nn.BatchNorm1d(4)
        self.noisy = NoisyLinear(4)
        self.last = nn.Linear(4, 4)
        self.last.weight = self.first.weight  # tied
        self.again = self.norm  # a module under two names
        self.frozen = nn.Parameter(torch.randn(3), requires_grad=False)
        for name, size in ITEM_BYTES.items():
            anything = torch.randint(0, 2 if name == "bool" else 256, (5 * size,))
            self.register_buffer(f"a_{name}", anything.to(torch.uint8).view(getattr(torch, name)))
        self.register_buffer("zero_dim", torch.randn((), dtype=torch.bfloat16))
        self.register_buffer("empty", torch.zeros((0, 3), dtype=torch.float16))
        self.register_buffer("absent", None)
        self.register_buffer("specials", torch.tensor([-0.0, torch.inf, torch.nan, 1e-42]))

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        flat: torch.Tensor = x.reshape(len(x), -1)
        return self.last(self.noisy(self.norm(self.first(flat))))


@pytest.fixture(autouse=True)
def _own_torch() -> Iterator[None]:
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(0)
        yield


def trained() -> Network:
    """A network that has learned: its buffers have counted, too."""
    network = Network()
    optimizer = torch.optim.SGD(network.parameters(), 1e-3)
    for _ in range(3):
        network(torch.randn(8, 4)).square().sum().backward()
        optimizer.step()
    return network


def held(network: nn.Module) -> dict[str, bytes]:
    """Every tensor by each of its names, as bytes; torch's own walk, not ours."""
    named: list[tuple[str, Any]] = [
        *network.named_parameters(remove_duplicate=False),
        *network.named_buffers(remove_duplicate=False),
    ]
    return {
        name: tensor.detach().contiguous().reshape(-1).view(torch.uint8).numpy().tobytes()
        for name, tensor in named
    }


def not_arrived(source: nn.Module, sink: nn.Module, *, at_home: bool = True) -> set[str]:
    """Publish one network, load it in the other; the names of tensors that differ then.

    Args:
        at_home: whether the learner's parameters live in the vector that is published.
    """
    if at_home:
        rehome(source)
    flat = FlatModule(source)
    store = WeightStore(flat.layout, Memory(1, flat.layout), TurnLock(), 1)
    store.initialise()
    store.publish(flat.read(), 3)
    policy = Policy(sink, 4)
    assert store.pull(0, policy.buffer).version == 1
    policy.load(policy.buffer, 1)
    sent, arrived = held(source), held(sink)
    assert sent.keys() == arrived.keys()
    return {name for name in sent if sent[name] != arrived[name]}


@pytest.mark.parametrize("at_home", [True, False])
def test_every_tensor_arrives(at_home: bool) -> None:
    source, sink = trained(), Network()
    before = held(sink)
    assert {n for n, value in held(source).items() if value == before[n]} == {"empty", "specials"}
    assert not_arrived(source, sink, at_home=at_home) == set()
    assert int(sink.again.num_batches_tracked) == int(sink.noisy.draws) == 3
    assert sink.last.weight is sink.first.weight
    x = torch.randn(2, 1, 4)
    expected = source.eval()(x)
    assert Policy(sink, 4).greedy(x.numpy()).tolist() == expected.argmax(1).tolist()
    assert expected.isfinite().all()
    assert torch.equal(sink(x), expected)


LEFT_OUT = {
    "counters": {"norm.num_batches_tracked", "again.num_batches_tracked"},
    "noise": {"noisy.noise"},
    "not saved": {"noisy.draws"},
    "frozen": {"frozen"},
    "bfloat16": {"a_bfloat16"},
    "zero_dim": {"zero_dim"},
    "buffers": set(),  # all of them
}


@pytest.mark.parametrize("kind", LEFT_OUT)
def test_tensors_that_are_left_out_are_noticed(kind: str, monkeypatch: pytest.MonkeyPatch) -> None:
    names = LEFT_OUT[kind] or set(dict(Network().named_buffers(remove_duplicate=False)))

    class Forgetful(TensorTable):
        def __init__(self, module: nn.Module) -> None:
            super().__init__(module)
            self._places = [place for place in self._places if place[0] not in names]
            self.names = [name for name, _, _ in self._places]

    monkeypatch.setattr(flatten, "TensorTable", Forgetful)
    assert not_arrived(trained(), Network()) == names - {"empty", "specials"}


def test_equal_networks_are_equal_bytes_whatever_was_there_before() -> None:
    """So that a hash of the vector is a hash of the network."""
    source = trained()
    vectors = []
    for rubbish in (0, 255):
        flat = FlatModule(source)
        out = np.full(flat.layout.nbytes, rubbish, np.uint8)
        flat.to_bytes(out)
        vectors.append(out.tobytes())
    assert vectors[0] == vectors[1]
