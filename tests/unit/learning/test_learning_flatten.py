"""Networks to bytes and back: every dtype, buffer and counter arrives, bit for bit."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from torch import nn

from tuitrain.learning.flatten import FlatModule, layout_of
from tuitrain.learning.weights_layout import ITEM_BYTES


class Everything(nn.Module):
    """One buffer of each publishable dtype, parameters, normalisation, and odd cases."""

    def __init__(self, seed: int) -> None:
        super().__init__()
        torch.manual_seed(seed)
        self.linear = nn.Linear(3, 5)
        self.norm = nn.BatchNorm1d(5)
        self.small = nn.Parameter(torch.randn(3, dtype=torch.float16))
        self.frozen = nn.Parameter(torch.randn(2), requires_grad=False)
        for name in ITEM_BYTES:
            dtype = getattr(torch, name)
            raw = torch.randint(0, 2 if name == "bool" else 100, (4 * ITEM_BYTES[name],))
            self.register_buffer(f"b_{name}", raw.to(torch.uint8).view(dtype))
        self.register_buffer("scalar", torch.tensor(seed))
        self.register_buffer("empty", torch.zeros(0))
        self.register_buffer("absent", None)
        self.register_buffer("unsaved", torch.randn(3), persistent=False)
        self.register_buffer("strided", torch.randn(4, 6).t())
        self.tied = self.linear

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        self.scalar = self.scalar + 1  # a new object, as some modules do
        return self.norm(self.linear(x))


@pytest.fixture(autouse=True)
def _own_torch_rng():
    with torch.random.fork_rng(devices=[]):
        yield


def flat_of(module: nn.Module) -> np.ndarray:
    flat = FlatModule(module)
    out = np.full(flat.layout.nbytes, 0xAB, np.uint8)
    flat.to_bytes(out)
    return out


def raw(tensor: torch.Tensor) -> bytes:
    return tensor.detach().contiguous().reshape(-1).view(torch.uint8).numpy().tobytes()


def test_every_parameter_and_buffer_arrives() -> None:
    source, sink = Everything(1), Everything(2)
    with torch.no_grad():
        source(torch.randn(8, 3))
        source(torch.randn(8, 3))
    FlatModule(sink).load_bytes(flat_of(source))
    tensors = dict(source.named_parameters()) | dict(source.named_buffers())
    arrived = dict(sink.named_parameters()) | dict(sink.named_buffers())
    assert len(tensors) == 2 + 2 + 3 + 2 + len(ITEM_BYTES) + 4
    for name, tensor in tensors.items():
        assert raw(arrived[name]) == raw(tensor), name
    assert int(sink.norm.num_batches_tracked) == 2
    assert int(sink.scalar) == 3
    assert (flat_of(sink) == flat_of(source)).all()


def test_a_forgotten_buffer_would_be_seen() -> None:
    source, sink = Everything(1), Everything(2)
    flat = FlatModule(sink)
    flat._table._places = flat._table._places[:-1]
    flat._table.names, flat._views = flat._table.names[:-1], flat._views[:-1]
    flat.load_bytes(flat_of(source))
    assert not (flat_of(sink) == flat_of(source)).all()


def test_layout_is_in_state_dict_order_with_unsaved_buffers_after() -> None:
    module = Everything(1)
    names = [name for name, _, _ in layout_of(module).entries]
    assert names == [*module.state_dict(), "unsaved"]
    assert ("b_bfloat16", "bfloat16", (4,)) in layout_of(module).entries
    assert layout_of(module) == layout_of(Everything(9))


def test_padding_is_zero_so_equal_networks_have_equal_bytes() -> None:
    layout = layout_of(Everything(1))
    flat = flat_of(Everything(1))
    used = np.zeros(layout.nbytes, bool)
    for offset, size in zip(layout.offsets, layout.sizes, strict=True):
        used[offset : offset + size] = True
    assert not used.all()
    assert (flat[~used] == 0).all()
    assert (flat == flat_of(Everything(1))).all()
    assert not (flat == flat_of(Everything(2))).all()


def test_training_and_state_dict_loading_stay_connected() -> None:
    module = nn.Sequential(nn.Linear(2, 2), nn.BatchNorm1d(2))
    flat = FlatModule(module)
    first, second = np.empty((2, flat.layout.nbytes), np.uint8)
    flat.to_bytes(first)
    module(torch.randn(4, 2)).sum().backward()
    torch.optim.SGD(module.parameters(), 0.1).step()
    flat.to_bytes(second)
    assert not (first == second).all()
    module.double().float()  # replaces buffers by new objects
    module.load_state_dict({k: torch.ones_like(v) for k, v in module.state_dict().items()})
    flat.to_bytes(second)
    assert (second == flat_of(module)).all()


def test_own_buffer_needs_no_copy() -> None:
    module, other = nn.Linear(2, 2), nn.Linear(2, 2)
    flat = FlatModule(module)
    flat.buffer[:] = flat_of(other)
    flat.load_bytes(flat.buffer)
    assert (flat_of(module) == flat_of(other)).all()


def test_changed_tensors_wrong_lengths_and_lazy_modules_are_refused() -> None:
    module = nn.Linear(4, 1)
    flat = FlatModule(module)
    out = np.empty(flat.layout.nbytes, np.uint8)
    with pytest.raises(ValueError, match=r"uint8\[32\], got uint8\[3\]"):
        flat.load_bytes(np.zeros(3, np.uint8))
    module.weight = nn.Parameter(torch.zeros(1, 1))  # would be broadcast by a plain copy
    with pytest.raises(ValueError, match=r"weight was .*\[1, 4\].*\[1, 1\] now"):
        flat.to_bytes(out)
    with pytest.raises(ValueError, match="weight was"):
        flat.load_bytes(out)
    with pytest.raises(TypeError, match="parameter weight has no shape yet"):
        layout_of(nn.LazyLinear(3))
