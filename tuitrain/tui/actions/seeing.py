"""What actor 0 sees, asked for while it is on the screen, and never else.

Once a second; less often where a picture has so many colours that the terminal would get too much.
"""

from __future__ import annotations

import asyncio
import time
from typing import ClassVar

from textual.binding import Binding, BindingType

from tuitrain.tui.actions.asking import AskingApp
from tuitrain.tui.actions.pacing import BLURRED_EVERY, PacedApp
from tuitrain.tui.client import ConnectionLost
from tuitrain.tui.view import Sight
from tuitrain.tui.widgets.panel import Panel

SIGHT_S = 1.0
PIECES_PER_S = 300
"""Of one style that pictures may change: at 40 bytes each, of 20 KiB/s for the whole screen."""
SIGHT_TAB = 3


def pause_s(pieces: int) -> float:
    """Seconds from a picture that changed so many pieces of one style to the next."""
    return SIGHT_S * max(1.0, pieces / PIECES_PER_S)


class SeeingApp(AskingApp, PacedApp):
    """Off until its key is pressed, and again when it is pressed once more."""

    BINDINGS: ClassVar[list[BindingType]] = [Binding("v", "see", "see what actor 0 sees")]

    sight: Sight | None = None
    """None while it is off, and until there is a picture."""
    _seeing: asyncio.Task[None] | None = None

    def action_see(self) -> None:
        """Turn it on, or off."""
        if self._seeing is not None:
            self._seeing.cancel()
            self._rest()
        elif not self.refused("see"):
            self.pending["see"] = time.monotonic()
            self._seeing = self.start(self._look())
        self.redraw()

    def _rest(self) -> None:
        self.pending.pop("see", None)
        self._seeing = self.sight = None

    async def _look(self) -> None:
        """Open the tab that has room for it once there is a picture; without one nothing moves."""
        sight = await self._ask_for_one(self.policy_name())
        if sight.pixels is None:
            self._rest()
            self.announce(f"see: {sight.said}", "fail")
            return
        self.pending.pop("see", None)
        self.sight = sight
        if self.tab != SIGHT_TAB:
            self.action_tab(SIGHT_TAB)
        panel = self.screen_stack[0].query_one("#sight", Panel)
        while True:
            self.redraw()
            await asyncio.sleep(pause_s(panel.sent) * (1 if self.looked_at else BLURRED_EVERY))
            while self.tab != SIGHT_TAB or self.frozen or self.ended:
                await asyncio.sleep(SIGHT_S)
            self.sight = await self._ask_for_one(self.policy_name())

    async def _ask_for_one(self, policy: str) -> Sight:
        from tuitrain.tui.widgets.sight import unpack  # numpy waits for a picture

        assert self.client is not None
        try:
            reply = await self.client.request("see", policy=policy)
        except ConnectionLost as error:
            return Sight(said=str(error))
        pixels = unpack(reply.result) if reply.ok else None
        return Sight(pixels, reply.message, time.monotonic())
