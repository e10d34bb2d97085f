"""When the next checkpoint is due: by time or by environment steps, whichever comes first. Pure."""

from __future__ import annotations


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

    def due(self, now: float, steps: int) -> bool:
        """Whether a checkpoint is due now; a yes begins anew."""
        self._steps = min(self._steps, steps)  # training may have gone back
        late = now - self._at >= self._every_s
        far = self._every_steps is not None and steps - self._steps >= self._every_steps
        if late or far:
            self._at, self._steps = now, steps
        return late or far
