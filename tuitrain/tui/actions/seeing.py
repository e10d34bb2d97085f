"""What actor 0 sees, asked for once a second while it is on the screen, and never else."""

from __future__ import annotations

import asyncio
import time
from typing import ClassVar

from textual.binding import Binding, BindingType

from tuitrain.tui.actions.asking import AskingApp
from tuitrain.tui.actions.pacing import BLURRED_EVERY, PacedApp
from tuitrain.tui.client import ConnectionLost
from tuitrain.tui.view import Sight
from tuitrain.tui.widgets.sight import unpack

SIGHT_S = 1.0
SIGHT_TAB = 3


class SeeingApp(AskingApp, PacedApp):
    """Off until its key is pressed, and again when it is pressed once more."""

    BINDINGS: ClassVar[list[BindingType]] = [Binding("v", "see", "see what actor 0 sees")]

    sight: Sight | None = None
    """None while it is off."""
    _seeing: asyncio.Task[None] | None = None

    def action_see(self) -> None:
        """Turn it on, on the tab that has room for it; or off."""
        if self._seeing is not None:
            self._seeing.cancel()
            self._seeing = self.sight = None
        elif not self.refused("see"):
            self.sight = Sight()
            self._seeing = self.start(self._look())
            if self.tab != SIGHT_TAB:
                self.action_tab(SIGHT_TAB)
        self.redraw()

    async def _look(self) -> None:
        while True:
            if self.tab == SIGHT_TAB and not self.frozen and not self.ended:
                self.sight = await self._ask_for_one(self.policy_name())
                self.redraw()
            await asyncio.sleep(SIGHT_S * (1 if self.looked_at else BLURRED_EVERY))

    async def _ask_for_one(self, policy: str) -> Sight:
        assert self.client is not None
        try:
            reply = await self.client.request("see", policy=policy)
        except ConnectionLost as error:
            return Sight(said=str(error))
        pixels = unpack(reply.result) if reply.ok else None
        return Sight(pixels, reply.message, time.monotonic())
