"""What to change while the run goes on."""

from __future__ import annotations

import json
from collections.abc import Sequence
from typing import Any

from rich.text import Text
from textual import on
from textual.suggester import SuggestFromList
from textual.widgets import Input

from tuitrain.protocol import SettingView
from tuitrain.tui.dialogs.base import TypingDialog
from tuitrain.tui.text import safe
from tuitrain.tui.view import View


class SetDialog(TypingDialog):
    """A list of keys with their values, and a line to type in.

    Answers with what was typed, as a list of ``key=value``; None to stay.

    Args:
        settings: What can be changed.
        before: What was typed before, and refused.
        refusal: Why.
    """

    def __init__(
        self, view: View, settings: Sequence[SettingView], before: str = "", refusal: str = ""
    ) -> None:
        super().__init__(view, SuggestFromList([f"{setting.key}=" for setting in settings]), before)
        self._settings = settings
        self._refusal = refusal

    def text(self) -> Text:
        """What can be changed, and what it is."""
        palette = self.view.palette
        text = Text("Change while the run goes on\n\n", palette.accent)
        width = max((len(setting.key) for setting in self._settings), default=0)
        for setting in self._settings:
            text.append(f" {setting.key:<{width}}  ").append(_shown(setting.value), "bold")
            if setting.now:
                text.append(f"  now {safe(setting.now, 40)}", palette.ok)
            if setting.value != setting.given:
                text.append(f"  config.toml {_shown(setting.given)}", palette.dim)
            text.append("\n")
        words = "\nkey=value, several with spaces between · → completes · enter sets"
        words += "\nescape changes nothing"
        text.append(words, palette.dim)
        if self._refusal:
            text.append(f"\n\n✖ {safe(self._refusal, 600)}", palette.warn)
        return text

    @on(Input.Submitted)
    def answer(self, event: Input.Submitted) -> None:
        """Hand on what was typed."""
        event.stop()
        self.leave(event.value.split() or None)


def _shown(value: Any) -> str:
    return safe(value if isinstance(value, str) else json.dumps(value), 40)
