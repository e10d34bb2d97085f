"""What the screen knows of a run: newest snapshot, recent events, bounded curves.

Fed line by line, by the socket or by `recorded.py` from files; a line that arrives twice (the
history after a reconnection) counts once. Memory is bounded. Pure; knows nothing of textual, files
or sockets.
"""

from __future__ import annotations

import math
from collections import OrderedDict, deque
from collections.abc import Hashable, Mapping
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any, TypeVar

from tuitrain.metrics.records import NEVER_MISSING
from tuitrain.metrics.rewind import Rewind
from tuitrain.protocol import EventLine, Snapshot
from tuitrain.tui.marks import Mark, mark_of

if TYPE_CHECKING:
    from tuitrain.tui.curve import Curve, CurveView

MAX_CURVES = 512
MAX_EVENTS = 2000
MAX_MARKS = 500
MAX_SERIES = 65_536
REMEMBERED = 50_000
ENDED: frozenset[str] = frozenset({"finished", "stopped", "failed", "interrupted"})
_NOT_CURVES = frozenset(
    {"kind", "policy", "steps", "updates", "time_s", "wall_s", "actor", "schema_version"}
)
_X = ("steps", "updates", "wall_s")


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


Key = TypeVar("Key", bound=Hashable)


def _kept(curves: dict[Key, Curve], key: Key) -> Curve | None:
    """The curve of this key, a new one if there is none; None where there are too many."""
    if key not in curves and len(curves) < MAX_CURVES:
        from tuitrain.tui.curve import Curve  # the first picture has no curves

        curves[key] = Curve()
    return curves.get(key)


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
        self._times: dict[str, Curve] = {}
        self._marks: deque[Mark] = deque(maxlen=MAX_MARKS)
        self._void: deque[tuple[float, float]] = deque(maxlen=MAX_MARKS)
        self._last_wall_s = self._earlier_sessions_s = 0.0
        self._newest: dict[tuple[str, str, str], tuple[float, float]] = {}
        self._seen_events = _Seen(REMEMBERED)
        self.latest: dict[tuple[str, str], dict[str, Any]] = {}
        self.told: dict[str, dict[str, float]] = {}
        """Per policy, the newest of each number that environments tell."""

    def add_snapshot(self, snapshot: Snapshot) -> None:
        """Newest wins."""
        self.snapshot = snapshot
        self.version += 1

    def add_event(self, event: EventLine) -> None:
        """Keep an event, unless it is already known."""
        if not self._seen_events.again((event.seq, event.time_s, event.source)):
            self.events.append(event)
            if (mark := mark_of(event)) is not None:
                self._marks.append(mark)
            self.version += 1

    def add_record(self, record: Mapping[str, Any]) -> None:
        """Put every number of a record on its curve, unless the record is already known."""
        kind, policy = str(record.get("kind", "")), str(record.get("policy") or "")
        steps, updates, wall_s = (as_float(record.get(name)) for name in _X)
        if self._known(record, kind, policy, wall_s):
            return
        if wall_s is not None:
            wall_s = self._run_time(wall_s)
        if (rewind := Rewind.of(record)) is not None:
            self._rewind(rewind, record)
            return
        if kind == "env":
            self._tell(policy, record)
            return
        nan = math.nan
        at, made, ran = (nan if x is None else x for x in (steps, updates, wall_s))
        time_s = as_float(record.get("time_s"))
        if policy and kind in ("train", "learner") and time_s is not None:
            times = _kept(self._times, policy)
            if times is not None:
                times.append(at, made, ran, time_s)
        for name, raw in record.items():
            if name in _NOT_CURVES:
                continue
            value = nan if raw is None and (kind, name) in NEVER_MISSING else as_float(raw)
            if value is None:
                continue
            if (curve := _kept(self._curves, (policy, kind, name))) is not None:
                curve.append(at, made, ran, value)
        if (policy, kind) in self.latest or len(self.latest) < MAX_CURVES:
            self.latest[(policy, kind)] = dict(record)
        self.version += 1

    def _tell(self, policy: str, record: Mapping[str, Any]) -> None:
        """Only the newest is kept: nobody draws those curves, and there may be many."""
        if policy not in self.told and len(self.told) >= MAX_CURVES:
            return
        told = self.told.setdefault(policy, {})
        for key, raw in record.items():
            name, value = key.removeprefix("metrics."), as_float(raw)
            if key != name and value is not None and (name in told or len(told) < MAX_CURVES):
                told[name] = value
        self.version += 1

    def _rewind(self, rewind: Rewind, record: Mapping[str, Any]) -> None:
        """The run goes on from there: nothing that was measured later counts any more."""
        for policy, times in self._times.items():
            times.drop_after(rewind.steps, rewind.updates.get(policy, math.inf))
        now = as_float(record.get("time_s"))
        if now is not None:
            newest = [times.view().newest for times in self._times.values()]
            self._void.append((max((t for t in newest if t is not None), default=0.0), now))
            resumed = record.get("why") == "resumed"
            self._marks.append(Mark("resume" if resumed else "rewind", now))
        for (policy, _, _), curve in self._curves.items():
            curve.drop_after(rewind.steps, rewind.updates.get(policy, math.inf))
        self.latest = {k: record for k, record in self.latest.items() if not rewind.voids(record)}
        self.version += 1

    def _run_time(self, wall_s: float) -> float:
        """Seconds the run has run, all its sessions together; each starts its clock at 0."""
        if wall_s < self._last_wall_s - 1.0:
            self._earlier_sessions_s += self._last_wall_s
        self._last_wall_s = wall_s
        return wall_s + self._earlier_sessions_s

    def _known(
        self, record: Mapping[str, Any], kind: str, policy: str, wall_s: float | None
    ) -> bool:
        """Whether this record came before: not newer in its series by either of its clocks.

        `wall_s` starts again when a run is resumed, `time_s` may step back; not both at once.
        """
        time_s = as_float(record.get("time_s"))
        if time_s is None or wall_s is None:
            return False
        series = (kind, policy, str(record.get("actor")))
        newest = self._newest.get(series)
        if newest is not None and time_s <= newest[0] and wall_s <= newest[1]:
            return True
        if newest is not None or len(self._newest) < MAX_SERIES:
            self._newest[series] = (time_s, wall_s)
        return False

    def curves(self) -> dict[CurveKey, CurveView]:
        """Views of all curves as they are now."""
        return {key: curve.view() for key, curve in self._curves.items()}

    def times(self) -> dict[str, CurveView]:
        """Per policy, when its records were made: unix seconds over steps and the rest."""
        return {policy: times.view() for policy, times in self._times.items()}

    def marks(self) -> tuple[Mark, ...]:
        """What happened to the run, without what happened in stretches that do not count."""
        return tuple(m for m in self._marks if not any(a < m.time_s < b for a, b in self._void))

    def policies(self) -> list[str]:
        """Names of policies that have records, in order of appearance."""
        return list(dict.fromkeys(policy for policy, _, _ in self._curves if policy))
