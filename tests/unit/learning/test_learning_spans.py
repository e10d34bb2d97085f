"""Parameters side by side in memory: what lies there, what may not, and who still finds it."""

from __future__ import annotations

import copy
import io
from collections.abc import Callable
from types import SimpleNamespace

import numpy as np
import pytest
import torch
from torch import Tensor, nn

from tests.unit.learning.weights_doubles import Memory, TurnLock
from tuitrain.config.learner import LearnerConfig
from tuitrain.learning.adam import Adam
from tuitrain.learning.batch import TensorBatch, to_device
from tuitrain.learning.dqn import DQN
from tuitrain.learning.flatten import FlatModule, layout_of, rehome
from tuitrain.learning.networks import build_network
from tuitrain.learning.policy import Policy
from tuitrain.learning.spans import Spans
from tuitrain.learning.weights import WeightStore


@pytest.fixture(autouse=True)
def _own_torch_rng():
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(0)
        yield


def mlp(seed: int = 0) -> nn.Module:
    return build_network("mlp", (1, 4), "float32", 2, seed=seed)


def convolutional() -> nn.Module:
    return build_network("minatar", (1, 5, 5, 2), "float32", 2)


def normalised() -> nn.Module:
    return nn.Sequential(
        nn.Flatten(), nn.Linear(4, 6), nn.ReLU(), nn.BatchNorm1d(6), nn.Linear(6, 2)
    )


class Tied(nn.Module):
    """One layer under two names, and one that does not learn between two that do."""

    def __init__(self) -> None:
        super().__init__()
        self.first = nn.Linear(4, 4)
        self.again = self.first
        self.frozen = nn.Linear(4, 4).requires_grad_(False)
        self.last = nn.Linear(4, 2)

    def forward(self, x: Tensor) -> Tensor:
        x = self.frozen(self.first(x.flatten(1))).relu()
        return self.last(self.again(x))


class Mixed(nn.Module):
    """Parameters of two dtypes."""

    def __init__(self) -> None:
        super().__init__()
        self.a, self.b = nn.Linear(4, 3), nn.Linear(3, 2).double()

    def forward(self, x: Tensor) -> Tensor:
        return self.b(self.a(x.flatten(1)).double()).float()


class Shared(nn.Module):
    """A parameter and a buffer that is a part of it."""

    def __init__(self) -> None:
        super().__init__()
        self.layer = nn.Linear(4, 2)
        self.register_buffer("corner", self.layer.weight.data[:1])

    def forward(self, x: Tensor) -> Tensor:
        return self.layer(x.flatten(1))


class Strided(nn.Module):
    """A parameter whose elements lie in another order."""

    def __init__(self) -> None:
        super().__init__()
        self.weight = nn.Parameter(torch.randn(4, 2).t())
        assert not self.weight.is_contiguous()

    def forward(self, x: Tensor) -> Tensor:
        return x.flatten(1) @ self.weight.t()


class Gaps(nn.Module):
    """A parameter that is a part of a larger tensor."""

    def __init__(self) -> None:
        super().__init__()
        self.weight = nn.Parameter(torch.randn(2, 7)[:, :4])

    def forward(self, x: Tensor) -> Tensor:
        return x.flatten(1) @ self.weight.t()


class Constrained(nn.Module):
    """Replaces the memory of its parameters at every call."""

    def __init__(self) -> None:
        super().__init__()
        self.layer = nn.Linear(4, 2)

    def forward(self, x: Tensor) -> Tensor:
        self.layer.weight.data = self.layer.weight.data.clamp(-0.3, 0.3)
        return self.layer(x.flatten(1))


MODULES: dict[str, tuple[Callable[[], nn.Module], int]] = {
    "mlp": (mlp, 1),
    "normalised": (normalised, 2),
    "tied": (Tied, 2),
    "mixed": (Mixed, 2),
    "shared": (Shared, 2),
    "strided": (Strided, 1),
    "gaps": (Gaps, 1),
    "constrained": (Constrained, 1),
}
"""What must learn as with torch's own optimizer, and in how many pieces it lies."""


def batch(seed: int) -> TensorBatch:
    rng = np.random.default_rng(seed)
    arrays = SimpleNamespace(
        state=rng.random((16, 1, 4), np.float32),
        next_state=rng.random((16, 1, 4), np.float32),
        action=rng.integers(0, 2, 16),
        returns=rng.normal(size=16).astype(np.float32),
        discount=np.full(16, 0.9, np.float32),
        legal=None,
        next_legal=None,
    )
    return to_device(arrays, "cpu")


# ---- in memory -----------------------------------------------------------------------------------


