"""Keys that ask something of the run, and the question what leaving the screen means."""

from __future__ import annotations

import time
from collections.abc import Callable
from typing import Any, ClassVar

from textual.binding import Binding, BindingType

from tuitrain.protocol import Command
from tuitrain.tui.actions.base import RunApp
from tuitrain.tui.client import ConnectionLost, RunClient
from tuitrain.tui.dialogs.base import Dialog
from tuitrain.tui.dialogs.leave import KillDialog, Leave, LeaveDialog
from tuitrain.tui.dialogs.set import SetDialog
from tuitrain.tui.replies import flatten
from tuitrain.tui.widgets.header import run_name

MOST_DETAILS = 50
"""Of a reply, among the events."""


class AskingApp(RunApp):
    """Commands are shown as pending until the run has carried them out."""

    BINDINGS: ClassVar[list[BindingType]] = [
        Binding("q", "leave", "leave"),
        Binding("ctrl+q,ctrl+c", "leave", "leave", priority=True, show=False, system=True),
        Binding("d", "detach", "detach"),
        Binding("p", "pause", "pause or unpause"),
        Binding("s", "command('resync')", "resync"),
        Binding("c", "command('checkpoint')", "checkpoint"),
        Binding("e", "command('evaluate')", "evaluate"),
        Binding("S", "set", "set a value"),
    ]

    WITHOUT_KEY: ClassVar[tuple[tuple[str, str, str], ...]] = (
        ("stop and checkpoint", "stop", "in the leave dialog, key q"),
        ("kill", "kill", "in the leave dialog, key q"),
    )
    """Names, actions and what is said of them: no key is to end a run."""

    def action_command(self, command: Command) -> None:
        """Ask the run; pending until it has been carried out."""
        self.ask(command)

    def ask(self, command: Command, then: Callable[[], None] | None = None, **args: Any) -> None:
        """Ask the run with these arguments, and do `then` once it has carried that out."""
        if self.refused(command):
            return
        if command in self.pending:
            self.announce(f"{command}: still pending")
            return
        assert self.client is not None
        self.pending[command] = time.monotonic()
        self.start(self._carry_out(self.client, command, then, args))
        self.redraw()

    def refused(self, command: str) -> bool:
        """Whether nothing can be asked of the run; why is said."""
        if self.read_only:
            self.announce(f"{command}: this screen only looks (--read-only)", "fail")
        elif self.client is None or self.ended:
            self.announce(f"{command}: the run has ended", "fail")
        else:
            return False
        return True

    async def _carry_out(
        self,
        client: RunClient,
        command: Command,
        then: Callable[[], None] | None,
        args: dict[str, Any],
    ) -> None:
        try:
            reply = await client.request(command, **args)
        except ConnectionLost as error:
            ok, text, result = False, str(error), {}
        else:
            ok, text, result = reply.ok, reply.message, reply.result
        finally:
            self.pending.pop(command, None)
        details = flatten(result) if command == "resync" else []
        if details or not ok:  # the run itself reports what it has carried out
            self.note(f"{command}: {text}", "info" if ok else "error")
        for detail in details[:MOST_DETAILS]:
            self.note(f"  {detail}")
        brief = f" ({', '.join(details[:12])})" if details else ""
        self.announce(f"{command}: {text}{brief}", "ok" if ok else "fail")
        if ok and then is not None:
            then()

    def action_pause(self) -> None:
        """Pause a run that runs, unpause one that is paused."""
        snapshot = self.store.snapshot
        paused = snapshot is not None and snapshot.state == "paused"
        self.ask("unpause" if paused else "pause")

    async def action_leave(self) -> None:
        """Ask what leaving means; an ended run, and one only looked at, is just left."""
        if self.ended or self.read_only:
            self.exit()
        elif not isinstance(self.screen, LeaveDialog):
            while isinstance(self.screen, Dialog):
                self.pop_screen()
            await self.push_screen(LeaveDialog(self.view()), self._left)

    def _left(self, answer: Leave | None) -> None:
        if answer == "detach":
            self.action_detach()
        elif answer == "stop":
            self.action_stop()
        elif answer == "kill":
            self.action_kill()

    def action_stop(self) -> None:
        """Stop the run with a checkpoint, and leave once that is done."""
        self.ask("stop", self.exit)

    def action_set(self) -> None:
        """Ask what to change, and let the run do it."""
        snapshot = self.store.snapshot
        if snapshot is None or self.refused("set"):
            return

        def typed(values: list[str] | None) -> None:
            if values:
                self.ask("set", values=values)

        self.push_screen(SetDialog(self.view(), snapshot.settings), typed)

    def action_kill(self) -> None:
        """End the run at once, once its name has been typed; then leave."""
        snapshot = self.store.snapshot
        if snapshot is None:
            self.announce("kill: the run has not said anything yet", "fail")
            return

        def sure(typed: bool | None) -> None:
            if typed:
                self.ask("kill", self.exit)

        view = self.view()
        self.push_screen(KillDialog(view, run_name(view, snapshot)), sure)

    def action_detach(self) -> None:
        """Leave; training goes on."""
        self.exit()
