"""When the next checkpoint is due: by time or by environment steps, whichever comes first. Pure.

One that could not be written is tried again soon, and then less and less often: a disk may have
room in a moment, and what is lost with the next death grows until then.
"""

from __future__ import annotations

RETRY_S = 10.0
"""From a failure to the next try; twice as long after each further one, up to the usual period."""


class CheckpointClock:
    """Due when so much time has passed, or so many steps have been made, since it was due last.

    Args:
        every_s: seconds.
        every_steps: environment steps; None for time alone.
        now, steps: as they are when training begins.
    """

    def __init__(self, every_s: float, every_steps: int | None, now: float, steps: int) -> None:
        self._every_s = every_s
        self._every_steps = every_steps
        self._at, self._steps = now, steps
        self._failures = 0
        self._retry_at: float | None = None

    def due(self, now: float, steps: int) -> bool:
        """Whether a checkpoint is due now; a yes begins anew."""
        self._steps = min(self._steps, steps)  # training may have gone back
        late = now - self._at >= self._every_s
        far = self._every_steps is not None and steps - self._steps >= self._every_steps
        again = self._retry_at is not None and now >= self._retry_at
        if late or far or again:
            self._at, self._steps, self._retry_at = now, steps, None
        return late or far or again

    def written(self) -> None:
        """There is a checkpoint."""
        self._failures, self._retry_at = 0, None

    def failed(self, now: float) -> float:
        """None could be written. Returns in how many seconds the next is due by time."""
        wait_s = min(RETRY_S * (1 << self._failures), self._every_s)
        if wait_s < self._every_s:
            self._failures += 1  # so that the power stays small
        self._retry_at = now + wait_s
        return wait_s
