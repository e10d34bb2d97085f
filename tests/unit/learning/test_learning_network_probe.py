"""What is wrong with a network is found by asking it; of a sound one nothing is said."""

from __future__ import annotations

import itertools
import random
from collections.abc import Callable
from typing import Any

import numpy as np
import pytest
import torch
from torch import Tensor, nn
from torch.nn import functional

from tuitrain.config.algorithm import AlgorithmConfig
from tuitrain.envs.spec import Part
from tuitrain.learning.distributions import QNetwork
from tuitrain.learning.network_probe import Examined, examine
from tuitrain.learning.networks import build_network
from tuitrain.seeding import GlobalRandom

FRAMES, SIZE, ACTIONS = 3, 4, 2
SHAPE = (FRAMES, SIZE)


class Plain(nn.Module):
    """Flatten, a hidden layer, heads; each fault is a line of another ``forward``."""

    def __init__(self, inputs: int = FRAMES * SIZE, actions: int = ACTIONS) -> None:
        super().__init__()
        self.first, self.last = nn.Linear(inputs, 16), nn.Linear(16, actions)

    def hidden(self, x: Tensor) -> Tensor:
        return torch.relu(self.first(x.flatten(1)))

    def forward(self, x: Tensor) -> Tensor:
        return self.last(self.hidden(x))


def examined(
    make: Callable[[], nn.Module],
    shape: tuple[int, ...] = SHAPE,
    dtype: str = "float32",
    parts: tuple[Part, ...] = (),
) -> Examined:
    """What is found of a network that is built twice from one seed, as ``build_network`` does."""

    def built() -> QNetwork:
        with GlobalRandom(np.random.SeedSequence(7)):
            return QNetwork(make(), 255.0)

    return examine(built(), built(), shape, dtype, parts)


def kinds(found: Examined) -> list[str]:
    return [fault.kind for fault in found.faults]


# ---- faults --------------------------------------------------------------------------------------


class KeepsHidden(Plain):
    kept: Tensor | None = None

    def hidden(self, x: Tensor) -> Tensor:
        now = super().hidden(x)
        if self.kept is not None and len(self.kept) == len(now):
            now = 0.5 * now + 0.5 * self.kept
        self.kept = now
        return now


class KeepsCell(nn.Module):
    """A recurrent layer whose state nobody resets: it fails where batches differ in size."""

    def __init__(self) -> None:
        super().__init__()
        self.cell, self.last = nn.GRUCell(FRAMES * SIZE, 8), nn.Linear(8, ACTIONS)
        self.state: Tensor | None = None

    def forward(self, x: Tensor) -> Tensor:
        self.state = self.cell(x.flatten(1), self.state)
        return self.last(self.state)


class Normalizes(Plain):
    """By running means that it moves whenever it is asked."""

    def __init__(self) -> None:
        super().__init__()
        self.register_buffer("mean", torch.zeros(FRAMES * SIZE))

    def forward(self, x: Tensor) -> Tensor:
        self.mean.lerp_(x.flatten(1).mean(0), 0.01)
        return super().forward(x.flatten(1) - self.mean)


class Counts(Plain):
    def __init__(self) -> None:
        super().__init__()
        self.register_buffer("calls", torch.zeros(1))

    def forward(self, x: Tensor) -> Tensor:
        self.calls += 1
        return super().forward(x)


class OwnNoise(Plain):
    def __init__(self) -> None:
        super().__init__()
        self.rng = np.random.default_rng(3)

    def forward(self, x: Tensor) -> Tensor:
        return super().forward(x) + float(self.rng.normal())


class DropsOut(Plain):
    """Its user forgot ``training=self.training``."""

    def hidden(self, x: Tensor) -> Tensor:
        return functional.dropout(super().hidden(x), 0.5)


class Centred(Plain):
    def hidden(self, x: Tensor) -> Tensor:
        now = super().hidden(x)
        return now - now.mean(0)


class Cumulative(Plain):
    """Each row sees those before it."""

    def hidden(self, x: Tensor) -> Tensor:
        return super().hidden(x).cumsum(0)


