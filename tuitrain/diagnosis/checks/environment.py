"""Checks of the environment: is it the one that was meant, and is there something to learn?"""

from __future__ import annotations

from tuitrain.config.checks import ChecksConfig
from tuitrain.diagnosis.checks.row import Row, check, judged, not_measured
from tuitrain.protocol import Snapshot


@check(
    "spec",
    "spec hash",
    "0.4, 1.1-1.3, 10.3",
    why="All processes have built the same environment, by the hash (SHA-256) of its spaces, "
    "agents and frames: another one's rows would spoil the replay unseen.",
    explains=("learning",),
)
def spec(snapshot: Snapshot, limits: ChecksConfig) -> Row:
    """Every process built the same environment."""
    told = {p.name: p.spec_hash for p in snapshot.processes if p.spec_hash is not None}
    if snapshot.spec_hash is None or not told:
        return not_measured("all equal")
    other = sorted(name for name, value in told.items() if value != snapshot.spec_hash)
    return judged(
        f"{', '.join(other)} differ" if other else f"{len(told)} of {len(told)}",
        "all equal",
        "fail" if other else None,
        "these processes see another environment than the probe did",
    )
