"""Names of tabs and keys: the line at the bottom, and what the help says of them."""

from __future__ import annotations

from rich.text import Text

from tuitrain.tui.text import fit, part
from tuitrain.tui.view import View

WIDE = 105
TABS = ("Overview", "Learning", "Buffer", "Processes", "Logs")
KEYS: list[tuple[str, str]] = [
    ("q", "leave: detach or stop, it asks (also ctrl+q, ctrl+c)"),
    ("d", "detach now; training goes on"),
    ("p", "pause or unpause training"),
    ("s", "resync: newest weights to the actors, compare all"),
    ("c", "write a checkpoint now"),
    ("e", "evaluate now"),
    ("space", "freeze the view; training goes on"),
    ("!", "explain the worst check"),
    ("1-5", "Overview, Learning, Buffer, Processes, Logs"),
    ("[ ]", "another policy, and its verdict; on Logs: file"),
    ("g  X", "logarithmic y; x axis: steps, updates, time"),
    ("x", "export the screen into the run's folder: SVG, text"),
    ("↑↓ PgUp PgDn", "scroll the tab, or the panel that tab focused"),
    ("?", "this help"),
]


def draw_keys(view: View, width: int, height: int) -> list[Text]:
    """The tabs and the main keys."""
    palette = view.palette
    parts = []
    for i, name in enumerate(TABS, 1):
        mine = i == view.tab
        words = f"{i} {name}" if mine or width >= WIDE else str(i)
        parts.append(part(words, "bold reverse" if mine else palette.dim, 0 if mine else 5))
    state = view.snapshot.state if view.snapshot is not None else ""
    keys = [("q", "leave", 1), ("?", "help", 1)]
    if view.link != "recorded":
        word = "unpause" if state == "paused" else "pause"
        keys = [("p", word, 2), ("s", "resync", 4), ("c", "checkpoint", 6), ("e", "eval", 6),
                ("space", "freeze", 6), *keys]  # fmt: skip
    if view.scrolled is not None and view.tab == 2:
        keys.insert(0, ("↑↓ PgDn", f"more {view.scrolled:.0%}", 1))
    if len(view.policies()) > 1 and view.tab != 5:
        keys.insert(0, ("[ ]", "policy", 3))
    if state == "failed":
        keys.insert(0, ("!", "why", 0))
    for key, word, rank in keys:
        text = part(key, palette.accent, rank)
        text.text.append(f" {word}", palette.dim)
        parts.append(text)
    return [fit(parts, width)]