def test_a_rehomed_network_is_its_byte_vector() -> None:
    network = convolutional()
    before = FlatModule(network).read().copy()
    objects = [id(p) for p in network.parameters()]
    rehome(network)
    flat = FlatModule(network)
    assert [id(p) for p in network.parameters()] == objects
    assert (flat.read() == before).all()
    for p, offset in zip(network.parameters(), flat.layout.offsets, strict=True):
        assert p.data_ptr() == flat.buffer.ctypes.data + offset
    with torch.no_grad():
        for p in network.parameters():
            p.fill_(3.0)
    assert not (flat.buffer == before).all(), "the buffer must be the network itself"
    flat.buffer[:] = before
    flat.load_bytes(flat.buffer)
    assert (FlatModule(network).read() == before).all()


def test_a_second_call_and_a_second_reader_change_nothing() -> None:
    network = mlp()
    rehome(network)
    places = [p.data_ptr() for p in network.parameters()]
    rehome(network)
    assert [p.data_ptr() for p in network.parameters()] == places
    assert FlatModule(network).buffer.ctypes.data == FlatModule(network).buffer.ctypes.data


def test_a_part_and_a_copy_of_a_rehomed_network_are_their_own() -> None:
    network = mlp()
    rehome(network)
    for other in (copy.deepcopy(network), network.get_submodule("body.heads")):
        expected = layout_of(other).nbytes
        flat = FlatModule(other)
        flat.load_bytes(np.zeros(expected, np.uint8))
        assert all((p == 0).all() for p in other.parameters())
    assert not all((p == 0).all() for p in network.get_submodule("body.trunk").parameters())
    assert all((p == 0).all() for p in network.get_submodule("body.heads").parameters())


@pytest.mark.parametrize("name", MODULES)
def test_as_few_tensors_as_there_are_pieces(name: str) -> None:
    make, pieces = MODULES[name]
    network = make()
    rehome(network)
    parameters = [p for p in network.parameters() if p.requires_grad]
    spans = Spans(parameters)
    assert len(spans.tensors) == pieces
    for tensor in spans.tensors:
        tensor.fill_(2.0)
    assert all((p == 2.0).all() for p in parameters)
    for p, view in zip(parameters, spans.views(spans.tensors), strict=True):
        assert (view.data_ptr(), view.shape, view.stride()) == (p.data_ptr(), p.shape, p.stride())
    frozen = [p for p in network.parameters() if not p.requires_grad]
    assert not any((p == 2.0).any() for p in frozen), "a neighbour was written"


def test_padding_stays_zero_while_learning() -> None:
    dqn = DQN(mlp(), mlp(), LearnerConfig(), 2, "cpu", 50)
    flat = FlatModule(dqn.online)
    used = np.zeros(flat.layout.nbytes, bool)
    for offset, size in zip(flat.layout.offsets, flat.layout.sizes, strict=True):
        used[offset : offset + size] = True
    assert not used.all()
    for i in range(20):
        dqn.update([batch(i)])
    assert (flat.read()[~used] == 0).all()


def test_a_saved_state_does_not_hold_the_whole_vector_with_each_tensor() -> None:
    dqn = DQN(mlp(), mlp(), LearnerConfig(), 2, "cpu", 50)
    dqn.update([batch(0)])
    saved = dqn.state_dict()
    file = io.BytesIO()
    torch.save(saved, file)
    assert file.tell() < 6 * layout_of(dqn.online).nbytes
    file.seek(0)
    other = DQN(mlp(3), mlp(4), LearnerConfig(), 2, "cpu", 50)
    other.load_state_dict(torch.load(file, weights_only=True))
    assert (FlatModule(other.online).read() == FlatModule(dqn.online).read()).all()


# ---- published -----------------------------------------------------------------------------------


@pytest.mark.parametrize("make", [mlp, normalised])
def test_published_in_one_copy_each_way(make: Callable[[], nn.Module]) -> None:
    """From the learner's own memory to the slot, from the slot to the acting network's."""
    dqn = DQN(make(), make(), LearnerConfig(), 2, "cpu", 50)
    flat = FlatModule(dqn.online)
    store = WeightStore(flat.layout, Memory(1, flat.layout), TurnLock(), 1)
    store.initialise()
    assert not store.newest().any()
    acting = make()
    policy = Policy(acting, 2)
    for i in range(3):
        dqn.update([batch(i)])
        store.publish(flat.read(), dqn.updates)
        sent = flat.read().copy()
        dqn.update([batch(i + 10)])  # what is published stands still
        assert (store.newest() == sent).all()
        assert not (flat.read() == sent).all()
        policy.load(policy.buffer, store.pull(0, policy.buffer).version)
        assert (FlatModule(acting).read() == sent).all()
    with pytest.raises(ValueError, match="read-only"):
        store.newest()[0] = 1
    parameter = next(acting.parameters())
    assert parameter.data_ptr() == policy.buffer.ctypes.data
    other = make()
    FlatModule(other).load_bytes(store.newest().copy())
    x = batch(0).state.numpy()
    assert (Policy(other, 2).values(x) == policy.values(x)).all()


