"""Checks of the update: are its numbers such as learning makes them?"""

from __future__ import annotations

from tuitrain.config.checks import ChecksConfig
from tuitrain.diagnosis.checks.row import Row, check, judged, not_measured
from tuitrain.protocol import Snapshot


@check(
    "target_updates",
    "target updates",
    "0.3, 4.1",
    why="The target network was updated as often as the config says, by a count of its own: more "
    "or less often, and Q chases itself or stands still.",
    explains=("non_finite", "learning"),
)
def target_updates(snapshot: Snapshot, limits: ChecksConfig) -> Row:
    """The target network was updated exactly as often as the config says."""
    rows = [
        (p.name, p.target_updates - p.target_updates_expected)
        for p in snapshot.policies
        if p.target_updates is not None and p.target_updates_expected is not None
    ]
    if not rows:
        return not_measured("0")
    name, off = max(rows, key=lambda row: abs(row[1]))
    advice = f"{name}: the target network has more than one owner"
    return judged(f"{off:+d}" if off else "0 off", "0", "fail" if off else None, advice)


@check(
    "non_finite",
    "non-finite",
    "7.1",
    why="No update had a loss, Q or gradient that is no number (NaN, infinity): weights do not "
    "recover from that.",
    explains=("learning",),
)
def non_finite(snapshot: Snapshot, limits: ChecksConfig) -> Row:
    """Loss, Q and gradients are numbers."""
    rows = [(p.name, p.non_finite) for p in snapshot.policies if p.non_finite is not None]
    if not rows:
        return not_measured("0")
    total = sum(count for _, count in rows)
    bad = ", ".join(name for name, count in rows if count)
    advice = f"{bad}: lower lr, clip gradients, or scale rewards"
    return judged(str(total), "0", "fail" if total else None, advice)
