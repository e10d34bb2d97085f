"""One worker as the supervisor has heard and measured it: totals, rates, shares of its time.

Pure but for the arguments: no clock, no processes. Rates are taken over the last seconds, because a
mean since the start hides a run that has just stopped. What a successor counts anew goes on where
its predecessors were, so that no total falls and no rate is negative.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Mapping
from dataclasses import dataclass, field

from tuitrain.protocol import ProcessState, WeightsHeld

RATE_WINDOW_S = 5.0
"""Rates are over this many seconds."""

USUAL_WINDOW_S = 120.0
"""What is left of a run is told from the steps of this many: a second's rate would make it jump."""

_OWN_TOTALS = ("steps", "transitions", "episodes", "evaluations")
_OWN_TOTALS_OF_POLICIES = ("draws/", "rejects/", "stale_priorities/", "forgone/")


def _is_own_total(name: str) -> bool:
    """Whether a counter begins at zero in each process; others are shared, or gauges."""
    return name in _OWN_TOTALS or name.startswith(_OWN_TOTALS_OF_POLICIES)


class RateMeter:
    """Growth per second of a total over the last `RATE_WINDOW_S`."""

    def __init__(self, window_s: float = RATE_WINDOW_S) -> None:
        self._window_s = window_s
        self._seen: deque[tuple[float, float]] = deque()

    def add(self, now: float, total: float) -> None:
        """The total was `total` at time `now`."""
        self._seen.append((now, total))
        while len(self._seen) > 2 and self._seen[1][0] <= now - self._window_s:
            self._seen.popleft()

    def rate(self, now: float) -> float | None:
        """Per second; None before two readings. Falls to 0 when readings stop coming."""
        if len(self._seen) < 2:
            return None
        last_t, last_total = self._seen[-1]
        first_t, first_total = self._seen[0]
        if last_t <= first_t:
            return None
        # Between two readings the rate holds; a source silent for longer has done nothing since.
        usual_s = (last_t - first_t) / (len(self._seen) - 1)
        silent_s = now - last_t
        end = last_t if silent_s <= 3 * usual_s else now
        if end - last_t > self._window_s:
            return 0.0
        return max(0.0, (last_total - first_total) / (end - first_t))


