"""What explains the rest: all keys, the worst check, what is wrong; nothing is imported before."""

from __future__ import annotations

from dataclasses import replace
from typing import ClassVar

from textual.binding import Binding, BindingType

from tuitrain.tui.actions.base import RunApp
from tuitrain.tui.view import worst_first


class ExplainingApp(RunApp):
    """Boxes that only tell."""

    BINDINGS: ClassVar[list[BindingType]] = [
        Binding("question_mark", "help", "help"),
        Binding(
            "exclamation_mark,i",
            "worst",
            "explain the worst check",
            tooltip="what is wrong with its health, and what to do",
        ),
        Binding("w", "diagnose", "diagnose", tooltip="what is wrong, causes first"),
    ]

    def action_help(self) -> None:
        """Show all keys."""
        from tuitrain.tui.dialogs.help import HelpDialog

        self.push_screen(HelpDialog(self.view()))

    def action_worst(self) -> None:
        """Explain the worst check."""
        from tuitrain.tui.dialogs.check import CheckDialog

        view = self.view()
        checks = worst_first(view.snapshot.checks) if view.snapshot is not None else []
        if checks:
            self.push_screen(CheckDialog(view, checks))
        else:
            self.announce(view.awaited() or "no checks reported")

    def action_diagnose(self) -> None:
        """Tell what is wrong, causes first."""
        from tuitrain.diagnosis.checks import CHECKS
        from tuitrain.diagnosis.diagnose import Since, diagnose
        from tuitrain.diagnosis.doubts import noted
        from tuitrain.diagnosis.ended import stretches
        from tuitrain.diagnosis.unfinished import unfinished
        from tuitrain.tui.dialogs.diagnosis import DiagnosisDialog
        from tuitrain.tui.recorded import env_settings

        view = self.view()
        if awaited := view.awaited():
            self.announce(awaited)
            return
        killed = view.snapshot is not None and view.snapshot.state == "interrupted"
        if view.snapshot is None or not (view.snapshot.checks or killed):
            self.announce("no checks reported; `tuitrain diagnose` reads the run's files")
            return
        changed = stretches(event.model_dump() for event in view.events)
        since = {i: Since(s.since_s) for i, s in changed.items() if s.raised}
        found = diagnose(view.snapshot.checks, CHECKS, since)
        found = noted(found, *env_settings(view.run_dir), snapshot=view.snapshot)
        if killed:
            state = "killed" if view.events else "not started"
            found = replace(found, wrong=(unfinished(view.run_dir.name, state), *found.wrong))
        self.push_screen(DiagnosisDialog(view, found))
