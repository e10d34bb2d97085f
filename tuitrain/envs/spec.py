"""What every process must agree on about an environment, as one hashable value.

The probe worker builds the environment once and reports an ``EnvSpec``; every other worker builds
its own and compares hashes before it may run, so a differing shape, dtype, number of frames,
number of actions or set of agents is refused instead of learned from.
"""

from __future__ import annotations

import hashlib
import json
from dataclasses import asdict, dataclass
from typing import Any

import numpy as np

STORED_DTYPES = {"uint8": "uint8", "bool": "uint8", "float32": "float32", "float64": "float32"}
"""Declared dtypes that are supported, and what they are kept and learned from as."""


def stored_dtype(declared: str | np.dtype[Any]) -> np.dtype[Any]:
    """How observations of a declared dtype are kept: see ``STORED_DTYPES``."""
    return np.dtype(STORED_DTYPES[np.dtype(declared).name])


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
    """

    observation_shape: tuple[int, ...]
    observation_dtype: str
    n_actions: int
    agents: tuple[str, ...]
    masked: bool = False
    absences: bool = False

    @property
    def dtype(self) -> np.dtype[Any]:
        """What observations are kept as: uint8 (0 and 1 for declared bool) or float32."""
        return stored_dtype(self.observation_dtype)

    @property
    def declared_dtype(self) -> np.dtype[Any]:
        """What the environment must return."""
        return np.dtype(self.observation_dtype)

    def described(self) -> str:
        """In words, e.g. "observations float32[4], 2 actions"."""
        return (
            f"observations {self.observation_dtype}{list(self.observation_shape)}, "
            f"{self.n_actions} actions"
        )


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
        """Read what ``to_dict`` wrote."""
        policies = {
            name: PolicySpec(
                tuple(p["observation_shape"]),
                p["observation_dtype"],
                p["n_actions"],
                tuple(p["agents"]),
                p["masked"],
                p["absences"],
            )
            for name, p in data["policies"].items()
        }
        return cls(data["env_id"], data["n_frames"], policies)


def _flatten(value: Any, prefix: str = "") -> dict[str, str]:
    if isinstance(value, dict):
        out: dict[str, str] = {}
        for key, item in value.items():
            out |= _flatten(item, f"{prefix}.{key}" if prefix else str(key))
        return out
    return {prefix: repr(value)}
