"""What the screen knows of a run: newest snapshot, recent events, bounded curves.

Fed line by line, by the socket or by `recorded.py` from files; a line that arrives twice (the
history after a reconnection) counts once. Memory is bounded: a curve that is full is thinned so
that every stretch keeps its minimum, its maximum and its first value that is not finite, so
spikes survive however long the run. Pure; knows nothing of textual, files or sockets.
"""

from __future__ import annotations

import math
from collections import OrderedDict, deque
from collections.abc import Hashable, Mapping
from dataclasses import dataclass, field
from typing import Any

import numpy as np
from numpy.typing import NDArray

from tuitrain.protocol import EventLine, Snapshot

Floats = NDArray[np.float64]

CURVE_POINTS = 8192
MAX_CURVES = 512
MAX_EVENTS = 2000
REMEMBERED = 50_000
ENDED: frozenset[str] = frozenset({"finished", "stopped", "failed", "interrupted"})
_NOT_CURVES = frozenset(
    {"kind", "policy", "steps", "updates", "time_s", "wall_s", "actor", "schema_version"}
)
_X = ("steps", "updates", "wall_s")


@dataclass(frozen=True)
class CurveView:
    """A curve as it was at one moment: float64[n] each; x are steps, updates and seconds."""

    steps: Floats
    updates: Floats
    wall_s: Floats
    value: Floats

    def x(self, axis: str) -> Floats:
        """The x column called `steps`, `updates` or `wall_s`."""
        return {"steps": self.steps, "updates": self.updates}.get(axis, self.wall_s)


_NOTHING = np.zeros(0)
EMPTY = CurveView(_NOTHING, _NOTHING, _NOTHING, _NOTHING)


class Curve:
    """Points in the order they came, at most ``capacity`` of them.

    Full, it is thinned by stretches of four points. Views taken before stay as they were, because
    points are only ever appended behind them or copied to a new array.
    """

    def __init__(self, capacity: int = CURVE_POINTS) -> None:
        if capacity < 8:
            raise ValueError(f"a curve needs room for at least 8 points, not {capacity}")
        self._data = np.empty((4, capacity))
        self._n = 0

    def __len__(self) -> int:
        return self._n

    def append(self, steps: float, updates: float, wall_s: float, value: float) -> None:
        """Add one point; any value may be NaN or infinite."""
        if self._n == self._data.shape[1]:
            self._thin()
        self._data[:, self._n] = (steps, updates, wall_s, value)
        self._n += 1

    def view(self) -> CurveView:
        """All points, without a copy."""
        steps, updates, wall_s, value = self._data[:, : self._n]
        return CurveView(steps, updates, wall_s, value)

    def _thin(self) -> None:
        capacity = self._data.shape[1]
        whole = capacity // 4 * 4
        value = self._data[3, :whole].reshape(-1, 4)
        good = np.isfinite(value)
        keep = np.zeros(value.shape, dtype=bool)
        stretch = np.arange(len(value))
        low = np.where(good, value, np.inf).argmin(axis=1)
        high = np.where(good, value, -np.inf).argmax(axis=1)
        some = good.any(axis=1)
        keep[stretch[some], low[some]] = True
        keep[stretch[some], high[some]] = True
        broken = ~good.all(axis=1)
        keep[stretch[broken], (~good).argmax(axis=1)[broken]] = True
        kept = np.append(np.flatnonzero(keep.ravel()), np.arange(whole, capacity))
        fresh = np.empty_like(self._data)
        fresh[:, : kept.size] = self._data[:, kept]
        self._data, self._n = fresh, kept.size


def as_float(value: Any) -> float | None:
    """A number of a record, also when it was written as `"nan"` or `"inf"`; else None."""
    if isinstance(value, bool):
        return None
    if isinstance(value, int | float):
        try:
            return float(value)
        except OverflowError:
            return math.inf if value > 0 else -math.inf
    if isinstance(value, str) and value.lower().lstrip("+-") in ("nan", "inf", "infinity"):
        return float(value)
    return None


class _Seen:
    """Remembers the newest lines, to recognise one that is sent again."""

    def __init__(self, most: int) -> None:
        self._most = most
        self._known: OrderedDict[Hashable, None] = OrderedDict()

    def again(self, key: Hashable) -> bool:
        if key in self._known:
            return True
        self._known[key] = None
        if len(self._known) > self._most:
            self._known.popitem(last=False)
        return False


CurveKey = tuple[str, str, str]
"""Policy (empty for records of the whole run), record kind, field."""


@dataclass
class Store:
    """Everything known of one run. ``version`` grows with every change."""

    snapshot: Snapshot | None = None
    events: deque[EventLine] = field(default_factory=lambda: deque(maxlen=MAX_EVENTS))
    version: int = 0
    damaged_lines: int = 0

    def __post_init__(self) -> None:
        self._curves: dict[CurveKey, Curve] = {}
        self._seen_records = _Seen(REMEMBERED)
        self._seen_events = _Seen(REMEMBERED)
        self.latest: dict[tuple[str, str], dict[str, Any]] = {}

    def add_snapshot(self, snapshot: Snapshot) -> None:
        """Newest wins."""
        self.snapshot = snapshot
        self.version += 1

    def add_event(self, event: EventLine) -> None:
        """Keep an event, unless it is already known."""
        if not self._seen_events.again((event.seq, event.time_s, event.source)):
            self.events.append(event)
            self.version += 1

    def add_record(self, record: Mapping[str, Any]) -> None:
        """Put every number of a record on its curve, unless the record is already known."""
        kind, policy = str(record.get("kind", "")), str(record.get("policy") or "")
        actor = record.get("actor")
        steps, updates, wall_s = (as_float(record.get(name)) for name in _X)
        key = (kind, policy, str(actor), as_float(record.get("time_s")), wall_s, steps, updates)
        if self._seen_records.again(key):
            return
        nan = math.nan
        for name, raw in record.items():
            if name in _NOT_CURVES:
                continue
            value = as_float(raw)
            if value is None:
                continue
            curve = self._curves.get((policy, kind, name))
            if curve is None:
                if len(self._curves) >= MAX_CURVES:
                    continue
                curve = self._curves[(policy, kind, name)] = Curve()
            curve.append(
                nan if steps is None else steps,
                nan if updates is None else updates,
                nan if wall_s is None else wall_s,
                value,
            )
        if (policy, kind) in self.latest or len(self.latest) < MAX_CURVES:
            self.latest[(policy, kind)] = dict(record)
        self.version += 1

    def curves(self) -> dict[CurveKey, CurveView]:
        """Views of all curves as they are now."""
        return {key: curve.view() for key, curve in self._curves.items()}

    def policies(self) -> list[str]:
        """Names of policies that have records, in order of appearance."""
        return list(dict.fromkeys(policy for policy, _, _ in self._curves if policy))
