"""Is a worker alive, getting on, or hung? Pure: every function is given the time.

Liveness is not progress. A worker that sends heartbeats but does no work is as stuck as a silent
one; a worker that *says* it waits (for the rate limiter, for a pause, for its peers' round) is
healthy for as long as it keeps saying so. Deadlines come from the configuration and from what the
worker has shown: one that once needed four minutes for a unit of work is not killed at five.

Progress is what heartbeats tell; where a worker stands is seen in shared memory, also when it can
say nothing any more. A phase may have a deadline of its own, which counts one stay in it.

After a gap in the supervisor's own loop (suspend, SIGSTOP, a stalled disk) nobody may be judged by
what was missed: `GapDetector` sees it, and every deadline is renewed before the next judgement.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Literal

from tuitrain.metrics.phases import Stay

Judgement = Literal["ok", "late start", "hung"]

HISTORY_FACTOR = 3.0
"""A progress gap may be this many times the longest one seen before it counts as a hang."""

SILENCE_S = 10.0
"""Who is at work but has not been heard for so long is told of, once."""

SILENT_BEATS = 4
SILENT_S = 1.0
"""After so many heartbeats, and so many seconds, what a worker said last is not taken for true."""

_HEALTHY_WAITS = ("waiting", "paused", "finished")


class Deadline:
    """A moment that can be pushed back when the one who judges was away."""

    def __init__(self, now: float, length_s: float) -> None:
        self.length_s = length_s
        self._until = now + length_s

    def renew(self, now: float) -> None:
        """Start again from `now`."""
        self._until = now + self.length_s

    def passed(self, now: float) -> bool:
        """Whether `now` is beyond it."""
        return now > self._until


class GapDetector:
    """Notices that the supervisor itself did not run for a while."""

    def __init__(self, now: float, tolerance_s: float) -> None:
        self.tolerance_s = tolerance_s
        self._last = now

    def tick(self, now: float) -> float | None:
        """Length in seconds of a gap since the last call, or None if there was none."""
        gap, self._last = now - self._last, now
        return gap if gap > self.tolerance_s else None


@dataclass
class Liveness:
    """What the supervisor knows of one worker's life. Times are the injected clock's seconds."""

    started_at: float
    startup_deadline_s: float
    progress_deadline_s: float
    phase_deadline_s: Mapping[str, float] = field(default_factory=dict)
    ready: bool = False
    state: str = "starting"
    progress: int = 0
    beat_at: float | None = None
    progress_at: float | None = None
    longest_gap_s: float = 0.0
    stay: Stay | None = None

    def __post_init__(self) -> None:
        self._renewed_at = self._heard_at = self._entered_at = self.started_at
        self._silence_told = False
        self._newest_gap_s = 0.0
        """The longest since it was judged last: of no account if the supervisor was away itself."""

    def on_ready(self, now: float) -> None:
        """The worker has built everything; from here on it must make progress."""
        self.ready = True
        self.beat_at = self.progress_at = self._renewed_at = self._heard_at = now

    def on_heartbeat(self, now: float, state: str, progress: int) -> None:
        """Take in one heartbeat."""
        if not self.ready:
            pass  # nothing it says before it is ready excuses it from getting ready
        elif progress != self.progress:
            if self.progress_at is not None and self.state == "running":
                # Only work counts as history: a long wait says nothing of how long work takes.
                self._newest_gap_s = max(self._newest_gap_s, now - self._renewed_at)
            self.progress = progress
            self.progress_at = self._renewed_at = now
        elif state in _HEALTHY_WAITS:
            self._renewed_at = now
        self.state = state
        self.beat_at = self._heard_at = now
        self._silence_told = False

    def on_stay(self, now: float, stay: Stay | None) -> None:
        """Take in where it stands, as it shows in shared memory."""
        if stay != self.stay:
            self.stay = stay
            self._entered_at = now

    def renew(self, now: float) -> None:
        """Forget time that the supervisor itself was away.

        Heartbeats of that time were read before anybody could know: what they told of how long
        work takes was as long as the supervisor's absence.
        """
        self._renewed_at = self._heard_at = now
        self._newest_gap_s = 0.0

    @property
    def deadline_s(self) -> float:
        """Seconds without progress, in the phase it is in, that count as a hang."""
        if not self.ready:
            return self.startup_deadline_s
        own = self._phase_deadline_s
        deadline_s = self.progress_deadline_s if own is None else own
        return max(deadline_s, HISTORY_FACTOR * self.longest_gap_s)

    @property
    def _phase_deadline_s(self) -> float | None:
        return None if self.stay is None else self.phase_deadline_s.get(self.stay.phase)

    def judge(self, now: float) -> Judgement:
        """Whether the worker is within its deadlines at `now`."""
        self.longest_gap_s = max(self.longest_gap_s, self._newest_gap_s)
        self._newest_gap_s = 0.0
        since = self._renewed_at
        if self.ready and self._phase_deadline_s is not None:
            since = max(since, self._entered_at)
        if now - since <= self.deadline_s:
            return "ok"
        return "hung" if self.ready else "late start"

    def why(self, now: float) -> str:
        """What it has done too long, in words, once it is judged."""
        limit = f"{self.deadline_s:g} s"
        if not self.ready:
            return f"not ready within {limit} of its start"
        if self.stay is None:
            beat_s = self.beat_age(now)
            silent = f", last heard {beat_s:.1f} s ago" if beat_s is not None else ""
            return f"hung: no progress for {limit}{silent}"
        if now - self._entered_at < self.deadline_s / 2:
            return f'hung: no progress for {limit}, though it moves, to "{self.stay.phase}" last'
        return f'hung in "{self.stay.phase}" for {limit}'

    def falls_silent(self) -> bool:
        """True once in a silence in which it is at work all the same: it changes its phase."""
        silent = self.ready and self._entered_at - self._heard_at > SILENCE_S
        if not silent or self._silence_told:
            return False
        self._silence_told = True
        return True

    def beat_age(self, now: float) -> float | None:
        """Seconds since it was last heard."""
        return None if self.beat_at is None else max(0.0, now - self.beat_at)

    def progress_age(self, now: float) -> float | None:
        """Seconds since `progress` last grew."""
        return None if self.progress_at is None else max(0.0, now - self.progress_at)


def still_says(state: str, beat_age_s: float | None, heartbeat_s: float) -> str:
    """A worker's state, or `silent` if it has not been heard for several heartbeats.

    Who was stopped while it waited would be taken for waiting still; it has hung.
    """
    late = beat_age_s is not None and beat_age_s > max(SILENT_S, SILENT_BEATS * heartbeat_s)
    return "silent" if late else state


@dataclass
class Standstill:
    """Every worker waits, each for another: healthy one by one, a deadlock together."""

    deadline_s: float
    _since: float | None = None

    def judge(self, now: float, states: list[str]) -> bool:
        """True when, for longer than the deadline, all have been waiting (not paused)."""
        stuck = bool(states) and all(state in ("waiting", "finished") for state in states)
        if not stuck or "waiting" not in states:
            self._since = None
            return False
        if self._since is None:
            self._since = now
        return now - self._since > self.deadline_s

    def renew(self, now: float) -> None:
        """Forget time that the supervisor itself was away."""
        if self._since is not None:
            self._since = now
