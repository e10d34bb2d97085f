"""How the command palette finds an action: by its name, and by what is said of it."""

from __future__ import annotations

import re

from textual.command import Hit, Hits
from textual.system_commands import SystemCommandsProvider


class Finder(SystemCommandsProvider):
    """Words of a name come first, then those of what is said of it, last letters in their order."""

    async def search(self, query: str) -> Hits:
        """Every action that has something of the query in it (textual's hook)."""
        matcher = self.matcher(query)
        for name, said, callback, *_ in self.app.get_system_commands(self.screen):
            if has_words(query, name):
                score = 3.0
            elif has_words(query, f"{name} {said}"):
                score = 2.0
            else:
                score = min(1.0, matcher.match(name))
            if score > 0:
                yield Hit(score, matcher.highlight(name), callback, help=said)


def has_words(query: str, text: str) -> bool:
    """Whether every word of the query begins one of the text, whatever the case of letters."""
    return all(re.search(rf"\b{re.escape(w)}", text, re.IGNORECASE) for w in query.split())
