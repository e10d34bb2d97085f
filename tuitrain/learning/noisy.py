"""Linear layers with learned noise: exploration without epsilon (Fortunato et al. 2018).

Noise is a pair of buffers that stay as they are until ``resample`` is called, so that a forward is
a pure function of weights, noise and input: who learns and who acts decides when to draw new noise,
and from which generator.
"""

from __future__ import annotations

import math
from collections.abc import Callable

import torch
from torch import Tensor, nn
from torch.nn import functional

Draw = Callable[[int], Tensor]


class NoisyLinear(nn.Module):
    """``nn.Linear`` with factorised Gaussian noise on weights and biases.

    y = (mu_w + sigma_w * f(a) f(b)^T) x + mu_b + sigma_b * f(a), f(x) = sign(x) sqrt(|x|), with one
    Gaussian number per input (b) and per output (a). In evaluation mode noise is off.

    Args:
        in_features: inputs.
        out_features: outputs.
        sigma: initial noise, divided by sqrt(in_features) (0.5 in the paper).
    """

    stateless = True
    """Not to be switched to evaluation for choosing next actions: those are chosen with noise."""

    noise_in: Tensor
    noise_out: Tensor

    def __init__(self, in_features: int, out_features: int, sigma: float = 0.5) -> None:
        super().__init__()
        self.in_features, self.out_features = in_features, out_features
        bound = 1.0 / math.sqrt(in_features)
        self.weight = nn.Parameter(torch.empty(out_features, in_features).uniform_(-bound, bound))
        self.bias = nn.Parameter(torch.empty(out_features).uniform_(-bound, bound))
        self.weight_sigma = nn.Parameter(torch.full((out_features, in_features), sigma * bound))
        self.bias_sigma = nn.Parameter(torch.full((out_features,), sigma * bound))
        self.register_buffer("noise_in", torch.zeros(in_features))
        self.register_buffer("noise_out", torch.zeros(out_features))

    def resample(self, draw: Draw) -> None:
        """Draw new noise; ``draw(n)`` gives n Gaussian numbers."""
        for noise in (self.noise_in, self.noise_out):
            drawn = draw(len(noise))
            noise.copy_(drawn.sign() * drawn.abs().sqrt())

    def forward(self, x: Tensor) -> Tensor:
        """[B, in_features] -> [B, out_features]."""
        if not self.training:
            return functional.linear(x, self.weight, self.bias)
        weight = self.weight + self.weight_sigma * torch.outer(self.noise_out, self.noise_in)
        return functional.linear(x, weight, self.bias + self.bias_sigma * self.noise_out)

    def extra_repr(self) -> str:
        """What ``repr`` shows."""
        return f"{self.in_features}, {self.out_features}"


def noisy_layers(module: nn.Module) -> list[NoisyLinear]:
    """The noisy layers of a module, in its order."""
    return [layer for layer in module.modules() if isinstance(layer, NoisyLinear)]


def switch_on(module: nn.Module) -> None:
    """Let noisy layers be noisy in a module that is otherwise in evaluation mode."""
    for layer in noisy_layers(module):
        layer.train()


def resample(module: nn.Module, draw: Draw = torch.randn) -> None:
    """Draw new noise for every noisy layer of a module; from torch's global generator by default.

    ``draw(n)`` gives a float32 tensor of n Gaussian numbers, on the CPU.
    """
    for layer in noisy_layers(module):
        layer.resample(draw)
