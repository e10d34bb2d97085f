"""Parts of a checkpoint, as two processes write them that learn three policies."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from tuitrain.checkpoint.files import part_name
from tuitrain.checkpoint.parts import Part
from tuitrain.checkpoint.payload import save_part

POLICIES = ("a", "b", "c")


def payload(*policies: str, steps: int = 100, value: int = 0) -> dict[str, Any]:
    """What a process that learns these policies saves."""
    return {
        "run_id": "r",
        "steps": steps,
        "updates": dict.fromkeys(policies, value),
        "policies": {name: {"dqn": value} for name in policies},
    }


def parts(folder: Path, value: int, request: int | None = None) -> list[Part]:
    """Two processes' parts: one holds a and c, the other b."""
    return [
        save_part(folder, payload(*held, steps=100 + i, value=value), name, held, value - i)
        for i, (held, name) in enumerate(
            (held, part_name(0, value if request is None else request, f"learner{i}"))
            for i, held in enumerate([("a", "c"), ("b",)])
        )
    ]
