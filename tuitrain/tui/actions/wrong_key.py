"""A key that means nothing says so, and which one may have been meant."""

from __future__ import annotations

from textual import events
from textual.keys import format_key

from tuitrain.tui.actions.base import RunApp

MEANT = {"h": "question_mark", "f1": "question_mark"}
"""Keys that other programs have for what has another one here."""


class WrongKeyApp(RunApp):
    """Told on the notice line, which makes room again soon."""

    wrong_keys: tuple[str, ...] = ()
    """Those pressed so far, as Textual names them."""

    def on_key(self, event: events.Key) -> None:
        """A key that neither a dialog nor a line that is typed has taken."""
        if event.key in self.screen.active_bindings:
            return
        self.wrong_keys = (*self.wrong_keys[-9:], event.key)
        shown = format_key(event.key)
        if len(self.screen_stack) > 1:
            self.announce(f"{shown} does nothing here; esc closes what is open")
        else:
            self.announce(f"{shown} does nothing here{self._meant(event.key)}; ? lists all keys")

    def _meant(self, key: str) -> str:
        """The key that means something in the other case, or under another name."""
        other = MEANT.get(key, key.swapcase() if len(key) == 1 else "")
        for binding in self.own_bindings():
            if other in binding.key.split(",") and binding.description:
                return f", {format_key(other)} is: {binding.description}"
        return ""