class Gated(Plain):
    """The same behind a gate that begins closed."""

    def __init__(self) -> None:
        super().__init__()
        self.gate = nn.Parameter(torch.zeros(()))

    def hidden(self, x: Tensor) -> Tensor:
        now = super().hidden(x)
        return now + self.gate * now.mean(0)


class FramesFirst(Plain):
    """``reshape`` where ``transpose`` was meant: rows and frames change places."""

    def __init__(self) -> None:
        super().__init__(SIZE)

    def forward(self, x: Tensor) -> Tensor:
        by_frame = x.reshape(FRAMES, -1, SIZE)
        return super().forward(by_frame.mean(0))


class Shares(Plain):
    """The values of a batch are shared out among its rows."""

    def forward(self, x: Tensor) -> Tensor:
        return super().forward(x) / len(x)


class Squeezes(Plain):
    def forward(self, x: Tensor) -> Tensor:
        return super().forward(x).squeeze()


class TwoAtOnce(Plain):
    def forward(self, x: Tensor) -> Tensor:
        return super().forward(x.view(2, FRAMES, SIZE))


class Projects(Plain):
    """By numbers that are neither parameters nor buffers, nor seeded."""

    def __init__(self) -> None:
        super().__init__()
        numbers = np.random.default_rng().normal(size=(FRAMES * SIZE, FRAMES * SIZE))
        self.projection = torch.from_numpy(numbers.astype(np.float32))

    def forward(self, x: Tensor) -> Tensor:
        return super().forward(x.flatten(1) @ self.projection)


class BeginsAnyhow(Plain):
    def __init__(self) -> None:
        super().__init__()
        numbers = np.random.default_rng().normal(size=ACTIONS)
        with torch.no_grad():
            self.last.bias.copy_(torch.from_numpy(numbers))


class LastFrame(Plain):
    def __init__(self) -> None:
        super().__init__(SIZE)

    def forward(self, x: Tensor) -> Tensor:
        return super().forward(x[:, -1])


class FirstFrame(LastFrame):
    def forward(self, x: Tensor) -> Tensor:
        return super().forward(x[:, :1])


class Blind(Plain):
    def forward(self, x: Tensor) -> Tensor:
        return super().forward(torch.zeros_like(x))


class OneForAll(Plain):
    def __init__(self) -> None:
        super().__init__(actions=1)

    def forward(self, x: Tensor) -> Tensor:
        return super().forward(x).expand(-1, ACTIONS)


FAULTY: dict[type[nn.Module], str] = {
    KeepsHidden: "state",
    KeepsCell: "state",
    Normalizes: "state",
    Counts: "buffer",
    OwnNoise: "changing",
    DropsOut: "random",
    Centred: "rows",
    Cumulative: "rows",
    Gated: "rows",
    FramesFirst: "rows",
    Shares: "rows",
    Squeezes: "batch",
    TwoAtOnce: "batch",
    Projects: "outside",
    BeginsAnyhow: "begins",
    LastFrame: "frames",
    FirstFrame: "frames",
    Blind: "blind",
    OneForAll: "actions",
}
REFUSED = {"state", "rows", "batch", "outside"}


@pytest.mark.parametrize("make", FAULTY, ids=lambda make: make.__name__)
def test_what_is_wrong_is_named_and_nothing_else(make: type[nn.Module]) -> None:
    found = examined(make)
    assert kinds(found) == [FAULTY[make]]
    (fault,) = found.faults
    assert (fault.state == "refused") == (fault.kind in REFUSED)
    assert fault.says
    assert fault.advice


def test_the_frame_that_is_looked_at_is_named() -> None:
    assert "newest" in examined(LastFrame).faults[0].advice
    assert "oldest" in examined(FirstFrame).faults[0].advice


def test_what_fails_at_a_batch_of_one_is_quoted() -> None:
    (fault,) = examined(TwoAtOnce).faults
    assert fault.says == "cannot answer a batch of 1"
    assert "RuntimeError: shape '[2, 3, 4]' is invalid" in fault.advice


