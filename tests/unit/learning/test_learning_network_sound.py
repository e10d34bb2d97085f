"""Of a sound network nothing is said, and of one that takes nothing that could be made up."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from torch import Tensor, nn

from tests.unit.learning.networks_asked import (
    ACTIONS,
    FRAMES,
    SHAPE,
    SIZE,
    Plain,
    Recurrent,
    examined,
)
from tuitrain.config.algorithm import AlgorithmConfig
from tuitrain.envs.spec import Part
from tuitrain.learning.distributions import QNetwork
from tuitrain.learning.network_probe import Examined, examine
from tuitrain.learning.networks import build_network
from tuitrain.seeding import GlobalRandom

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


class GroupNormalized(Plain):
    def __init__(self) -> None:
        super().__init__()
        self.norm, self.more = nn.GroupNorm(4, 16), nn.LayerNorm(16)

    def hidden(self, x: Tensor) -> Tensor:
        return self.more(self.norm(super().hidden(x)))


class Spectral(Plain):
    """Its norm is estimated in buffers, while it trains."""

    def __init__(self) -> None:
        super().__init__()
        self.first = nn.utils.parametrizations.spectral_norm(self.first)
        self.last = nn.utils.parametrizations.weight_norm(self.last)


class LongShortTerm(nn.Module):
    """Over the frames of a stack, from zero each time; a projection of each frame before it."""

    def __init__(self) -> None:
        super().__init__()
        self.enter = nn.Linear(SIZE, 6)
        self.cell, self.last = nn.LSTM(6, 8, 2), nn.Linear(8, ACTIONS)

    def forward(self, x: Tensor) -> Tensor:
        each = torch.relu(self.enter(x)).transpose(0, 1)
        start = torch.zeros(2, len(x), 8)
        return self.last(self.cell(each, (start, start.clone()))[0][-1])


class Dueling(Plain):
    def __init__(self) -> None:
        super().__init__()
        self.value = nn.Linear(16, 1)

    def forward(self, x: Tensor) -> Tensor:
        hidden = self.hidden(x)
        advantage = self.last(hidden)
        return self.value(hidden) + advantage - advantage.mean(1, keepdim=True)


class MasksInside(Plain):
    """Actions that the observation forbids get a value far below all others."""

    def forward(self, x: Tensor) -> Tensor:
        return super().forward(x).masked_fill(x[:, -1, :ACTIONS] > 1.0, -1e6)


class Tied(Plain):
    """One layer used twice, under two names."""

    def __init__(self) -> None:
        super().__init__(16)
        self.enter = nn.Linear(FRAMES * SIZE, 16)
        self.again = self.first

    def hidden(self, x: Tensor) -> Tensor:
        return torch.relu(self.again(super().hidden(self.enter(x.flatten(1)))))


class FrozenFeatures(Plain):
    """Fixed on purpose; the layer that is also reached through a list is registered."""

    def __init__(self) -> None:
        super().__init__(16)
        self.features = nn.Linear(FRAMES * SIZE, 16).requires_grad_(False)
        self.hidden_ones = [nn.Linear(16, 16).requires_grad_(False)]
        self.own = [self.first]

    def forward(self, x: Tensor) -> Tensor:
        with torch.no_grad():
            features = torch.relu(self.hidden_ones[0](self.features(x.flatten(1))))
        return self.last(torch.relu(self.own[0](features)))


class Heads(Plain):
    """Each is given the same frames once more."""

    def __init__(self) -> None:
        super().__init__()
        self.noise = nn.Parameter(torch.ones(5, 1))

    def hidden(self, x: Tensor) -> Tensor:
        each = self.first(x.flatten(1)[:, None].expand(-1, 5, -1))
        return torch.relu(each + self.noise).mean(1)


class AsksItself(Plain):
    """Uses a gradient by its input on the way."""

    def forward(self, x: Tensor) -> Tensor:
        with torch.enable_grad():
            probe = x.clone().requires_grad_()
            (slope,) = torch.autograd.grad(super().forward(probe).sum(), probe, create_graph=True)
        return super().forward(x) + slope.sum((1, 2))[:, None]


class Picks(Plain):
    """Holds indices as a parameter that is not trained, so that they go to the device with it."""

    def __init__(self) -> None:
        super().__init__()
        self.order = nn.Parameter(torch.arange(FRAMES * SIZE).flip(0), requires_grad=False)

    def forward(self, x: Tensor) -> Tensor:
        return super().forward(x.flatten(1)[:, self.order])


class Frequencies(Plain):
    """Of complex weights, which have no smallest."""

    def __init__(self) -> None:
        super().__init__(16)
        self.weights = nn.Parameter(torch.randn(FRAMES * SIZE // 2 + 1, 9, dtype=torch.cfloat))

    def forward(self, x: Tensor) -> Tensor:
        return super().forward(torch.fft.irfft(torch.fft.rfft(x.flatten(1)) @ self.weights))


@pytest.mark.filterwarnings("ignore:enable_nested_tensor")
@pytest.mark.parametrize(
    "make",
    [
        Plain,
        BatchNormalized,
        BeginsAtZero,
        Recurrent,
        Differences,
        Attends,
        SmallRest,
        GroupNormalized,
        Spectral,
        LongShortTerm,
        Dueling,
        MasksInside,
        Tied,
        FrozenFeatures,
        Heads,
        AsksItself,
        Picks,
        Frequencies,
    ],
    ids=lambda make: make.__name__,
)
def test_of_a_sound_network_nothing_is_said(make: type[nn.Module]) -> None:
    found = examined(make)
    assert found.faults == ()
    assert found.high is None
    assert found.low in (None, -1e6)  # of actions that are forbidden
    assert found.asked
    assert not found.no_numbers


@pytest.mark.parametrize("dtype", ["uint8", "int64", "float32", "bool"])
def test_inputs_are_found_that_a_network_takes(dtype: str) -> None:
    class Raw(QNetwork):
        pass

    def built() -> QNetwork:
        with GlobalRandom(np.random.SeedSequence(7)):
            return Raw(LooksUp(), 1.0)

    assert examine(built(), built(), SHAPE, dtype) == Examined()


def test_one_thread_asks_because_the_process_is_forked_later() -> None:
    used = set()

    class Tells(Plain):
        def forward(self, x: Tensor) -> Tensor:
            used.add(torch.get_num_threads())
            return super().forward(x)

    before = torch.get_num_threads()
    torch.set_num_threads(2)
    try:
        examined(Tells)
        after = torch.get_num_threads()
    finally:
        torch.set_num_threads(before)
    assert (used, after) == ({1}, 2)


def test_of_who_makes_a_zero_or_one_of_each_value_nothing_is_said() -> None:
    """Most of what its layer is given is zero, and always so of values that are never drawn."""

    class OneHot(Plain):
        def __init__(self) -> None:
            super().__init__(16)

        def forward(self, x: Tensor) -> Tensor:
            return super().forward(nn.functional.one_hot(x[:, 0, 0].long(), 16).float())

    assert examined(OneHot, (1, 1), "int64").faults == ()


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

    assert examined(Picky) == Examined(asked=False)
    assert examined(NoNumbers) == Examined(asked=False, no_numbers=True)


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
