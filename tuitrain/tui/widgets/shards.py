"""What each actor has written of the chosen policy's replay, and what is drawn of it.

A line has room for a picture of the shard's ring, slot by slot from left to right: the writer goes
round in it, and what it is about to write over is not sampleable any more.
"""

from __future__ import annotations

from rich.text import Text

from tuitrain.protocol import ShardView
from tuitrain.tui.text import NA, Column, clip, count, number, percent, table
from tuitrain.tui.view import View

SAMPLEABLE, WRITTEN, RESERVED, EMPTY = "█", "▒", "»", "·"
RING_CELLS = 24


def draw_shards(view: View, width: int, height: int) -> list[Text]:
    """What the picture's signs mean, a header, and one line per actor."""
    palette, policy = view.palette, view.policy()
    if policy is None or not policy.shards:
        return [clip(Text(f"shards {NA}", palette.dim, end=""), width)]
    wide = max(8, min(RING_CELLS * 2, width - 96))
    columns = [
        Column("shard", right=False),
        Column("ring", 1, right=False),
        Column("fill", 0),
        Column("sampleable", 2),
        Column("drawn", 3),
        Column("age p50", 4),
        Column("p95", 4),
        Column("priority", 6),
        Column("max", 8),
        Column("rejects", 7),
        Column("pinned", 9),
        Column("lock waits", 5),
        Column("worst", 5),
    ]
    rows: list[list[Text | str]] = []
    for place, shard in enumerate(policy.shards):
        rows.append(
            [
                Text(f"a{place}", palette.accent, end=""),
                Text(ring(shard, wide), palette.ok, end=""),
                percent((shard.head - shard.tail) / shard.rows if shard.rows else None),
                _unit(shard.sampleable, "tr"),
                percent(shard.drawn_share),
                _unit(shard.age_p50, "tr"),
                _unit(shard.age_p95, "tr"),
                number(shard.priority_mean),
                number(shard.priority_max),
                count(shard.rejects),
                f"{count(shard.pinned)} rows",
                count(shard.lock_waits),
                _wait(shard.lock_worst_s),
            ]
        )
    signs = f"{EMPTY} empty  {WRITTEN} written  {SAMPLEABLE} sampleable  {RESERVED} reserved"
    whose = f"{view.policy_label()}  " if view.policy_label() else ""
    legend = clip(Text(f"{whose}ring: {signs}", palette.dim, end=""), width)
    return [legend, *table(columns, rows, width, palette.accent)]


def ring(shard: ShardView, cells: int) -> str:
    """The slots of a ring in so many characters; where one stands for several kinds, the last of
    the legend's is shown, so that what is reserved can always be seen."""
    line = [EMPTY] * cells
    low = max(shard.tail, int(shard.low)) if shard.low is not None else shard.tail
    end = min(shard.head, int(shard.end)) if shard.end is not None else shard.tail
    for sign, first, stop in (
        (WRITTEN, shard.tail, shard.head),
        (SAMPLEABLE, low, end),
        (RESERVED, shard.head, shard.head + int(shard.reserved or 0)),
    ):
        stop = min(stop, first + shard.rows)
        if stop <= first or shard.rows <= 0:
            continue
        begin = first % shard.rows
        for start, after in ((begin, begin + stop - first), (0, begin + stop - first - shard.rows)):
            after = min(after, shard.rows)
            for cell in range(start * cells // shard.rows, -(-after * cells // shard.rows)):
                line[cell] = sign
    return "".join(line)


def _unit(value: float | None, unit: str) -> str:
    return NA if value is None else f"{count(value)} {unit}"


def _wait(seconds: float | None) -> str:
    if seconds is None:
        return NA
    return f"{number(1000 * seconds)} ms" if seconds < 1.0 else f"{number(seconds)} s"