def test_parts_that_are_not_looked_at_are_named() -> None:
    class Half(Plain):
        def forward(self, x: Tensor) -> Tensor:
            return super().forward(torch.cat([x[..., :2], torch.zeros_like(x[..., 2:])], 2))

    parts = tuple(
        Part((name,), "box", (width,), "float32", column)
        for name, width, column in (("near", 2, 0), ("far", 1, 2), ("wind", 1, 3))
    )
    (fault,) = examined(Half, parts=parts).faults
    assert fault.kind == "parts"
    assert "far, wind" in fault.advice
    assert "near" not in fault.advice
    assert kinds(examined(Plain, parts=parts)) == []


def test_several_faults_come_worst_first() -> None:
    class Both(LastFrame):
        def hidden(self, x: Tensor) -> Tensor:
            return functional.dropout(super().hidden(x), 0.5)

        def forward(self, x: Tensor) -> Tensor:
            return super().forward(x)[:, :1].expand(-1, ACTIONS)

    assert kinds(examined(Both)) == ["actions", "random", "frames"]


# ---- limits --------------------------------------------------------------------------------------


def ending(with_: Callable[[Tensor], Tensor]) -> type[nn.Module]:
    class Ends(Plain):
        def forward(self, x: Tensor) -> Tensor:
            return with_(super().forward(x))

    return Ends


@pytest.mark.parametrize(
    ("with_", "low", "high"),
    [
        (torch.tanh, -1.0, 1.0),
        (torch.sigmoid, 0.0, 1.0),
        (lambda q: functional.softmax(q, 1), 0.0, 1.0),
        (torch.relu, 0.0, None),
        (lambda q: 10 * torch.tanh(q), -10.0, 10.0),
        (lambda q: q.clamp(-5, 5), -5.0, 5.0),
        (lambda q: q, None, None),
    ],
)
def test_limits_of_values(
    with_: Callable[[Tensor], Tensor], low: float | None, high: float | None
) -> None:
    found = examined(ending(with_), (FRAMES, SIZE))
    assert found.faults == ()
    assert (found.low, found.high) == (pytest.approx(low, abs=1e-3), pytest.approx(high, rel=1e-3))


# ---- sound ---------------------------------------------------------------------------------------


class BatchNormalized(Plain):
    """Mixes rows while it trains, as is meant, and writes to its buffers then."""

    def __init__(self) -> None:
        super().__init__()
        self.norm, self.drop = nn.BatchNorm1d(16), nn.Dropout(0.5)

    def hidden(self, x: Tensor) -> Tensor:
        return self.drop(self.norm(super().hidden(x)))


class BeginsAtZero(Plain):
    """All its first values are 0, so nothing seems to matter."""

    def __init__(self) -> None:
        super().__init__()
        nn.init.zeros_(self.last.weight)
        nn.init.zeros_(self.last.bias)


class LooksUp(nn.Module):
    """Takes what it sees for indices, and fails of any other."""

    def __init__(self) -> None:
        super().__init__()
        self.table = nn.Embedding(3, 5)
        self.last = nn.Linear(FRAMES * SIZE * 5, ACTIONS)
        self.input_scale = 1.0

    def forward(self, x: Tensor) -> Tensor:
        return self.last(self.table(x.long()).flatten(1))


class Recurrent(nn.Module):
    """Over the frames of a stack, from zero each time."""

    def __init__(self) -> None:
        super().__init__()
        self.cell, self.last = nn.GRU(SIZE, 8, batch_first=True), nn.Linear(8, ACTIONS)

    def forward(self, x: Tensor) -> Tensor:
        return self.last(self.cell(x)[0][:, -1])


class Differences(Plain):
    """Of the last two frames: how fast something goes is all that it looks at."""

    def __init__(self) -> None:
        super().__init__(SIZE)

    def forward(self, x: Tensor) -> Tensor:
        return super().forward(x[:, -1] - x[:, -2])


class Attends(nn.Module):
    """To the frames of a row."""

    def __init__(self) -> None:
        super().__init__()
        self.attention = nn.TransformerEncoderLayer(SIZE, 2, 8, batch_first=True)
        self.last = nn.Linear(SIZE, ACTIONS)

    def forward(self, x: Tensor) -> Tensor:
        return self.last(self.attention(x).mean(1))


