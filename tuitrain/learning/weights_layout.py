"""A policy's weights as one byte vector: where every tensor lies in it.

Numpy only, as the store that keeps such vectors (``weights.py``).
"""

from __future__ import annotations

import hashlib
import json
import math
from dataclasses import dataclass
from functools import cached_property
from typing import Any

import numpy as np
from numpy.typing import NDArray

Bytes = NDArray[np.uint8]
Entry = tuple[str, str, tuple[int, ...]]
"""Name, dtype (torch's name, without ``torch.``) and shape of one tensor."""

ITEM_BYTES = {
    "bool": 1,
    "uint8": 1,
    "int8": 1,
    "float8_e4m3fn": 1,
    "float8_e5m2": 1,
    "int16": 2,
    "uint16": 2,
    "float16": 2,
    "bfloat16": 2,
    "int32": 4,
    "uint32": 4,
    "float32": 4,
    "int64": 8,
    "uint64": 8,
    "float64": 8,
    "complex64": 8,
    "complex128": 16,
}
"""Bytes per element of every dtype that can be published."""

ENTRY_ALIGN_BYTES = 16
"""Tensors start at multiples of this inside the vector; the gaps hold zeros."""


def sha256(flat: Bytes) -> str:
    """SHA-256 (hex) of a byte vector. Costs milliseconds on big networks: for audits only."""
    return hashlib.sha256(np.ascontiguousarray(flat).data).hexdigest()


@dataclass(frozen=True)
class WeightsLayout:
    """Where every parameter and buffer of a network lies in its byte vector.

    Attributes:
        entries: (name, dtype, shape) of each tensor, in the network's own order.

    Raises:
        ValueError: a dtype that cannot be published, or a name that occurs twice.
    """

    entries: tuple[Entry, ...]

    def __post_init__(self) -> None:
        names = [name for name, _, _ in self.entries]
        if len(set(names)) != len(names):
            raise ValueError("two tensors of the weights layout have the same name")
        for name, dtype, _ in self.entries:
            if dtype not in ITEM_BYTES:
                raise ValueError(
                    f"{name} has dtype {dtype}, which cannot be published; "
                    f"supported: {', '.join(ITEM_BYTES)}"
                )

    @cached_property
    def sizes(self) -> tuple[int, ...]:
        """Bytes of each entry."""
        return tuple(ITEM_BYTES[dtype] * math.prod(shape) for _, dtype, shape in self.entries)

    @cached_property
    def offsets(self) -> tuple[int, ...]:
        """First byte of each entry, a multiple of ``ENTRY_ALIGN_BYTES``."""
        offsets, at = [], 0
        for size in self.sizes:
            offsets.append(at)
            at += -(-size // ENTRY_ALIGN_BYTES) * ENTRY_ALIGN_BYTES
        return tuple(offsets)

    @cached_property
    def nbytes(self) -> int:
        """Length of the byte vector, padding included."""
        if not self.entries:
            return 0
        last = self.offsets[-1] + self.sizes[-1]
        return -(-last // ENTRY_ALIGN_BYTES) * ENTRY_ALIGN_BYTES

    def layout_hash(self) -> bytes:
        """32 bytes that differ whenever names, order, dtypes or shapes differ."""
        text = json.dumps(self.to_dict(), sort_keys=True, separators=(",", ":"))
        return hashlib.sha256(text.encode()).digest()

    def to_dict(self) -> dict[str, Any]:
        """Plain JSON values; ``from_dict`` is its inverse."""
        return {"entries": [[name, dtype, list(shape)] for name, dtype, shape in self.entries]}

    @classmethod
    def from_dict(cls, data: dict[str, Any]) -> WeightsLayout:
        """Read what ``to_dict`` wrote."""
        return cls(tuple((name, dtype, tuple(shape)) for name, dtype, shape in data["entries"]))
