"""Keys of the charts: their axes, the part of x that is shown, one policy or all."""

from __future__ import annotations

from dataclasses import replace
from typing import Any, ClassVar

from textual.binding import Binding, BindingType

from tuitrain.tui.actions.base import RunApp
from tuitrain.tui.view import ChartChoices, XAxis
from tuitrain.tui.widgets.charts import MOST_POLICIES

X_AXES: tuple[XAxis, ...] = ("steps", "updates", "wall_s")
MOST_ZOOM = 12
"""Times the shown part may be halved."""
_X_WORDS = {"steps": "environment steps", "updates": "updates", "wall_s": "time since the start"}


class ChartingApp(RunApp):
    """What was chosen holds for all charts, on every tab."""

    BINDINGS: ClassVar[list[BindingType]] = [
        Binding("g", "log_y", "log y", tooltip="y axis logarithmic or linear (scale)"),
        Binding("X", "x_axis", "x axis"),
        Binding("a", "all_policies", "all policies or one"),
        Binding("right_parenthesis", "zoom_x(1)", "zoom x: closer"),
        Binding("left_parenthesis", "zoom_x(-1)", "zoom x: wider"),
        Binding("left", "move_x(-1)", "zoom x: earlier"),
        Binding("right", "move_x(1)", "zoom x: later"),
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
        self._choose(f"x axis: {_X_WORDS[axis]}", x_axis=axis, at=None)

    def action_all_policies(self) -> None:
        """Show the chosen policy among all others, or alone."""
        many = len(self.view().policies())
        if many < 2:
            self.announce("this run has one policy")
        elif self.charts.all_policies:
            self._choose(f"charts show {self.view().policy_name()} alone", all_policies=False)
        else:
            others = "all policies" if many <= MOST_POLICIES else f"{MOST_POLICIES} policies"
            self._choose(f"charts show {others}, [ ] another in front", all_policies=True)

    def action_zoom_x(self, by: int) -> None:
        """Show half (1) or twice (-1) as much of the x axis; at last all of another run's too."""
        from tuitrain.tui.widgets.curves import goes_on_to

        widest = 0 if goes_on_to(self.view()) is None else -1
        zoom = max(widest, min(MOST_ZOOM, self.charts.zoom + by))
        at = self.charts.at if zoom > 0 else None
        self._choose(f"x axis: {self._how_much(zoom)}", zoom=zoom, at=at)

    def action_move_x(self, by: int) -> None:
        """Show an earlier (-1) or a later (1) part of the x axis, by half of what is shown."""
        from tuitrain.tui.widgets.curves import goes_on_to, window, x_range

        view = self.view()
        shown, whole = window(view), x_range(view)
        if shown is None or whole is None:
            self.announce("all of the x axis is shown; ) zooms in")
            return
        width = shown[1] - shown[0]
        last = goes_on_to(view) or whole[1]
        end = max(whole[0] + width, min(last, shown[1] + by * width / 2))
        newest = end == whole[1]
        self._choose("x axis: the newest" if newest else "x axis: ← → move, esc shows all",
                     at=None if newest else end)  # fmt: skip

    def show_whole_x(self) -> bool:
        """Show all of this run's x axis; whether that was not so before."""
        changed = self.charts.zoom != 0 or self.charts.at is not None
        if changed:
            self._choose(f"x axis: {self._how_much(0)}", zoom=0, at=None)
        return changed

    def _how_much(self, zoom: int) -> str:
        from tuitrain.tui.widgets.curves import goes_on_to

        if zoom > 0:
            return f"1/{2**zoom} of it, ← → move, esc shows all"
        if zoom < 0:
            return "all of it, the other run's too; ) this run's"
        alone = goes_on_to(self.view()) is None
        return "all of it" if alone else "all of this run's; ( the other's too"
