"""What every process must agree on about an environment, as one hashable value.

The probe worker builds the environment once and reports an ``EnvSpec``; every other worker builds
its own and compares hashes before it may run, so a differing shape, dtype, number of frames,
number of actions or set of agents is refused instead of learned from.
"""

from __future__ import annotations

import hashlib
import json
import math
from collections.abc import Sequence
from dataclasses import asdict, dataclass
from typing import Any

import numpy as np

_NUMBERS = "float16 float32 float64 int8 int16 int32 int64 uint16 uint32 uint64"

STORED_DTYPES = {"uint8": "uint8", "bool": "uint8"} | dict.fromkeys(_NUMBERS.split(), "float32")
"""Declared dtypes that are supported, and what they are kept and learned from as."""


def stored_dtype(declared: str | np.dtype[Any]) -> np.dtype[Any]:
    """How observations of a declared dtype are kept: see ``STORED_DTYPES``."""
    return np.dtype(STORED_DTYPES[np.dtype(declared).name])


@dataclass(frozen=True)
class Part:
    """One part of an observation that is made of several, and where it is in the row they become.

    Attributes:
        path: keys of dictionaries and places in tuples that lead to it; () is the whole.
        kind: "box" (its numbers), "binary" (zeros and ones) or "one_hot" (a zero for every value
            that a number may have, and a one).
        shape, dtype: of the part, as declared; shape () of a single number.
        column: its first one in the row.
        values: of a one-hot part: how many each of its numbers has, in C order; else ().
        lowest: of a one-hot part: the smallest value of each of its numbers; else ().
    """

    path: tuple[str | int, ...]
    kind: str
    shape: tuple[int, ...]
    dtype: str
    column: int = 0
    values: tuple[int, ...] = ()
    lowest: tuple[int, ...] = ()

    @property
    def columns(self) -> int:
        """How many numbers of the row it is."""
        return sum(self.values) if self.kind == "one_hot" else math.prod(self.shape)

    @property
    def name(self) -> str:
        """Its path in words, "" for the whole."""
        return ".".join(str(key) for key in self.path)

    def described(self) -> str:
        """In words, e.g. "0…3: position, float32[4]"."""
        last = self.column + self.columns - 1
        where = f"{self.column}…{last}" if last > self.column else str(self.column)
        what = f"{self.dtype}{list(self.shape)}"
        if self.kind == "one_hot":
            several = len(self.values) > 1
            of = f"{list(self.values)} values" if several else f"{self.values[0]} values"
            what = f"{'one-hots' if several else 'one-hot'} of {of}"
        elif self.kind == "box" and self.dtype == "uint8":
            what += ", not divided by 255"
        return f"{where}: {self.name or 'the observation'}, {what}"


def is_array(parts: Sequence[Part]) -> bool:
    """Whether the only part is an array that networks take as it is."""
    return len(parts) == 1 and parts[0].kind == "box" and 1 <= len(parts[0].shape) <= 3


@dataclass(frozen=True)
class PolicySpec:
    """What one policy sees and does.

    Attributes:
        observation_shape: shape of a single observation, without frames and batch.
        observation_dtype: as the environment declares it, a key of ``STORED_DTYPES``.
        n_actions: number of discrete actions, 0 … n_actions-1.
        agents: agents of one environment that act under this policy, in lane order.
        masked: whether the environment says which actions are legal.
        absences: whether agents may come later than others, or leave before them.
        parts: what the environment's observation is made of; () where it is this one array. A
            single part that is a box is that array, in its shape; otherwise they lie side by side
            in a row of float32.
    """

    observation_shape: tuple[int, ...]
    observation_dtype: str
    n_actions: int
    agents: tuple[str, ...]
    masked: bool = False
    absences: bool = False
    parts: tuple[Part, ...] = ()

    @property
    def dtype(self) -> np.dtype[Any]:
        """What observations are kept as: uint8 (0 and 1 for declared bool) or float32."""
        return stored_dtype(self.observation_dtype)

    @property
    def declared_dtype(self) -> np.dtype[Any]:
        """What the environment must return."""
        return np.dtype(self.observation_dtype)

    @property
    def is_row(self) -> bool:
        """Whether observations are put side by side into a row, see `parts`."""
        return bool(self.parts) and not is_array(self.parts)

    def described(self) -> str:
        """In words, e.g. "observations float32[4], 2 actions"."""
        masks = ", masks of legal ones" if self.masked else ""
        return (
            f"observations {self.observation_dtype}{list(self.observation_shape)}, "
            f"{self.n_actions} actions{masks}"
        )

    def layout(self) -> list[str]:
        """One line for each part of an observation: its columns, its name, what it is."""
        return [part.described() for part in self.parts]


@dataclass(frozen=True)
class EnvSpec:
    """All policies of an environment, in a fixed order, and the frames stacked for each input."""

    env_id: str
    n_frames: int
    policies: dict[str, PolicySpec]

    def spec_hash(self) -> str:
        """SHA-256 (hex) of the canonical JSON of this value."""
        text = json.dumps(asdict(self), sort_keys=True, separators=(",", ":"))
        return hashlib.sha256(text.encode()).hexdigest()

    def differences(self, other: EnvSpec) -> list[str]:
        """One line per field in which two specs differ, for the error a user reads."""
        mine, theirs = _flatten(asdict(self)), _flatten(asdict(other))
        return [
            f"{key}: {mine.get(key, 'absent')} here, {theirs.get(key, 'absent')} there"
            for key in sorted(mine.keys() | theirs.keys())
            if mine.get(key) != theirs.get(key)
        ]

    def to_dict(self) -> dict[str, Any]:
        """Plain JSON values; ``from_dict`` is its inverse."""
        return asdict(self)

    @classmethod
    def from_dict(cls, data: dict[str, Any]) -> EnvSpec:
        """Read what ``to_dict`` wrote, also before there were masks, absences and parts."""
        policies = {
            name: PolicySpec(
                tuple(p["observation_shape"]),
                p["observation_dtype"],
                p["n_actions"],
                tuple(p["agents"]),
                p.get("masked", False),
                p.get("absences", False),
                tuple(_part(part) for part in p.get("parts", ())),
            )
            for name, p in data["policies"].items()
        }
        return cls(data["env_id"], data["n_frames"], policies)


def _part(data: dict[str, Any]) -> Part:
    plain: dict[str, Any] = {k: tuple(v) if isinstance(v, list) else v for k, v in data.items()}
    return Part(**plain)


def _flatten(value: Any, prefix: str = "") -> dict[str, str]:
    if isinstance(value, dict):
        out: dict[str, str] = {}
        for key, item in value.items():
            out |= _flatten(item, f"{prefix}.{key}" if prefix else str(key))
        return out
    if isinstance(value, tuple | list) and value and isinstance(value[0], dict):
        return _flatten({str(place): item for place, item in enumerate(value)}, prefix)
    return {prefix: repr(value)}
