"""Which nodes of a saved state are which of an environment that is there, by the ways to them."""

from __future__ import annotations

from collections import deque
from typing import Any

from tuitrain.envs.saving.kinds import INLINE, MAPPINGS
from tuitrain.envs.saving.leaves import CannotRestore


def alike(saved: dict[str, Any], there: dict[str, Any]) -> bool:
    """Whether two nodes can be the same thing."""
    return all(saved.get(key) == there.get(key) for key in ("is", "class", "name"))


def pairs(saved: list[dict[str, Any]], there: list[dict[str, Any]]) -> dict[int, int]:
    """Which saved nodes are which of those that are there, by the ways to them."""
    found: dict[int, int] = {}
    taken: set[int] = set()
    todo = deque([(0, 0)])
    while todo:
        a, b = todo.popleft()
        if a in found or b in taken or not alike(saved[a], there[b]):
            continue
        found[a] = b
        taken.add(b)
        mine, theirs = _ways(saved[a]), _ways(there[b])
        for way, value in mine.items():
            other = theirs.get(way)
            if type(value) is list and type(other) is list:
                todo.append((reference(value, len(saved)), other[0]))
    return found


def _ways(node: dict[str, Any]) -> dict[Any, Any]:
    """What a node leads to."""
    attributes = node.get("attributes", {})
    if type(attributes) is not dict:
        raise CannotRestore("attributes are no dict by name")
    ways: dict[Any, Any] = dict(attributes)
    items = node.get("items")
    if node["is"] in MAPPINGS:
        for pair in as_list(items):
            key, value = as_list(pair)
            if type(key) in INLINE:
                ways[key] = value
    elif items is not None:
        ways |= dict(enumerate(as_list(items)))
    if "of" in node:
        ways["of"] = node["of"]
    return ways


def as_list(value: Any) -> list[Any]:
    """The value itself. Raises ``CannotRestore`` unless it is a list."""
    if type(value) is not list:
        raise CannotRestore(f"{value!r:.80} is no list")
    return value


def reference(value: Any, nodes: int) -> int:
    """The number in a reference to a node."""
    if type(value) is not list or len(value) != 1 or type(value[0]) is not int:
        raise CannotRestore(f"{value!r:.80} is neither a value nor a reference")
    number: int = value[0]
    if not 0 <= number < nodes:
        raise CannotRestore(f"there is no node {number}")
    return number
