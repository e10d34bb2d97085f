"""Every worker on a line, drawn as one table; and where their time goes."""

from __future__ import annotations

from math import isfinite

from rich.text import Text

from tuitrain.protocol import ProcessView
from tuitrain.tui.text import (
    NA,
    Column,
    Palette,
    Part,
    age,
    bar,
    clip,
    count,
    fit,
    number,
    part,
    percent,
    rate,
    safe,
    size,
    table,
)
from tuitrain.tui.view import (
    STATE_GLYPH,
    View,
    nothing_matches,
    shown_processes,
    state_style,
)

_COLUMNS = (
    Column("role", right=False),
    Column("state", right=False),
    Column("beat", rank=3),
    Column("prog", rank=5),
    Column("rate", rank=1),
    Column("ver", rank=4),
    Column("behind", rank=2),
    Column("for", rank=6),
    Column("ε", rank=7),
    Column("rss", rank=9),
    Column("cpu%", rank=8),
    Column("↻", rank=3),
)
_PHASE_STYLE = {"wait": 1, "act": 0, "env step": 2, "commit": 3, "sample": 4, "copy": 3,
                "update": 0, "publish": 2}  # fmt: skip
_WORK = {"actor": "vector steps", "learner": "updates", "evaluator": "steps of evaluation",
         "trainer": "vector steps and updates"}  # fmt: skip
"""What a role's progress counts."""
SLOW_BEAT_S = 5.0
_DIGITS = "0123456789"


def draw_processes(view: View, width: int, height: int) -> list[Text]:
    """The table; a single line of glyphs where there is one line."""
    if view.snapshot is None:
        return [clip(Text(NA, view.palette.dim, end=""), width)]
    processes = view.snapshot.processes
    if not processes:
        words = "no processes: the run has ended" if view.link == "recorded" else "no processes yet"
        return [clip(Text(words, view.palette.dim, end=""), width)]
    if height == 1:
        return [draw_glyphs(processes, width, view.palette)]
    shown = shown_processes(view)
    if not shown:
        return [Text(end=""), nothing_matches(view, len(processes), "processes", width)]
    rows = [_row(p, view) for p in shown]
    return table(_COLUMNS, rows, width, view.palette.dim)


def draw_glyphs(processes: list[ProcessView], width: int, palette: Palette) -> Text:
    """`L● 0●↻2 1▲`: letter or number, glyph and deaths of each; `L0● L1●` of several learners."""
    parts = []
    for process in processes:
        glyph, style = _glyph(process, palette)
        again = f"↻{process.restarts}" if process.restarts else ""
        short = process.name[:1].upper() + process.name[len(process.name.rstrip(_DIGITS)) :]
        if process.role == "actor":
            short = process.name[1:]
        bad = process.state == "failed"
        parts.append(part(f"{safe(short)}{glyph}{again}", style, 0 if bad else 1))
    troubled = [p for p in processes if p.state in ("failed", "paused", "silent", "starting")]
    for process in troubled[:2]:
        parts.append(part(f"{safe(process.name)} {process.state}", palette.dim, 2))
    return fit(parts, width, " ")


def _glyph(process: ProcessView, palette: Palette) -> tuple[str, str]:
    slow = process.beat_age_s is not None and process.beat_age_s > SLOW_BEAT_S
    if slow and process.state in ("running", "waiting"):
        return "▲", palette.warn
    return STATE_GLYPH.get(process.state, "○"), state_style(process.state, palette)


