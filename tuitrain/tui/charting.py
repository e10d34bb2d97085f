"""Keys of the charts: their axes."""

from __future__ import annotations

from dataclasses import replace
from typing import Any, ClassVar

from textual.binding import Binding, BindingType

from tuitrain.tui.base import RunApp
from tuitrain.tui.view import ChartChoices, XAxis

X_AXES: tuple[XAxis, ...] = ("steps", "updates", "wall_s")
_X_WORDS = {"steps": "environment steps", "updates": "updates", "wall_s": "time since the start"}


class ChartingApp(RunApp):
    """What was chosen holds for all charts, on every tab."""

    BINDINGS: ClassVar[list[BindingType]] = [
        Binding("g", "log_y", "log y"),
        Binding("X", "x_axis", "x axis"),
    ]

    charts = ChartChoices()

    def _choose(self, words: str, **changes: Any) -> None:
        self.charts = replace(self.charts, **changes)
        self.announce(words)

    def action_log_y(self) -> None:
        """Switch the charts' y axis: as suits each, all logarithmic, all linear."""
        log_y = {None: True, True: False, False: None}[self.charts.log_y]
        how = {None: "as suits each chart", True: "logarithmic", False: "linear"}[log_y]
        self._choose(f"y axis: {how}", log_y=log_y)

    def action_x_axis(self) -> None:
        """Switch the charts' x axis."""
        axis = X_AXES[(X_AXES.index(self.charts.x_axis) + 1) % len(X_AXES)]
        self._choose(f"x axis: {_X_WORDS[axis]}", x_axis=axis)
