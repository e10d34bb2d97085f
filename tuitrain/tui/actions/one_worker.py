"""Keys for one worker: start it again, and let it say where it stands."""

from __future__ import annotations

from typing import ClassVar

from textual.binding import Binding, BindingType

from tuitrain.diagnosis.restarting import cost_of_restart
from tuitrain.tui.actions.asking import AskingApp
from tuitrain.tui.actions.reading import ReadingApp
from tuitrain.tui.dialogs.sure import SureDialog

PROCESSES_TAB = 4


class OneWorkerApp(AskingApp, ReadingApp):
    """They concern the process that is chosen in a table of processes."""

    BINDINGS: ClassVar[list[BindingType]] = [
        Binding("R", "restart_worker", "restart the chosen process"),
        Binding("D", "stacks", "stacks of the chosen process"),
    ]

    def action_restart_worker(self) -> None:
        """Say what a restart costs, ask, and let the run do it."""
        snapshot, name = self.store.snapshot, self._chosen_worker("restart")
        if snapshot is None or not name:
            return

        def sure(meant: bool | None) -> None:
            if meant:
                self.ask("restart", worker=name)

        cost = cost_of_restart(snapshot, name)
        self.push_screen(SureDialog(self.view(), f"Restart {name}?", cost), sure)

    def action_stacks(self) -> None:
        """Ask for the stacks of the chosen process; where they are is told."""
        if name := self._chosen_worker("stacks"):
            self.ask("stacks", worker=name)

    def _chosen_worker(self, command: str) -> str:
        """Its name, or nothing, having said how one is chosen or why there is none."""
        if self.refused(command):
            return ""
        processes = self.store.snapshot.processes if self.store.snapshot is not None else []
        if self.selected in [process.name for process in processes]:
            return self.selected
        self.action_tab(PROCESSES_TAB)
        self.screen_stack[0].query_one("#process-table").focus()
        self.announce(f"{command}: choose a process first, with ↑ ↓")
        return ""
