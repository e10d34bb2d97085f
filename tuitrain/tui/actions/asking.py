"""Keys that ask something of the run, and the question what leaving the screen means."""

from __future__ import annotations

import time
from collections.abc import Callable
from typing import Any, ClassVar

from textual.binding import Binding, BindingType

from tuitrain.protocol import Command, with_name
from tuitrain.tui.actions.base import RunApp
from tuitrain.tui.client import ConnectionLost, RunClient
from tuitrain.tui.dialogs.base import Dialog
from tuitrain.tui.dialogs.leave import KillDialog, Leave, LeaveDialog
from tuitrain.tui.dialogs.set import SetDialog
from tuitrain.tui.widgets.header import run_name


class AskingApp(RunApp):
    """Commands are shown as pending until the run has carried them out."""

    BINDINGS: ClassVar[list[BindingType]] = [
        Binding("q", "leave", "leave", tooltip="quit: detach, stop or kill"),
        Binding("ctrl+q,ctrl+c", "leave", "leave", priority=True, show=False, system=True),
        Binding("d", "detach", "detach", tooltip="close the screen; training goes on"),
        Binding("p", "pause", "pause or unpause", tooltip="hold training, let it go on"),
        Binding("s", "command('resync')", "resync", tooltip="compare every worker's weights"),
        Binding("c", "command('checkpoint')", "checkpoint", tooltip="save now"),
        Binding("e", "command('evaluate')", "evaluate", tooltip="play now, greedily"),
        Binding(
            "S",
            "set",
            "set a value",
            tooltip="change learning rate (lr), epsilon, replay ratio, log level, …",
        ),
    ]

    WITHOUT_KEY: ClassVar[tuple[tuple[str, str, str], ...]] = (
        ("stop and checkpoint", "stop", "in the leave dialog, key q"),
        ("kill", "kill", "in the leave dialog, key q"),
    )
    """Names, actions and what is said of them: no key is to end a run."""

    def action_command(self, command: Command) -> None:
        """Ask the run; pending until it has been carried out."""
        self.ask(command)

    def ask(
        self,
        command: Command,
        then: Callable[[], None] | None = None,
        *,
        otherwise: Callable[[str], None] | None = None,
        **args: Any,
    ) -> None:
        """Ask the run with these arguments.

        Args:
            then: done once the run has carried that out.
            otherwise: done if it has not, with its words.
        """
        if self.refused(command):
            return
        if command in self.pending:
            self.announce(f"{command}: still pending")
            return
        assert self.client is not None
        self.pending[command] = time.monotonic()
        self.start(self._carry_out(self.client, command, then, otherwise, args))
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
        otherwise: Callable[[str], None] | None,
        args: dict[str, Any],
    ) -> None:
        try:
            reply = await client.request(command, **args)
        except ConnectionLost as error:
            ok, text = False, str(error)
            self.note(f"{command}: {text}", "error")  # all else is among the run's own events
        else:
            ok, text = reply.ok, reply.message
        finally:
            self.pending.pop(command, None)
        self.announce(with_name(command, text), "ok" if ok else "fail")
        if ok and then is not None:
            then()
        elif not ok and otherwise is not None:
            otherwise(text)

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

    def action_set(self, before: str = "", refusal: str = "") -> None:
        """Ask what to change, and let the run do it; ask again where it refuses that.

        Args:
            before: what was typed and refused.
            refusal: why.
        """
        snapshot = self.store.snapshot
        if snapshot is None or self.refused("set"):
            return

        def typed(values: list[str] | None) -> None:
            if values:
                self.ask("set", otherwise=lambda why: again(" ".join(values), why), values=values)

        def again(before: str, why: str) -> None:
            if len(self.screen_stack) == 1:  # not over what was opened meanwhile
                self.action_set(before, why)

        dialog = SetDialog(self.view(), snapshot.settings, before, refusal)
        self.push_screen(dialog, typed)

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
