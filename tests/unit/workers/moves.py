"""The game ``Moves`` as a config names it, and its observations as what they say."""

from __future__ import annotations

from typing import Any

from tests.envs.aec import MoveTag

TEAM = {"a": "team", "c": "team"}
ENV = {"id": "tests.envs.aec:Moves"}


def tags(frames: Any) -> list[MoveTag]:
    return [MoveTag(*map(int, frame)) for frame in frames]
