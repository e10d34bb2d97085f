"""Checks of the live audit: is what is learned from what was written, and what was acted on?

A share of all rows (`checks.audit_share`) is written with a checksum and a hash of the frames that
the actor acted on; who samples such a row computes both anew.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import TYPE_CHECKING

from tuitrain.diagnosis.checks.row import Row, check, judged, not_measured
from tuitrain.protocol import PolicyView, Snapshot

if TYPE_CHECKING:
    from tuitrain.config.checks import ChecksConfig


@check(
    "row_checksums",
    "row checksums",
    "2.1, 2.3, 12.3",
    why="Audited rows are read as they were written, by a checksum: a torn or overwritten row is "
    "an experience that nobody has had.",
    explains=("stack_agreement", "cross_episode", "non_finite", "learning"),
)
def row_checksums(snapshot: Snapshot, limits: ChecksConfig) -> Row:
    """No audited row is another one than was written."""
    return _none_of_audited(
        snapshot,
        lambda p: p.checksum_failures,
        "rows are not what was written: the memory is damaged, or someone else writes to it; stop "
        "the run and go on from a checkpoint",
    )


@check(
    "cross_episode",
    "cross-episode",
    "6.3",
    why="No audited sample's frames reach into another episode: the network would learn from "
    "pictures that never followed each other.",
    explains=("stack_agreement", "learning"),
)
def cross_episode(snapshot: Snapshot, limits: ChecksConfig) -> Row:
    """No audited stack spans two episodes."""
    return _none_of_audited(
        snapshot,
        lambda p: p.cross_episode_samples,
        "frames of two episodes are stacked: does the environment say where episodes end?",
    )


@check(
    "stack_agreement",
    "stack agreement",
    "0.1, 0.2, 6.1, 6.2",
    why="What is learned from is what the actor acted on, by a hash of the stacked frames: "
    "otherwise values belong to observations that nobody will see.",
    explains=("learning",),
)
def stack_agreement(snapshot: Snapshot, limits: ChecksConfig) -> Row:
    """Every audited stack is the one that was acted on."""
    return _none_of_audited(
        snapshot,
        lambda p: p.stack_disagreements,
        "actor and learner stack different frames: an environment that changes observations after "
        "it has returned them does this; copy them there",
    )


def _none_of_audited(
    snapshot: Snapshot, count: Callable[[PolicyView], int | None], advice: str
) -> Row:
    audited = [p for p in snapshot.policies if p.audited and count(p) is not None]
    if not audited:
        return not_measured("0")
    bad = [p for p in audited if count(p)]
    found = sum(count(p) or 0 for p in audited)
    value = f"{found:,} wrong of {sum(p.audited or 0 for p in audited):,}"
    names = ", ".join(p.name for p in bad)
    return judged(value, "0", "fail" if bad else None, f"{names}: {advice}")
