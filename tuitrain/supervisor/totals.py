"""What deaths have cost a run over all its sessions, from its events. Pure."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Mapping
from typing import Any


def totals(events: Iterable[Mapping[str, Any]]) -> dict[str, dict[str, int]]:
    """Deaths by worker, and updates lost with learners by policy.

    A death that is told of twice, such as one that ends the run after all, is one.

    Args:
        events: lines of events.jsonl, of all sessions.
    """
    died: set[tuple[str, float]] = set()
    lost: Counter[str] = Counter()
    for event in events:
        data = event.get("data")
        if not isinstance(data, Mapping):
            continue
        if isinstance(at := data.get("died_s"), int | float):
            died.add((str(event.get("source")), at))
        if isinstance(of := data.get("lost_updates"), Mapping):
            lost.update({str(name): n for name, n in of.items() if isinstance(n, int)})
    deaths = Counter(name for name, _ in sorted(died))
    return {"deaths": dict(deaths), "lost_updates": dict(lost)}