# ---- learning ------------------------------------------------------------------------------------


@pytest.mark.parametrize("tau", [None, 0.1])
@pytest.mark.parametrize("name", MODULES)
def test_learns_as_with_torchs_own_optimizer(name: str, tau: float | None) -> None:
    make, _ = MODULES[name]
    network, target = make(), make()
    plain, plain_target = make(), make()  # a deep copy would not share what its original shares
    plain.load_state_dict(network.state_dict())
    plain_target.load_state_dict(network.state_dict())
    plain_target.eval()
    config = LearnerConfig.model_validate(
        # a large eps: what is left of a gradient that should be zero must not become a step
        {
            "lr": 1e-2,
            "adam_eps": 1e-3,
            "double": False,
            "loss": "mse",
            "max_grad_norm": 0.5,
            "tau": tau,
        }
        | ({} if tau else {"target_update_every_updates": 3})
    )
    dqn = DQN(network, target, config, 2, "cpu", 50)
    adam = torch.optim.Adam([p for p in plain.parameters() if p.requires_grad], 1e-2, eps=1e-3)
    for i in range(1, 8):
        b = batch(i)
        dqn.update([b])
        with torch.no_grad():
            goal = b.returns + b.discount * plain_target(b.next_state).amax(1)
        adam.zero_grad()
        q = plain(b.state).gather(1, b.action[:, None])[:, 0]
        ((q - goal).square().mean() / 2).backward()
        nn.utils.clip_grad_norm_(plain.parameters(), 0.5)
        adam.step()
        with torch.no_grad():
            pairs = zip(plain_target.parameters(), plain.parameters(), strict=True)
            if tau:
                for old, new in pairs:
                    old.lerp_(new, tau)
            elif i % 3 == 0:
                for old, new in pairs:
                    old.copy_(new)
            for old, new in zip(plain_target.buffers(), plain.buffers(), strict=True):
                if tau or i % 3 == 0:
                    old.copy_(new)
    for mine, theirs in ((dqn.online, plain), (dqn.target, plain_target)):
        for key, value in theirs.state_dict().items():
            found = mine.state_dict()[key]
            torch.testing.assert_close(found, value, rtol=1e-4, atol=1e-5, msg=key)


@pytest.mark.parametrize("make", [mlp, normalised])
def test_replaced_memory_is_brought_back(make: Callable[[], nn.Module]) -> None:
    """A parameter whose data or gradient somebody has replaced goes on learning."""
    config = LearnerConfig(tau=0.1)
    undisturbed, disturbed = (DQN(make(), make(), config, 2, "cpu", 50) for _ in range(2))
    disturbed.online.load_state_dict(undisturbed.online.state_dict())
    disturbed._pairs.copy()
    undisturbed._pairs.copy()
    for i in range(6):
        for dqn in (undisturbed, disturbed):
            dqn.update([batch(i)])
        for network in (undisturbed.online, undisturbed.target):
            for p in network.parameters():
                p.data.mul_(1.1)
        for network in (disturbed.online, disturbed.target):
            for p in network.parameters():
                p.data = p.data * 1.1
                p.grad = None
    for network in ("online", "target"):
        flats = [FlatModule(getattr(dqn, network)).read() for dqn in (undisturbed, disturbed)]
        assert (flats[0] == flats[1]).all()
    parameter = next(disturbed.online.parameters())
    parameter.data = torch.zeros(1)
    with pytest.raises(RuntimeError, match=r"\[1\] now"):
        disturbed.update([batch(0)])


# ---- the optimizer's state -----------------------------------------------------------------------


def test_state_is_in_torchs_format_and_goes_both_ways() -> None:
    network = mlp()
    torchs = torch.optim.Adam(network.parameters(), lr=1e-3)
    for i in range(3):
        torchs.zero_grad()
        network(batch(i).state).square().mean().backward()
        torchs.step()
    saved = torchs.state_dict()["state"]
    mine = Adam(list(network.parameters()), 1e-8)
    mine.load_state(saved)
    found = mine.state()
    assert found.keys() == saved.keys()
    for index, state in saved.items():
        assert state.keys() == found[index].keys()
        assert all(torch.equal(state[key], found[index][key]) for key in state)
    mine.load_state({})
    assert all(not value.any() for state in mine.state().values() for value in state.values())
