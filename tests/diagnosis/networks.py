"""Networks with one thing wrong, by the form that `learner.network` names."""

from __future__ import annotations

import torch
from torch import Tensor, nn


class Cut(nn.Module):
    """Its first layer gets no gradient: what comes out of it is detached."""

    def __init__(self, n_inputs: int, n_actions: int) -> None:
        super().__init__()
        self.first = nn.Linear(n_inputs, 32)
        self.last = nn.Linear(32, n_actions)

    def forward(self, x: Tensor) -> Tensor:
        """[B, n_frames, *shape] to [B, n_actions]."""
        hidden = torch.relu(self.first(x.flatten(1).float()))
        return self.last(hidden.detach())


def cut(input_shape: tuple[int, ...], n_actions: int) -> nn.Module:
    """A network whose first layer never learns."""
    return Cut(torch.Size(input_shape).numel(), n_actions)


class Loud(nn.Module):
    """Its values are 10,000 times as large as those of others."""

    def __init__(self, n_inputs: int, n_actions: int) -> None:
        super().__init__()
        self.body = nn.Sequential(
            nn.Flatten(), nn.Linear(n_inputs, 32), nn.ReLU(), nn.Linear(32, n_actions)
        )

    def forward(self, x: Tensor) -> Tensor:
        """[B, n_frames, *shape] to [B, n_actions]."""
        return 1e4 * self.body(x.float())


def loud(input_shape: tuple[int, ...], n_actions: int) -> nn.Module:
    """A network that says far too much."""
    return Loud(torch.Size(input_shape).numel(), n_actions)


class Framed(nn.Module):
    """Stacks frames by itself: it repeats the one that it is given."""

    def __init__(self, shape: tuple[int, ...], n_actions: int, n_frames: int) -> None:
        super().__init__()
        self.n_frames = n_frames
        self.body = nn.Linear(n_frames * torch.Size(shape[1:]).numel(), n_actions)

    def forward(self, x: Tensor) -> Tensor:
        """[B, n_frames, *shape] to [B, n_actions]."""
        return self.body(x.float().flatten(1)[:, : self.body.in_features])


def framed(input_shape: tuple[int, ...], n_actions: int, n_frames: int = 4) -> nn.Module:
    """A network that is told of frames which `env.n_frames` says nothing of."""
    return Framed(input_shape, n_actions, n_frames)


class Newest(nn.Module):
    """Looks at the newest frame alone."""

    def __init__(self, shape: tuple[int, ...], n_actions: int) -> None:
        super().__init__()
        inputs = torch.Size(shape[1:]).numel()
        self.body = nn.Sequential(nn.Linear(inputs, 32), nn.ReLU(), nn.Linear(32, n_actions))

    def forward(self, x: Tensor) -> Tensor:
        """[B, n_frames, *shape] to [B, n_actions]."""
        return self.body(x[:, -1].float().flatten(1))


def newest(input_shape: tuple[int, ...], n_actions: int) -> nn.Module:
    """A network that is shown several frames for nothing."""
    return Newest(input_shape, n_actions)


class Blind(Newest):
    """Looks at nothing: what it is given is multiplied away."""

    def forward(self, x: Tensor) -> Tensor:
        """[B, n_frames, *shape] to [B, n_actions]."""
        return super().forward(x * 0.0)


def blind(input_shape: tuple[int, ...], n_actions: int) -> nn.Module:
    """A network for which all observations are alike."""
    return Blind(input_shape, n_actions)


class Padded(nn.Module):
    """Fills up with zeros to four frames."""

    def __init__(self, shape: tuple[int, ...], n_actions: int) -> None:
        super().__init__()
        inputs = 4 * torch.Size(shape[1:]).numel()
        self.body = nn.Sequential(nn.Linear(inputs, 32), nn.ReLU(), nn.Linear(32, n_actions))
        self.inputs = inputs

    def forward(self, x: Tensor) -> Tensor:
        """[B, n_frames, *shape] to [B, n_actions]."""
        shown = x.float().flatten(1)
        return self.body(nn.functional.pad(shown, (self.inputs - shown.shape[1], 0)))


def padded(input_shape: tuple[int, ...], n_actions: int) -> nn.Module:
    """A network that sees zeros where the past should be."""
    return Padded(input_shape, n_actions)


class Squashed(Newest):
    """Ends in a tanh."""

    def forward(self, x: Tensor) -> Tensor:
        """[B, n_frames, *shape] to [B, n_actions]."""
        return torch.tanh(super().forward(x))


def squashed(input_shape: tuple[int, ...], n_actions: int) -> nn.Module:
    """A network that can say no value beyond 1."""
    return Squashed(input_shape, n_actions)


class Centred(Newest):
    """Takes off the mean of its batch."""

    def forward(self, x: Tensor) -> Tensor:
        """[B, n_frames, *shape] to [B, n_actions]."""
        values = super().forward(x)
        return values - values.mean(0)


def centred(input_shape: tuple[int, ...], n_actions: int) -> nn.Module:
    """A network in which every row sees the others."""
    return Centred(input_shape, n_actions)


class Recurrent(nn.Module):
    """Keeps its hidden state from one call to the next."""

    def __init__(self, shape: tuple[int, ...], n_actions: int) -> None:
        super().__init__()
        self.cell = nn.GRUCell(torch.Size(shape).numel(), 32)
        self.last = nn.Linear(32, n_actions)
        self.hidden: Tensor | None = None

    def forward(self, x: Tensor) -> Tensor:
        """[B, n_frames, *shape] to [B, n_actions]."""
        kept = self.hidden if self.hidden is not None and len(self.hidden) == len(x) else None
        self.hidden = self.cell(x.float().flatten(1), kept).detach()
        return self.last(self.hidden)


def recurrent(input_shape: tuple[int, ...], n_actions: int) -> nn.Module:
    """A network that remembers what it was asked before."""
    return Recurrent(input_shape, n_actions)
