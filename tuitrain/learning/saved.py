"""What keeps a saved learner one unit: its digest, and the checks before anything is restored."""

from __future__ import annotations

import hashlib
from collections.abc import Sequence
from typing import Any

import torch
from torch import Tensor


class RestoreError(ValueError):
    """A saved learner does not fit this one, or its parts do not belong together."""


def to_cpu(value: Any) -> Any:
    """A copy of nested dicts with all tensors on the CPU, detached."""
    if isinstance(value, Tensor):
        return value.detach().to("cpu", copy=True)
    if isinstance(value, dict):
        return {key: to_cpu(item) for key, item in value.items()}
    return value


def digest(value: Any) -> str:
    """SHA-256 (hex) over all tensors and plain values, whatever device they are on."""
    sha = hashlib.sha256()

    def add(path: str, item: Any) -> None:
        if isinstance(item, Tensor):
            data = item.detach().cpu().contiguous()
            sha.update(f"{path}:{data.dtype}{list(data.shape)};".encode())
            sha.update(data.reshape(-1).view(torch.uint8).numpy().data)
        elif isinstance(item, dict):
            for key in sorted(item, key=str):
                add(f"{path}/{key}", item[key])
        else:
            sha.update(f"{path}={item!r};".encode())

    add("", value)
    return sha.hexdigest()


def check_modules_fit(name: str, mine: dict[str, Any], saved: dict[str, Any]) -> None:
    """Raise ``RestoreError`` listing every tensor whose name, dtype or shape differs."""

    def shapes(state: dict[str, Any]) -> dict[str, str]:
        return {
            k: f"{str(v.dtype).removeprefix('torch.')}{list(v.shape)}"
            for k, v in state.items()
            if isinstance(v, Tensor)
        }

    here, there = shapes(mine), shapes(saved)
    differing = [
        f"{key}: {here.get(key, 'absent')} here, {there.get(key, 'absent')} saved"
        for key in sorted(here.keys() | there.keys())
        if here.get(key) != there.get(key)
    ]
    if differing:
        raise RestoreError(f"the saved {name} network is another one: {'; '.join(differing)}")


def check_moments_fit(parameters: Sequence[Tensor], saved: dict[int, dict[str, Any]]) -> None:
    """Raise ``RestoreError`` unless Adam's moments have the shapes of the parameters."""
    for index, moments in saved.items():
        fits = index < len(parameters) and all(
            moments[key].shape == parameters[index].shape for key in ("exp_avg", "exp_avg_sq")
        )
        if not fits:
            raise RestoreError(f"the saved optimizer state of parameter {index} does not fit")
