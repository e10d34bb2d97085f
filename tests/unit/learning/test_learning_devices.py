"""What crosses from one device to another, and how often: a batch once, published weights once.

Without a GPU: torch's `meta` device stands in for one where tensors only have to be elsewhere, and
stand-ins for tensors say what was done with them.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from types import SimpleNamespace
from typing import Any

import numpy as np
import pytest
import torch
from torch import Tensor, nn
from torch.utils._python_dispatch import TorchDispatchMode

from tests.unit.learning.test_learning_dqn import batch, config
from tests.unit.learning.test_learning_weights import LAYOUT, new_store, vector
from tuitrain.learning import batch as batch_module
from tuitrain.learning.batch import TensorBatch, to_device
from tuitrain.learning.dqn import DQN
from tuitrain.learning.flatten import FlatModule, rehome
from tuitrain.learning.networks import build_network


def mlp() -> nn.Module:
    return build_network("mlp", (1, 4), "float32", 2, seed=1)


def own() -> nn.Module:
    return nn.Sequential(nn.Flatten(), nn.Linear(4, 2))


# ---- 8.1: tensors on different devices -----------------------------------------------------------


@pytest.mark.parametrize("make", [mlp, own], ids=["by hand", "by autograd"])
def test_a_batch_on_another_device_is_refused_by_name(make: Callable[[], nn.Module]) -> None:
    """▣ Torch's own word for it says neither what was where nor what to do."""
    dqn = DQN(make(), make(), config(), 2, "cpu", 10)
    before = [p.detach().clone() for p in dqn.online.parameters()]
    elsewhere = TensorBatch(*(None if c is None else c.to("meta") for c in batch()))
    with pytest.raises(ValueError, match=r"batch on meta, the network on cpu.*to_device"):
        dqn.update([elsewhere])
    pairs = zip(dqn.online.parameters(), before, strict=True)
    assert all(torch.equal(now, then) for now, then in pairs)
    assert dqn.updates == 0


# ---- 8.2: one copy per batch, one per publication ------------------------------------------------

COLUMNS = ("state", "next_state", "action", "returns", "discount", "legal", "next_legal")
WANTED = ["contiguous", "pinned", "copied to cuda:1 without waiting"]


class StandIn:
    """In the place of a tensor: says what was done with it, in order."""

    def __init__(self) -> None:
        self.done: list[str] = []

    def contiguous(self) -> StandIn:
        self.done.append("contiguous")
        return self

    def pin_memory(self) -> StandIn:
        self.done.append("pinned")
        return self

    def to(self, device: Any, *, non_blocking: bool = False) -> StandIn:
        self.done.append(f"copied to {device}{' without waiting' * non_blocking}")
        return self


@pytest.fixture
def made(monkeypatch: pytest.MonkeyPatch) -> list[StandIn]:
    """Stand-ins in the order in which they were made of arrays."""
    found: list[StandIn] = []

    def from_numpy(_: Any) -> StandIn:
        found.append(StandIn())
        return found[-1]

    fake = SimpleNamespace(from_numpy=from_numpy, device=torch.device)
    monkeypatch.setattr(batch_module, "torch", fake)
    return found


def moved() -> None:
    arrays = SimpleNamespace(**{name: np.zeros(3, np.float32) for name in COLUMNS})
    to_device(arrays, "cuda:1", np.ones(3, np.float32))


def test_a_batch_is_copied_to_the_gpu_once_from_pinned_memory(made: list[StandIn]) -> None:
    moved()
    assert [one.done for one in made] == [WANTED] * (len(COLUMNS) + 1)


def twice(array: Any, device: Any) -> Any:
    tensor: Any = batch_module.torch.from_numpy(array)
    there = tensor.contiguous().pin_memory().to(device, non_blocking=True)
    return there.to(device, non_blocking=True)


def unpinned(array: Any, device: Any) -> Any:
    tensor: Any = batch_module.torch.from_numpy(array)
    return tensor.contiguous().to(device, non_blocking=True)


def waiting(array: Any, device: Any) -> Any:
    tensor: Any = batch_module.torch.from_numpy(array)
    return tensor.contiguous().pin_memory().to(device)


@pytest.mark.parametrize("fault", [twice, unpinned, waiting])
def test_a_needless_copy_is_seen(
    fault: Callable[[Any, Any], Any], made: list[StandIn], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(batch_module, "_move", fault)
    moved()
    assert [one.done for one in made] != [WANTED] * (len(COLUMNS) + 1)


@contextmanager
def copies() -> Iterator[list[str]]:
    """Names of torch's operations that copy memory."""
    found: list[str] = []

    class Count(TorchDispatchMode):
        def __torch_dispatch__(
            self, func: Any, types: Any, args: Any = (), kwargs: Any = None
        ) -> Any:
            if any(word in str(func) for word in ("copy", "clone")):
                found.append(str(func))
            return func(*args, **(kwargs or {}))

    with Count():
        yield found


@pytest.mark.parametrize("at_home", [True, False])
def test_publishing_copies_the_weights_once_and_another_copy_would_be_seen(at_home: bool) -> None:
    """Into the slot, by numpy. A network that is not at home in its vector is copied twice."""
    network = mlp()
    if at_home:
        rehome(network)
    flat = FlatModule(network)
    with copies() as found:
        flat.read()
    assert bool(found) == (not at_home)


# ---- 8.3: what is published is bytes in shared memory --------------------------------------------


def test_weights_on_a_device_are_not_published_as_they_are() -> None:
    store, _ = new_store()
    elsewhere: Any = torch.zeros(LAYOUT.nbytes, dtype=torch.uint8, device="meta")
    with pytest.raises(ValueError, match=r"weights are uint8\[96\], got torch\.uint8"):
        store.publish(elsewhere, 1)
    assert not store.published()


def test_a_network_on_a_device_is_read_into_memory_of_the_cpu() -> None:
    """One copy over the bus, into bytes that any process can read."""
    network = own().to("meta")
    flat = FlatModule(network)
    assert isinstance(flat.buffer, np.ndarray)
    sent: list[tuple[Tensor, Tensor]] = []

    class Staging:
        def copy_(self, source: Tensor) -> None:
            sent.append((source, flat._flat))

    flat._staging = Staging()
    flat.read()
    assert [source is there and source.device.type == "meta" for source, there in sent] == [True]


def test_what_a_reader_gets_is_in_the_segment() -> None:
    store, memory = new_store()
    store.publish(vector(7), 1)
    assert bytes([7]) * LAYOUT.nbytes in bytes(memory.buf)