@dataclass
class WorkerView:
    """What the supervisor has heard from and measured of one worker."""

    name: str
    role: str
    restarts: int = 0
    """Deaths of its own that were followed by a start."""
    asked_again: int = 0
    """Restarts that a person has asked for: no deaths."""
    rolled_back: int = 0
    """Times it was started anew because another had died."""
    died_of: str | None = None
    """What it, or the last predecessor that died, has died of."""
    pid: int | None = None
    state: ProcessState = "starting"
    wait: str | None = None
    stands_in: str | None = None
    """A phase, as shared memory has it."""
    deadline_s: float | None = None
    """Without progress, there; then it has hung."""
    beat_at: float | None = None
    progress_at: float | None = None
    progress: int = 0
    earlier_progress: int = 0
    """What predecessors had made."""
    counters: dict[str, float] = field(default_factory=dict)
    phases_s: dict[str, float] = field(default_factory=dict)
    phase_share: dict[str, float] = field(default_factory=dict)
    device: str | None = None
    spec_hash: str | None = None
    weights: dict[str, WeightsHeld] = field(default_factory=dict)
    rss_bytes: int | None = None
    cpu_percent: float | None = None
    error: str | None = None
    meters: dict[str, RateMeter] = field(default_factory=dict)
    usual: RateMeter = field(default_factory=lambda: RateMeter(USUAL_WINDOW_S))
    """Of environment steps, over minutes without a pause."""
    _phases_seen: deque[tuple[float, dict[str, float]]] = field(default_factory=deque)
    _earlier: dict[str, float] = field(default_factory=dict)

    def on_heartbeat(
        self, now: float, counters: Mapping[str, float], phases_s: Mapping[str, float]
    ) -> None:
        """Take in the numbers of a heartbeat."""
        self.counters = self._earlier | {
            name: value + self._earlier.get(name, 0.0) for name, value in counters.items()
        }
        self.phases_s = dict(phases_s)
        if self.state == "paused":  # what was not worked on does not make the next rate smaller
            self.meters.clear()
            self.usual = RateMeter(USUAL_WINDOW_S)
        else:
            self._measure(now)
        self._phases_seen.append((now, self.phases_s))
        while len(self._phases_seen) > 2 and self._phases_seen[1][0] <= now - RATE_WINDOW_S:
            self._phases_seen.popleft()
        self.phase_share = _shares(self._phases_seen[0][1], self.phases_s)

    def _measure(self, now: float) -> None:
        counters = self.counters
        for name in ("steps", "episodes", "env_steps"):
            if name in counters:
                self._meter(name).add(now, counters[name])
        if "env_steps" in counters:
            self.usual.add(now, counters["env_steps"])
        updates = _updates_made(counters)
        if updates:
            self._meter("updates").add(now, sum(updates.values()))
        for policy, value in updates.items():
            self._meter(f"updates/{policy}").add(now, value)

    def says(self, now: float, silent_s: float) -> tuple[ProcessState, str | None]:
        """What it said last that it does, and waits for; of one that is silent that is not known.

        Args:
            silent_s: whoever has not been heard for longer is.
        """
        late = self.beat_at is not None and now - self.beat_at > silent_s
        if late and self.state in ("running", "waiting", "paused"):
            return "silent", None
        return self.state, self.wait

    def begin_again(self, *, asked: bool = False) -> None:
        """A successor starts in this place: totals that every process counts for itself go on."""
        self.restarts += not asked
        self.asked_again += asked
        self._earlier = {name: v for name, v in self.counters.items() if _is_own_total(name)}
        self.earlier_progress = self.progress
        self.state, self.wait, self.error = "starting", None, None
        self.stands_in = self.deadline_s = None
        self.pid = self.rss_bytes = self.cpu_percent = None
        self.beat_at = self.progress_at = None
        self.phases_s, self.phase_share = {}, {}
        self._phases_seen.clear()

    def begin_after(self, before: WorkerView, *, died: bool) -> None:
        """All start anew, totals too: of `before` only its deaths stay, and whether it `died`."""
        self.restarts, self.asked_again = before.restarts + died, before.asked_again
        self.rolled_back = before.rolled_back + (not died)
        self.died_of = before.died_of

    @property
    def successors(self) -> int:
        """Processes that have been started in this place after the first one."""
        return self.restarts + self.asked_again

    def times(self) -> str:
        """How often it was started again, in words."""
        parts = [f"restart {self.successors}"] if self.successors else []
        if self.rolled_back:
            parts.append(f"rolled back {self.rolled_back}×")
        return ", ".join(parts)

    def _meter(self, name: str) -> RateMeter:
        return self.meters.setdefault(name, RateMeter())

    def usual_rate(self, now: float) -> float | None:
        """Environment steps per second over the last minutes."""
        return self.usual.rate(now)

    def rate(self, name: str, now: float) -> float | None:
        """Growth per second of one of its totals."""
        meter = self.meters.get(name)
        return None if meter is None else meter.rate(now)


def _updates_made(counters: Mapping[str, float]) -> dict[str, float]:
    """Per policy. What a network has seen goes back when its learner dies; this does not."""
    made = {}
    for prefix in ("updates/", "updates_made/"):
        for name, value in counters.items():
            if name.startswith(prefix):
                made[name.removeprefix(prefix)] = value
    return made


def _shares(before: Mapping[str, float], after: Mapping[str, float]) -> dict[str, float]:
    spent = {name: max(0.0, s - before.get(name, 0.0)) for name, s in after.items()}
    total = sum(spent.values())
    if total <= 0:
        return {}
    return {name: s / total for name, s in spent.items()}
