"""How often the screen is drawn: by the clock, less often while nobody looks; and suspending it."""

from __future__ import annotations

from typing import ClassVar

from textual import events
from textual.binding import Binding, BindingType
from textual.timer import Timer

from tuitrain.tui.actions.base import RunApp

REDRAW_S = 1.0
PERIODS_S = (0.2, 0.5, REDRAW_S, 2.0, 5.0, 10.0)
"""Between two redraws; a run says something new about once a second."""
BLURRED_EVERY = 5
"""Of so many redraws one is made while the terminal has not the focus."""


class PacedApp(RunApp):
    """Redraws by a clock whose pace the user chooses."""

    BINDINGS: ClassVar[list[BindingType]] = [
        Binding("plus", "pace(-1)", "redraw faster"),
        Binding("minus", "pace(1)", "redraw slower"),
        Binding("ctrl+z", "suspend_process", "suspend this screen"),
    ]

    redraw_s = REDRAW_S
    """Seconds between two redraws."""
    looked_at = True
    """Whether the terminal has the focus, as far as it tells."""
    _ticks = 0
    _clock: Timer | None = None

    def start_clock(self) -> None:
        """Redraw every `redraw_s` from now on."""
        if self._clock is not None:
            self._clock.stop()
        self._clock = self.set_interval(self.redraw_s, self._tick)

    def repaint(self) -> None:
        """Send every cell again: something else has written on the terminal."""
        self.screen.refresh(layout=True)
        self.redraw()

    def _tick(self) -> None:
        self._ticks += 1
        if self.looked_at or self._ticks % BLURRED_EVERY == 0:
            self.redraw()

    def on_app_focus(self, _: events.AppFocus) -> None:
        """The terminal is looked at again."""
        self.looked_at = True
        if self.client is not None:
            self.client.rest(False)
        self.redraw()

    def on_app_blur(self, _: events.AppBlur) -> None:
        """Nobody looks: redraw less often."""
        self.looked_at = False
        if self.client is not None:
            self.client.rest(True)

    def action_pace(self, by: int) -> None:
        """Redraw at the next longer (1) or shorter (-1) period."""
        nearest = min(range(len(PERIODS_S)), key=lambda i: abs(PERIODS_S[i] - self.redraw_s))
        self.redraw_s = PERIODS_S[max(0, min(len(PERIODS_S) - 1, nearest + by))]
        self.start_clock()
        self.announce(f"the screen is redrawn every {self.redraw_s:g} s")
