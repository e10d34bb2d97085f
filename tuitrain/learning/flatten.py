"""Networks to bytes and back: every parameter and buffer, in one copy.

The published unit is one byte vector (see ``weights.py``), so a network cannot arrive in part.
Tensors are looked up in their owning modules at every call: a module that replaces a buffer
object in ``forward`` or is moved to another device stays connected.
"""

from __future__ import annotations

import numpy as np
import torch
from torch import Tensor, nn

from tuitrain.learning.weights import Bytes, WeightsLayout


class TensorTable:
    """The parameters and buffers of a module, found anew at each call.

    Order is that of ``state_dict``, followed by buffers registered as not persistent (they too
    may carry what a network has learned or counted). Tied tensors appear once per name.

    Raises:
        TypeError: a parameter is not initialised yet (lazy modules need a forward first).
    """

    def __init__(self, module: nn.Module) -> None:
        persistent: list[tuple[str, dict[str, Tensor | None], str]] = []
        transient: list[tuple[str, dict[str, Tensor | None], str]] = []
        for prefix, owner in module.named_modules(remove_duplicate=False):
            dot = f"{prefix}." if prefix else ""
            for key, parameter in owner._parameters.items():
                if parameter is None:
                    continue
                if nn.parameter.is_lazy(parameter):
                    raise TypeError(f"parameter {dot}{key} has no shape yet: run a forward first")
                persistent.append((dot + key, owner._parameters, key))
            for key, buffer in owner._buffers.items():
                if buffer is not None:
                    kept = key not in owner._non_persistent_buffers_set
                    (persistent if kept else transient).append((dot + key, owner._buffers, key))
        self._places = persistent + transient
        self.names = [name for name, _, _ in self._places]

    def tensors(self) -> list[Tensor]:
        """The tensors as they are now."""
        return [place[key] for _, place, key in self._places]  # type: ignore[misc]


def layout_of(module: nn.Module) -> WeightsLayout:
    """The byte layout of all parameters and buffers of a network.

    Raises:
        TypeError: a parameter is not initialised yet.
        ValueError: a dtype that cannot be published.
    """
    table = TensorTable(module)
    return WeightsLayout(
        tuple(
            (name, str(tensor.dtype).removeprefix("torch."), tuple(tensor.shape))
            for name, tensor in zip(table.names, table.tensors(), strict=True)
        )
    )


class FlatModule:
    """Writes a network to a byte vector and reads it back, with all staging preallocated.

    A network on a GPU is gathered there and crosses the bus in one copy.

    Args:
        module: the network. It is used, not copied.
    """

    def __init__(self, module: nn.Module) -> None:
        self.layout = layout_of(module)
        self._table = TensorTable(module)
        tensors = self._table.tensors()
        self._device = tensors[0].device if tensors else torch.device("cpu")
        cuda = self._device.type == "cuda"
        self._staging = torch.zeros(self.layout.nbytes, dtype=torch.uint8, pin_memory=cuda)
        self._flat = self._staging.to(self._device)  # the same tensor on the CPU
        self._bytes: Bytes = self._staging.numpy()
        self._views = [
            self._flat[offset : offset + size].view(getattr(torch, dtype)).view(shape)
            for (_, dtype, shape), offset, size in zip(
                self.layout.entries, self.layout.offsets, self.layout.sizes, strict=True
            )
        ]

    @property
    def buffer(self) -> Bytes:
        """The staging vector. Filling it and passing it to ``load_bytes`` saves one copy."""
        return self._bytes

    def to_bytes(self, out: Bytes) -> None:
        """Write the network as it is now.

        Args:
            out: uint8[layout.nbytes]; every byte is written, padding as zeros.

        Raises:
            ValueError: a tensor has changed its shape or dtype since construction.
        """
        with torch.no_grad():
            torch._foreach_copy_(self._views, self._current())
            if self._flat is not self._staging:
                self._staging.copy_(self._flat)
        if out is not self._bytes:
            np.copyto(out, self._bytes)

    def load_bytes(self, flat: Bytes) -> None:
        """Set the network to what ``to_bytes`` wrote.

        Args:
            flat: uint8[layout.nbytes].

        Raises:
            ValueError: another length, or a tensor has changed its shape or dtype.
        """
        if flat is not self._bytes:
            if flat.shape != self._bytes.shape:
                raise ValueError(
                    f"weights are uint8[{self.layout.nbytes}], got {flat.dtype}{list(flat.shape)}"
                )
            np.copyto(self._bytes, flat)
        with torch.no_grad():
            if self._flat is not self._staging:
                self._flat.copy_(self._staging)
            torch._foreach_copy_(self._current(), self._views)

    def _current(self) -> list[Tensor]:
        # copy_ would broadcast or convert silently, so a changed tensor is looked for first
        tensors = self._table.tensors()
        for name, tensor, view in zip(self._table.names, tensors, self._views, strict=True):
            if tensor.shape != view.shape or tensor.dtype != view.dtype:
                raise ValueError(
                    f"{name} was {view.dtype}{list(view.shape)} when the layout was made and is "
                    f"{tensor.dtype}{list(tensor.shape)} now"
                )
        return tensors
