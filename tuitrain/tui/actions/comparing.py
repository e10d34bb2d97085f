"""Another run's curves beside this one's: choosing it and reading its files."""

from __future__ import annotations

import asyncio
from pathlib import Path
from typing import ClassVar

from textual.binding import Binding, BindingType

from tuitrain.tui.actions.base import RunApp
from tuitrain.tui.dialogs.compare import CompareDialog
from tuitrain.tui.store import Store
from tuitrain.tui.text import safe
from tuitrain.tui.view import Compared


def other_runs(run_dir: Path) -> list[Path]:
    """The folders of the runs that lie beside this one, newest first."""
    from tuitrain.config.runs import list_runs  # the first screen does not wait for it

    found = [run.path for run in list_runs(run_dir.absolute().parent)]
    return [path for path in reversed(found) if path.name != run_dir.absolute().name]


class ComparingApp(RunApp):
    """What another run has recorded is read once, when it is chosen."""

    BINDINGS: ClassVar[list[BindingType]] = [
        Binding("equals_sign", "compare", "compare with another run"),
    ]

    compared: Compared | None = None

    def action_compare(self) -> None:
        """Choose another run, or none."""
        self.start(self._offer())

    def compare(self, run_dir: Path) -> None:
        """Draw the curves of this run, fainter, on the charts."""
        self.start(self._read(run_dir))

    async def _offer(self) -> None:
        runs = await asyncio.to_thread(other_runs, self.run_dir)
        if not runs:
            self.announce(f"no other run in {safe(self.run_dir.absolute().parent)}")
        elif not isinstance(self.screen, CompareDialog):
            now = None if self.compared is None else self.compared.name
            await self.push_screen(CompareDialog(self.view(), runs, now), self._chosen)

    def _chosen(self, answer: Path | bool | None) -> None:
        if isinstance(answer, Path):
            self.compare(answer)
        elif answer is False:
            self.compared = None
            self.announce("no comparison")

    async def _read(self, run_dir: Path) -> None:
        from tuitrain.tui.recorded import load_recorded
        from tuitrain.tui.widgets.curves import goes_on_to

        name, store = run_dir.absolute().name, Store()
        await asyncio.to_thread(load_recorded, run_dir, store)
        curves = store.curves()
        if not curves:
            self.announce(f"{safe(name)} has measured nothing yet", "fail")
            return
        await self.loaded.wait()  # with this run's own curves it is told which goes on
        self.compared = Compared(name, curves)
        longer = goes_on_to(self.view()) is not None
        hint = "; it goes on where this one ends: ( shows all of it" if longer else ""
        self.announce(f"compared with {safe(name)}, as it is now{hint}", "ok")
