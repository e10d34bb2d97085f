"""What writer and reader of a shard tell of it, for whoever looks on: nothing is decided by it.

Each side writes what only it knows into its own fields of a table in shared memory, with its
heartbeats; who looks adds what stands in headers and pins. All of it is read without a lock, so two
numbers may be of two moments. What nobody has told is NaN in the table, and None to who looks.
"""

from __future__ import annotations

import math
from typing import Literal

import numpy as np
import numpy.typing as npt

from tuitrain.replay.first_seen import Table
from tuitrain.replay.layout import HEADER_HEAD, HEADER_TAIL, TOLD, Columns
from tuitrain.replay.lock import RWLock

Int = npt.NDArray[np.int64]


def look(columns: Columns) -> list[dict[str, float | None]]:
    """All shards of a policy, by the names of ``protocol.ShardView``; the lock's of both sides."""
    rows, found = columns.observation.shape[1], []
    for header, pins, line in zip(columns.header, columns.pins, columns.told, strict=True):
        fields = zip(TOLD.names or (), line.item(), strict=True)
        told = {name: value if math.isfinite(value) else None for name, value in fields}
        head = int(header[HEADER_HEAD])
        sides = [
            (told.pop(f"{side}_waits"), told.pop(f"{side}_waited_s"), told.pop(f"{side}_worst_s"))
            for side in ("writer", "reader")
        ]
        locks = [side for side in sides if side[0] is not None]
        waits, waited_s, worst_s = zip(*locks, strict=True) if locks else ((), (), ())
        found.append(
            told
            | {
                "rows": rows,
                "tail": int(header[HEADER_TAIL]),
                "head": head,
                "pinned": head - min((int(p) for p in pins if 0 <= p < head), default=head),
                "lock_waits": sum(waits) if locks else None,
                "lock_waited_s": sum(waited_s) if locks else None,
                "lock_worst_s": max(worst_s) if locks else None,
            }
        )
    return found


def tell_lock(
    columns: Columns, shard: int, side: Literal["writer", "reader"], lock: RWLock
) -> None:
    """How often, and how long, this process has had to wait for a shard's lock."""
    stats, line = lock.stats(), columns.told[shard]
    line[f"{side}_waits"] = stats.waits
    line[f"{side}_waited_s"] = stats.waited_s
    line[f"{side}_worst_s"] = stats.worst_s


def tell_first_seen(columns: Columns, shard: int, table: Table) -> None:
    """What the episodes of a shard have begun with.

    Whoever reads while this writes may find numbers of two moments, each of which is right; but
    never the count without the others.
    """
    columns.first_seen[shard, 1:] = table[1:]
    columns.first_seen[shard, 0] = table[0]


def tell_draws(columns: Columns, shard: Int, age: Int) -> None:
    """Where the newest draws came from, and how old those transitions were.

    Args:
        shard: int64 [B], of each transition drawn.
        age: int64 [B], transitions of all shards that had come after it.
    """
    told = columns.told
    counts = np.bincount(shard, minlength=len(told))
    if not len(shard):
        return
    by_shard = age[np.lexsort((age, shard))]
    first = counts.cumsum() - counts
    told["drawn_share"] = counts / len(shard)
    for name, part in (("age_p50", 0.5), ("age_p95", 0.95)):
        at = first + np.rint(part * np.maximum(counts - 1, 0)).astype(np.int64)
        value = by_shard.take(at, mode="clip").astype(np.float64)
        told[name] = np.where(counts > 0, value, math.nan)