class SmallRest(Plain):
    """What is left of large numbers: its sums are off by far more than in most networks."""

    def forward(self, x: Tensor) -> Tensor:
        return super().forward(x) + 3e4 * x.sum((1, 2))[:, None] - 3e4 * x.sum((2, 1))[:, None]


@pytest.mark.filterwarnings("ignore:enable_nested_tensor")
@pytest.mark.parametrize(
    "make",
    [Plain, BatchNormalized, BeginsAtZero, Recurrent, Differences, Attends, SmallRest],
    ids=lambda make: make.__name__,
)
def test_of_a_sound_network_nothing_is_said(make: type[nn.Module]) -> None:
    assert examined(make) == Examined()


@pytest.mark.parametrize("dtype", ["uint8", "int64", "float32", "bool"])
def test_inputs_are_found_that_a_network_takes(dtype: str) -> None:
    class Raw(QNetwork):
        pass

    def built() -> QNetwork:
        with GlobalRandom(np.random.SeedSequence(7)):
            return Raw(LooksUp(), 1.0)

    assert examine(built(), built(), SHAPE, dtype) == Examined()


def test_who_takes_some_of_them_by_chance_is_asked_for_what_it_always_takes() -> None:
    class Small(Plain):
        def forward(self, x: Tensor) -> Tensor:
            assert x[:, 0, 0].max() < 1, "not all that is drawn"
            return super().forward(x)

    for size in range(1, 5):
        found = examined(lambda size=size: Small(FRAMES * size), (FRAMES, size))
        assert found.faults == ()


def test_who_takes_none_of_them_is_not_judged() -> None:
    class Picky(Plain):
        def forward(self, x: Tensor) -> Tensor:
            assert not x.any(), "the zeros of a first trial"
            return super().forward(x)

    class NoNumbers(Plain):
        def forward(self, x: Tensor) -> Tensor:
            return super().forward(x) * torch.nan

    for make in (Picky, NoNumbers):
        assert examined(make) == Examined(asked=False)


BUILT_IN = [
    ("mlp", (1, 4), "float32"),
    ("mlp", (2, 1), "bool"),
    ("mlp", (3, 5, 5), "int64"),
    ("minatar", (2, 10, 10, 4), "bool"),
    ("minatar", (1, 10, 10), "float64"),
    ("nature", (4, 84, 84), "uint8"),
]


@pytest.mark.parametrize("algorithm", ["dqn", "c51", "qr-dqn", "iqn"])
@pytest.mark.parametrize(("name", "shape", "dtype"), BUILT_IN)
@pytest.mark.parametrize("more", [False, True], ids=["plain", "noisy-dueling"])
def test_of_built_in_networks_nothing_is_said(
    name: str, shape: tuple[int, ...], dtype: str, algorithm: str, more: bool
) -> None:
    how = AlgorithmConfig(name=algorithm, noisy=more)  # type: ignore[arg-type]
    pair = [build_network(name, shape, dtype, 3, more, seed=s, algorithm=how) for s in (4, 4)]
    parts = (Part((), "box", shape[1:], dtype),) if len(shape) == 2 else ()
    assert examine(*pair, shape, dtype, parts) == Examined()


# ---- what it leaves ------------------------------------------------------------------------------


def test_network_and_global_state_are_left_as_they_were() -> None:
    def state() -> list[Any]:
        return [random.getstate(), str(np.random.get_state()), torch.get_rng_state().tolist()]

    for make, training in itertools.product((Plain, DropsOut, BeginsAtZero), (False, True)):
        network, twin = QNetwork(make(), 1.0).train(training), QNetwork(make(), 1.0)
        weights = {name: tensor.clone() for name, tensor in network.state_dict().items()}
        before = state()
        examine(network, twin, SHAPE, "float32")
        assert state() == before
        assert network.training == training
        assert all(torch.equal(weights[n], t) for n, t in network.state_dict().items())
