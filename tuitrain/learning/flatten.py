"""Networks to bytes and back: every parameter and buffer, in one copy.

The published unit is one byte vector (see ``weights.py``), so a network cannot arrive in part.
``rehome`` lets the parameters of a network live in such a vector, so that publishing and pulling
are one copy each. Tensors are looked up in their owning modules at every call: a module that
replaces a buffer object in ``forward`` or is moved to another device stays connected.
"""

from __future__ import annotations

from collections import Counter
from weakref import WeakKeyDictionary

import numpy as np
import torch
from torch import Tensor, nn

from tuitrain.learning.weights_layout import Bytes, WeightsLayout

_VECTORS: WeakKeyDictionary[nn.Module, Tensor] = WeakKeyDictionary()


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
        return [place[key] for _, place, key in self._places]  # type: ignore[misc]  # none is None, see above


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


def rehome(module: nn.Module, vector: Tensor | None = None) -> None:
    """Move the parameters of a network into one byte vector, each to its place in the layout.

    Args:
        vector: uint8 [nbytes] of the layout, zeros; None makes one.

    The parameter objects stay the same, only their memory moves. Buffers stay where they are,
    since modules replace them by new objects as they please. A second call changes nothing.

    Parameters that share memory (other than one parameter under two names), lie on several
    devices or are not contiguous, as with ``channels_last``, have their reasons: then the whole
    network stays as it is, and everything that could have been one operation is one per tensor.

    Raises:
        TypeError: a parameter is not initialised yet.
        ValueError: a dtype that cannot be published.
    """
    if module in _VECTORS:
        return
    table, layout = TensorTable(module), layout_of(module)
    tensors = table.tensors()
    parameters = [t for t in tensors if isinstance(t, nn.Parameter)]
    once = {id(t): t for t in tensors}.values()
    sharing = Counter(_address(t) for t in once)
    if not parameters or not all(
        p.is_contiguous() and p.device == parameters[0].device and sharing[_address(p)] == 1
        for p in parameters
    ):
        return
    if vector is None:
        vector = torch.zeros(layout.nbytes, dtype=torch.uint8, device=parameters[0].device)
    for tensor, view in zip(tensors, _views(vector, layout), strict=True):
        if isinstance(tensor, nn.Parameter):  # one of several names lives at the last of them
            view.copy_(tensor.data)
            tensor.data = view
    _VECTORS[module] = vector


class FlatModule:
    """A network as a byte vector, read and written.

    After ``rehome`` the network's parameters live in the vector that this class reads and writes:
    on the CPU ``read`` and ``load_bytes`` of the own ``buffer`` copy nothing but the network's
    buffers. A network on a GPU crosses the bus in one copy. Every other network, and every tensor
    that is not at home any more, is copied.

    Args:
        module: the network. It is used, not copied.
    """

    def __init__(self, module: nn.Module) -> None:
        self.layout = layout_of(module)
        self._table = TensorTable(module)
        tensors = self._table.tensors()
        device = tensors[0].device if tensors else torch.device("cpu")
        home = _VECTORS.get(module)
        if home is not None and home.device == device:
            self._flat = home
        else:
            self._flat = torch.zeros(self.layout.nbytes, dtype=torch.uint8, device=device)
        self._staging = self._flat
        if device.type != "cpu":
            self._staging = torch.zeros(
                self.layout.nbytes, dtype=torch.uint8, pin_memory=device.type == "cuda"
            )
        self._bytes: Bytes = self._staging.numpy()
        self._views = _views(self._flat, self.layout)

    @property
    def buffer(self) -> Bytes:
        """The vector, uint8[layout.nbytes]. Filling it and passing it to ``load_bytes`` saves a
        copy; in between the network of a rehomed module is neither the old nor the new one."""
        return self._bytes

    def read(self) -> Bytes:
        """The network as it is now, in ``buffer``; padding is zeros.

        Raises:
            ValueError: a tensor has changed its shape or dtype since construction.
        """
        with torch.no_grad():
            tensors, views = self._away()
            if tensors:
                torch._foreach_copy_(views, tensors)
            if self._flat is not self._staging:
                self._staging.copy_(self._flat)
        return self._bytes

    def to_bytes(self, out: Bytes) -> None:
        """Write the network as it is now.

        Args:
            out: uint8[layout.nbytes]; every byte is written, padding as zeros.

        Raises:
            ValueError: a tensor has changed its shape or dtype since construction.
        """
        now = self.read()
        if out is not now:
            np.copyto(out, now)

    def load_bytes(self, flat: Bytes) -> None:
        """Set the network to what ``to_bytes`` wrote.

        Args:
            flat: uint8[layout.nbytes].

        Raises:
            ValueError: another length, or a tensor has changed its shape or dtype.
        """
        if flat.shape != self._bytes.shape:
            raise ValueError(
                f"weights are uint8[{self.layout.nbytes}], got {flat.dtype}{list(flat.shape)}"
            )
        with torch.no_grad():
            tensors, views = self._away()
            if flat is not self._bytes:
                np.copyto(self._bytes, flat)
            if self._flat is not self._staging:
                self._flat.copy_(self._staging)
            if tensors:
                torch._foreach_copy_(tensors, views)

    def _away(self) -> tuple[list[Tensor], list[Tensor]]:
        """Tensors that do not live in the vector, and their places there."""
        away: list[Tensor] = []
        places: list[Tensor] = []
        for name, tensor, view in zip(
            self._table.names, self._table.tensors(), self._views, strict=True
        ):
            # copy_ would broadcast or convert silently, so a changed tensor is looked for first
            if tensor.shape != view.shape or tensor.dtype != view.dtype:
                raise ValueError(
                    f"{name} was {view.dtype}{list(view.shape)} when the layout was made and is "
                    f"{tensor.dtype}{list(tensor.shape)} now"
                )
            if tensor.data_ptr() != view.data_ptr():
                away.append(tensor)
                places.append(view)
        return away, places


def _views(vector: Tensor, layout: WeightsLayout) -> list[Tensor]:
    """The tensors of a byte vector, in the layout's order."""
    return [
        vector[offset : offset + size].view(getattr(torch, dtype)).view(shape)
        for (_, dtype, shape), offset, size in zip(
            layout.entries, layout.offsets, layout.sizes, strict=True
        )
    ]


def _address(tensor: Tensor) -> int:
    # nothing shares an empty tensor's memory, and all of them have the same address
    return tensor.untyped_storage().data_ptr() or -id(tensor)
