"""What happened: the run's events, and the notice line."""

from __future__ import annotations

import time
from functools import lru_cache
from pathlib import Path

from rich.cells import cell_len
from rich.text import Text

from tuitrain.config.longer import longer
from tuitrain.protocol import Snapshot
from tuitrain.tui.text import Palette, Part, age, clip, fit, part, safe, wrap
from tuitrain.tui.view import READING, View, nothing_matches
from tuitrain.tui.widgets.header import run_name

MAX_SHOWN = 500
_MORE = "; more: Events"
_FROZEN = " ▲ FROZEN "
"""What is left of the banner while an answer is shown."""
_LEAST_WRAPPED = 20
"""Cells for the words of an event in which they are wrapped; in fewer they are cut."""
_LEVEL_GLYPH = {"info": "·", "warning": "▲", "error": "✖"}


def draw_events(view: View, width: int, height: int) -> list[Text]:
    """One event a line, oldest first, bounded by the store; alone on its tab, wrapped."""
    palette = view.palette
    if not view.events:
        words = READING if view.reading else "no events"
        return [clip(Text(words, palette.dim, end=""), width)]
    told = [e for e in view.events if view.matches(e.level, e.source, e.text)]
    if not told:
        return [nothing_matches(view, len(view.events), "events", width)]
    shown = told[-MAX_SHOWN:]
    wide = max((len(safe(e.source, 12)) for e in shown), default=0)
    here = f"{view.run_dir}/"
    return [
        line
        for e in shown
        for line in _event(
            e.time_s, e.level, e.source, e.text.replace(here, ""), palette, wide, width, view.alone
        )
    ]


@lru_cache(maxsize=MAX_SHOWN)
def _event(
    time_s: float,
    level: str,
    source: str,
    text: str,
    palette: Palette,
    wide: int,
    width: int,
    wrapped: bool,
) -> tuple[Text, ...]:
    """One event; kept, as it stays what it was while others come."""
    line = Text(end="")
    if width >= 40:
        line.append(time.strftime("%H:%M:%S ", time.localtime(time_s)), palette.dim)
    style = {"warning": palette.warn, "error": palette.fail}.get(level, palette.dim)
    line.append(_LEVEL_GLYPH[level], style)
    line.append(f" {safe(source, 12):<{wide}} ", palette.dim)
    said, room = safe(text), width - line.cell_len
    loud = "" if level == "info" else style
    if not wrapped or room < _LEAST_WRAPPED:
        return (clip(line.append(said, loud), width),)
    first, *rest = wrap(said, room, loud, indent="")
    indent = " " * line.cell_len
    return line.append_text(first), *(Text(indent, end="").append_text(row) for row in rest)


def draw_notice(view: View, width: int, height: int) -> list[Text]:
    """What became of the last command, beside the freeze banner; else the last checkpoint."""
    palette = view.palette
    if view.frozen_s is not None and view.notice is None:
        goes_on = "training goes on, " if view.link == "live" else ""
        words = f" ▲ VIEW FROZEN {age(view.frozen_s)} ago: {goes_on}space shows it again "
        return [clip(Text(words.center(width), "reverse bold", end=""), width)]
    notice = view.notice
    if notice is not None:
        glyph, style = {
            "pending": ("◌", palette.warn),
            "ok": ("✓", palette.ok),
            "fail": ("✖", palette.fail),
            "info": ("●", palette.accent),
        }[notice.state]
        text = safe(notice.text.replace(f"{view.run_dir}/", ""))
        tail = f" … pending {age(notice.age_s)}" if notice.state == "pending" else ""
        ahead = [part(_FROZEN, "reverse bold")] if view.frozen_s is not None else []
        ahead += _filter(view)
        room = width - sum(p.text.cell_len + 2 for p in ahead)
        said = part(_shortened(f"{glyph} {text}{tail}", room), style)
        return [fit([*ahead, said], width)]
    snapshot = view.snapshot
    parts = _filter(view)
    if parts:
        parts.append(part("n N next, / changes it, esc clears it", palette.dim, 1))
    if snapshot is not None and snapshot.state == "finished":
        parts += _next(view, snapshot)
    elif snapshot is not None and snapshot.last_checkpoint:
        when = age(snapshot.last_checkpoint_age_s)
        before = "before the end" if view.ended else "ago"
        ago = f" {when} {before}" if snapshot.last_checkpoint_age_s is not None else ""
        name = safe(Path(snapshot.last_checkpoint).name)
        if snapshot.state == "stopped":
            run = safe(run_name(view, snapshot))
            parts.append(part(f"to go on: tuitrain resume {run}", palette.accent, 1))
        parts.append(part(f"last checkpoint {name}{ago}", palette.dim, 1))
    elif snapshot is not None:
        parts.append(part(_no_checkpoint(view), palette.dim, 1))
    if view.bad_lines:
        parts.append(part(f"{view.bad_lines} lines not understood", palette.warn, 1))
    parts.append(part(safe(str(view.run_dir)), palette.dim, 2))
    return [fit(parts, width)]


def _shortened(text: str, width: int) -> str:
    """As many of its clauses as there is room for; what was done is whole among the events.

    Where whole clauses would leave half of the room empty, as many words, and no bracket is open.
    """
    if cell_len(text) <= width or "; " not in text:
        return text
    room, depth = width - cell_len(_MORE), 0
    clauses = words = ""
    for at, character in enumerate(text[:width]):
        depth += (character == "(") - (character == ")")
        if character == " ":
            before = text[:at].rstrip(" ,;:")
            if depth <= 0 and text[at - 1] == ";" and cell_len(before) <= room:
                clauses = before
            if cell_len(cut := f"{before} …{')' * depth}") <= room:
                words = cut
    kept = clauses if 2 * cell_len(clauses) >= room else words
    return kept + _MORE if kept else text


def _next(view: View, snapshot: Snapshot) -> list[Part]:
    """What to type after a run that has come to its end: why it is not well, or what now."""
    style, run = view.palette.accent, safe(run_name(view, snapshot))
    if any(check.state in ("warn", "fail") for check in snapshot.checks):
        return [part(f"next: tuitrain diagnose {run}", style, 1)]
    steps = longer(snapshot.total_steps, snapshot.steps)
    again = f"tuitrain resume {run} --set run.total_steps={steps}"
    return [
        part(f"next: tuitrain eval {run}", style, 1),
        part(f"or longer: {again}", style, 1),
    ]


def _no_checkpoint(view: View) -> str:
    """That there is none of this session; of a resumed one, which it began from."""
    resumes = (e.data for e in reversed(view.events) if e.data.get("mark") == "resume")
    began = next(resumes, {}).get("start")
    from_ = f"; it began from {safe(Path(str(began)).name, 60)}" if began else ""
    return f"no checkpoint yet in this session{from_}"


def _filter(view: View) -> list[Part]:
    """What the lines of the panel in use must have; as long as it hides some, it is said."""
    if not view.filter:
        return []
    return [part(f"▲ only lines with '{safe(view.filter, 24)}'", view.palette.warn)]
