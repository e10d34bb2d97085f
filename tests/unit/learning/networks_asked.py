"""Networks that are asked, and what is found of them."""

from __future__ import annotations

from collections.abc import Callable

import numpy as np
import torch
from torch import Tensor, nn

from tuitrain.envs.spec import Part
from tuitrain.learning.distributions import QNetwork
from tuitrain.learning.network_probe import Examined, examine
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


class Recurrent(nn.Module):
    """Over the frames of a stack, from zero each time."""

    def __init__(self) -> None:
        super().__init__()
        self.cell, self.last = nn.GRU(SIZE, 8, batch_first=True), nn.Linear(8, ACTIONS)

    def forward(self, x: Tensor) -> Tensor:
        return self.last(self.cell(x)[0][:, -1])
