"""Whether a network makes frames of its own of those that it is shown."""

from __future__ import annotations

import torch
from torch import Tensor, nn

from tuitrain.learning.network_faults import Fault, made_frames

_SAME = 1e-5
"""Of the largest number: what differs by less is the same."""
_TAKES = (nn.Linear, nn.Conv1d, nn.Conv2d, nn.Conv3d, nn.RNNBase)


def padded(network: nn.Module, x: Tensor) -> list[Fault]:
    """Whether a layer of it is given more frames than there are: zeros, or the same ones again.

    Args:
        network: asked once.
        x: [B, n_frames, *observation_shape], which it takes.
    """
    given: list[Tensor] = []
    layers = [module for module in network.modules() if isinstance(module, _TAKES)]
    hooks = [
        layer.register_forward_pre_hook(lambda _, inputs: given.append(inputs[0]))
        for layer in layers
    ]
    try:
        network(x)
    except Exception:  # its own words on that are heard where it is asked
        return []
    finally:
        for hook in hooks:
            hook.remove()
    shown = x.flatten(2).float() if x.dim() > 2 else x.float()[..., None]
    for layer, taken in zip(layers, given, strict=False):
        # of three dimensions it may be given the same row once for each of its heads
        if isinstance(layer, nn.Linear) and taken.dim() != 2:
            continue
        if (found := _more(shown, taken)) is not None:
            return [made_frames(found[0], shown.shape[1], zeros=found[1])]
    return []


def _more(shown: Tensor, taken: Tensor) -> tuple[int, bool] | None:
    """How many frames a layer takes that are the shown ones or zeros, and whether some are zeros.

    Args:
        shown: [B, frames, N].
        taken: [B, ...].

    Returns:
        None unless there are more than were shown.
    """
    rows, frames, size = shown.shape
    if not isinstance(taken, Tensor) or len(taken) != rows or taken.numel() == 0:
        return None
    count, rest = divmod(taken[0].numel(), size)
    largest = float(shown.abs().max())
    if rest or count <= frames or largest == 0:
        return None
    blocks = taken.reshape(rows, count, size).float()
    scale = float(blocks.abs().max()) / largest  # it may divide what it is shown
    if scale == 0:
        return None
    empty = (blocks == 0).all(2).all(0)
    apart = (blocks[:, :, None] - scale * shown[:, None]).abs().amax((0, 3))  # [count, frames]
    same = (apart <= _SAME * scale * largest).any(1)
    if not bool((empty | same).all()) or bool(empty.all()):
        return None
    return count, bool(torch.any(empty))
