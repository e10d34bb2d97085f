"""The parameters of a network as few long tensors, so that one operation serves all of them.

A small network has a handful of parameters, and an operation on each costs more than its
arithmetic. Where they lie side by side in memory (``flatten.rehome`` puts them there), one tensor
covers them. This file knows memory only: neither what a parameter means nor what is done to it.
"""

from __future__ import annotations

from collections.abc import Sequence

from torch import Tensor, zeros_like

from tuitrain.learning.weights_layout import ENTRY_ALIGN_BYTES


class Spans:
    """Parameters that lie side by side in memory, seen as one tensor.

    Args:
        parameters: any, in order. They should stay where they are; see ``recall``. One with gaps
            in its memory, or that repeats itself, is made contiguous.

    Attributes:
        tensors: 1-D, without gradient; together they cover all parameters and the padding between
            neighbours. One for a network that has been rehomed and has no buffers among its
            parameters; otherwise more, at most one per parameter.
    """

    def __init__(self, parameters: Sequence[Tensor]) -> None:
        self._parameters = list(parameters)
        self._places: list[tuple[int, int]] = []
        starts: list[Tensor] = []
        lengths: list[int] = []
        for parameter in self._parameters:
            if not _dense(parameter):
                parameter.data = parameter.data.contiguous()
            data = parameter.data
            if starts and (at := _distance(starts[-1], data, lengths[-1])) is not None:
                lengths[-1] = at + data.numel()
            else:
                at = 0
                starts.append(data)
                lengths.append(data.numel())
            self._places.append((len(starts) - 1, at))
        self.tensors = [
            start.as_strided((length,), (1,), start.storage_offset())
            for start, length in zip(starts, lengths, strict=True)
        ]
        self._homes = self.views(self.tensors)
        self._addresses = [home.data_ptr() for home in self._homes]

    def zeros(self) -> list[Tensor]:
        """Tensors of zeros like ``tensors``."""
        return [zeros_like(tensor) for tensor in self.tensors]

    def views(self, tensors: Sequence[Tensor]) -> list[Tensor]:
        """`tensors`, which are like ``tensors``, in the shapes and places of the parameters."""
        return [
            tensors[span].as_strided(p.shape, p.stride(), tensors[span].storage_offset() + at)
            for p, (span, at) in zip(self._parameters, self._places, strict=True)
        ]

    def recall(self) -> None:
        """Bring back parameters whose ``.data`` has been replaced, with the values they have now.

        Raises:
            RuntimeError: one has another shape now.
        """
        if [p.data_ptr() for p in self._parameters] == self._addresses:
            return
        for parameter, home in zip(self._parameters, self._homes, strict=True):
            if parameter.data_ptr() != home.data_ptr():
                if parameter.shape != home.shape or parameter.dtype != home.dtype:
                    raise RuntimeError(
                        f"a parameter was {home.dtype}{list(home.shape)} when learning began and "
                        f"is {parameter.dtype}{list(parameter.shape)} now"
                    )
                home.copy_(parameter.data)
                parameter.data = home


def _dense(tensor: Tensor) -> bool:
    """Whether it covers its memory once and without gaps, in whatever order."""
    expected = 1
    for stride, size in sorted(zip(tensor.stride(), tensor.shape, strict=True)):
        if size > 1 and stride != expected:
            return False
        expected *= size
    return True


def _distance(start: Tensor, tensor: Tensor, length: int) -> int | None:
    """Elements from `start` to `tensor` if only padding lies between them, else None.

    Args:
        length: elements from `start` to the end of what is before `tensor`.
    """
    if (
        start.untyped_storage().data_ptr() != tensor.untyped_storage().data_ptr()
        or start.dtype != tensor.dtype
    ):
        return None
    at = int(tensor.storage_offset() - start.storage_offset())
    return at if 0 <= (at - length) * start.element_size() < ENTRY_ALIGN_BYTES else None
