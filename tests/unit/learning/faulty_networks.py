"""Networks with one thing wrong each, and what asking them finds."""

from __future__ import annotations

import numpy as np
import torch
from torch import Tensor, nn
from torch.nn import functional

from tests.unit.learning.networks_asked import (
    ACTIONS,
    FRAMES,
    SIZE,
    Plain,
)


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


class InAList(Plain):
    """Layers in a plain list are no modules of its own."""

    def __init__(self) -> None:
        super().__init__(16)
        self.layers = [nn.Linear(FRAMES * SIZE, 16)]

    def forward(self, x: Tensor) -> Tensor:
        return super().forward(self.layers[0](x.flatten(1)))


class InADictionary(Plain):
    """The same two levels down, and of a tensor."""

    def __init__(self) -> None:
        super().__init__()
        self.more = {"gates": (torch.ones(FRAMES * SIZE, requires_grad=True),)}

    def forward(self, x: Tensor) -> Tensor:
        return super().forward(x.flatten(1) * self.more["gates"][0])


class InAClosure(Plain):
    def __init__(self) -> None:
        super().__init__(16)
        layer = nn.Linear(FRAMES * SIZE, 16)
        self.enter = lambda x: layer(x)

    def forward(self, x: Tensor) -> Tensor:
        return super().forward(self.enter(x.flatten(1)))


class MakesLayers(Plain):
    """At each call."""

    def hidden(self, x: Tensor) -> Tensor:
        return nn.Linear(16, 16)(super().hidden(x))


class WithoutGradient(Plain):
    def forward(self, x: Tensor) -> Tensor:
        with torch.no_grad():
            return super().forward(x)


class Off(Plain):
    """Its hidden units begin below 0, and get no gradient."""

    def __init__(self) -> None:
        super().__init__()
        nn.init.constant_(self.first.bias, -100.0)


class Pads(Plain):
    """It is made for more frames than there are."""

    def __init__(self) -> None:
        super().__init__((FRAMES + 2) * SIZE)

    def forward(self, x: Tensor) -> Tensor:
        return super().forward(functional.pad(x, (0, 0, 2, 0)))


class Repeats(Pads):
    def forward(self, x: Tensor) -> Tensor:
        return Plain.forward(self, torch.cat([x[:, :1], x[:, :1], x], 1))


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
    InAList: "unregistered",
    InADictionary: "unregistered",
    InAClosure: "unregistered",
    MakesLayers: "anew",
    WithoutGradient: "no_gradient",
    Off: "dead",
    Pads: "made_frames",
    Repeats: "made_frames",
}
REFUSED = {"state", "rows", "batch", "outside", "unregistered", "anew", "no_gradient"}
