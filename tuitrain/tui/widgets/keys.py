"""Names of tabs and keys: the line at the bottom, and what the help says of each."""

from __future__ import annotations

from dataclasses import dataclass

from rich.text import Text

from tuitrain.tui.text import fit, part
from tuitrain.tui.view import View

WIDE = 70
"""Cells from which on tabs keep their names, and beside them how to leave and to get help."""
NARROW = 80
"""Cells up to which no longer word than "pause" has room beside them."""
TABS = ("Overview", "Learning", "Buffer", "Processes", "Logs")


@dataclass(frozen=True)
class Subject:
    """Keys that belong together, as the help lists them: what is on the key, and what it does."""

    name: str
    keys: tuple[tuple[str, str], ...]


LEFT = (
    Subject("Leave", (
        ("q", "leave: detach, stop, kill"),
        ("d", "detach; training goes on"),
        ("ctrl+z", "suspend this screen"),
    )),
    Subject("Training", (
        ("p", "pause or unpause"),
        ("s", "resync: compare all weights"),
        ("c", "write a checkpoint"),
        ("e", "evaluate now"),
        ("S", "set a value while it runs"),
        ("R D", "process: restart, stacks"),
    )),
    Subject("Charts", (
        ("g", "y: logarithmic, linear"),
        ("X", "x: steps, updates, time"),
        ("( )", "x: wider, closer"),
        ("← →", "x: earlier, later"),
        ("a", "all policies, or one"),
        ("=", "compare with another run"),
    )),
)  # fmt: skip
RIGHT = (
    Subject("Screen", (
        ("1-5", "tabs"),
        ("tab", "focus the next panel"),
        ("enter z", "one panel alone"),
        ("esc", "back"),
        ("[ ]", "other policy; on Logs: file"),
        ("↑↓ PgDn", "scroll, choose a process"),
        ("! i w", "worst check; all causes"),
        ("v", "what actor 0 sees"),
        ("space", "freeze the view"),
        ("+ -", "redraw faster, slower"),
        ("ctrl+p", "every action by its name"),
        ("?", "this help"),
    )),
    Subject("Lines", (
        ("/ n N", "filter; next, previous"),
        ("l", "logs, of the chosen process"),
        ("f", "follow the newest line"),
        ("y Y", "copy line, whole panel"),
        ("x", "export as SVG, text, JSON"),
    )),
)  # fmt: skip
"""The two columns of the help. Of what a key does, 27 cells are shown."""


def draw_keys(view: View, width: int, height: int) -> list[Text]:
    """The tabs and the main keys."""
    palette = view.palette
    parts = []
    named = width >= WIDE
    for i, name in enumerate(TABS, 1):
        mine = i == view.tab
        words = f"{i} {name}" if mine or named else str(i)
        style = "bold reverse" if mine else palette.dim
        parts.append(part(words, style, 0 if mine or named else 5))
    state = view.snapshot.state if view.snapshot is not None else ""
    keys = [("q", "leave", 1), ("?", "help", 1)]
    if view.link != "recorded" and not view.read_only:
        word = "pause"
        if state == "paused":  # the key to go on must not be what 80 cells have no room for
            word = "unpause" if width > NARROW else "go on"
        keys = [("p", word, 2), ("s", "resync", 4), ("c", "checkpoint", 6), ("e", "eval", 6),
                ("S", "set", 7), ("space", "freeze", 6), *keys]  # fmt: skip
    if view.read_only and view.link != "recorded":
        parts.append(part("READ-ONLY", palette.warn))
    if view.scrolled is not None and view.tab == 2:
        keys.insert(0, ("PgDn", f"{view.scrolled:.0%}", 1))
    if len(view.policies()) > 1 and view.tab != 5:
        keys.insert(0, ("[ ]", "policy", 3))
    checks = view.snapshot.checks if view.snapshot is not None else []
    if any(check.state in ("warn", "fail") for check in checks):
        keys.insert(0, ("w", "causes", 6))
    if state == "failed":
        keys.insert(0, ("!", "why", 0))
    for key, word, rank in keys:
        text = part(key, palette.accent, rank)
        text.text.append(f" {word}", palette.dim)
        parts.append(text)
    return [fit(parts, width)]