def _row(process: ProcessView, view: View) -> list[Text | str]:
    palette = view.palette
    glyph, style = _glyph(process, palette)
    epsilon = NA if process.epsilon is None else number(process.epsilon)
    if process.epsilon is not None and isfinite(process.epsilon):
        epsilon = f"{process.epsilon:.3g}"
    beat = Text(age(process.beat_age_s), palette.warn if glyph == "▲" else "", end="")
    restarts = Text(str(process.restarts), palette.warn if process.restarts else "", end="")
    name = Text(safe(process.name), end="")
    if view.selected:
        mine = process.name == view.selected
        name = Text(f"{'▸' if mine else ' '}{safe(process.name)}", "bold" if mine else "", end="")
    return [
        name,
        Text(f"{glyph} {process.state}", style, end=""),
        beat,
        age(process.progress_age_s),
        NA if view.paused else _rate(process),
        NA if process.version is None else f"v{process.version}",
        count(process.lag_updates),
        age(process.lag_s),
        epsilon,
        size(process.rss_bytes),
        percent(None if process.cpu_percent is None else process.cpu_percent / 100),
        restarts,
    ]


def _rate(process: ProcessView) -> str:
    """Work per second; of a learner of several policies that of all together."""
    n = sum(name.startswith("updates/") for name in process.counters)
    words = rate(process.rate, process.rate_unit)
    return f"all {n}: {words}" if n > 1 and process.role == "learner" and process.rate else words


def draw_process_details(view: View, width: int, height: int) -> list[Text]:
    """Per worker: pid, device, work done, shares of its time by phase, why it waits, its error."""
    palette = view.palette
    if view.snapshot is None or not view.snapshot.processes:
        return draw_processes(view, width, 2)
    shown = shown_processes(view)
    if not shown:
        return [nothing_matches(view, len(view.snapshot.processes), "processes", width)]
    lines: list[Text] = []
    name_width = max(len(safe(p.name)) for p in shown)
    for process in shown:
        lines.append(fit(_facts(process, name_width, palette), width))
        lines.append(_phases(process, width, " " * (name_width + 2), palette))
        if process.restarts and not process.error:
            died = f"↻ {process.restarts}, last: {safe(process.died_of or NA, 400)}"
            lines.append(clip(Text(f"  {died}", palette.warn, end=""), width))
        if process.error:
            for text in safe(process.error.strip().splitlines()[-1], 400).splitlines():
                lines.append(clip(Text(f"  ✖ {text}", palette.fail, end=""), width))
    return lines


def _facts(process: ProcessView, name_width: int, palette: Palette) -> list[Part]:
    glyph, style = _glyph(process, palette)
    done = f"{count(process.progress)} {_WORK.get(process.role, 'units of work')}"
    if process.progress_age_s is not None:
        done += f", last {age(process.progress_age_s)} ago"
    parts = [
        part(f"{safe(process.name):<{name_width}}", "bold"),
        part(f"{glyph} {process.state:<8}", style),
        part(f"pid {process.pid if process.pid is not None else NA}", palette.dim, 3),
        part(f"on {safe(process.device or NA)}", palette.dim, 4),
        part(done, palette.dim, 2),
    ]
    for name, held in process.weights.items():
        words = f"{safe(name, 20)} v{held.version} sha256 {safe(held.sha256[:12])}"
        parts.append(part(words, palette.dim, 5))
    if process.wait:
        parts.append(part(f"waits: {safe(process.wait, 80)}", palette.warn, 1))
    if process.state == "silent" and process.stands_in:
        parts.append(part(f"in: {safe(process.stands_in, 80)}", palette.warn, 1))
    return parts


def _phases(process: ProcessView, width: int, indent: str, palette: Palette) -> Text:
    if not process.phase_share:
        return clip(Text(f"{indent}phase time {NA}", palette.dim, end=""), width)
    cells = max(3, min(12, (width - len(indent)) // 6 - 10))
    parts: list[Part] = []
    for phase, share in sorted(process.phase_share.items(), key=lambda item: -item[1]):
        colour = palette.series[_PHASE_STYLE.get(phase, 0) % len(palette.series)]
        text = Text(f"{safe(phase)} ", end="")
        text.append(bar(share, cells), colour)
        text.append(f" {percent(share)}")
        parts.append(Part(text, len(parts)))
    rest = 1.0 - sum(process.phase_share.values())
    if rest > 0.005:
        parts.append(part(f"other {percent(rest)}", palette.dim, 9))
    line = fit(parts, max(0, width - len(indent)))
    return clip(Text(indent, end="").append_text(line), width)
