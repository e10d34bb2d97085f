"""The three lines that answer: what runs, is the machinery healthy, is it learning?"""

from __future__ import annotations

from collections import Counter

from rich.text import Text

from tuitrain.protocol import LearningView, Snapshot, Verdict
from tuitrain.tui.text import (
    NA,
    Palette,
    Part,
    age,
    clip,
    clock,
    count,
    fit,
    number,
    part,
    percent,
    rate,
    safe,
    signed,
)
from tuitrain.tui.view import (
    CHECK_GLYPH,
    STATE_GLYPH,
    VERDICT_GLYPH,
    View,
    check_style,
    state_style,
    verdict_style,
    worst_first,
)

SLOW_ANSWER_S = 2.0
"""So long without a word of the run, and the screen says what it waits for."""
_TRENDS: tuple[Verdict, ...] = ("IMPROVING", "FALLING")
"""Verdicts of which the slope is the reason."""


def draw_header(view: View, width: int, height: int) -> list[Text]:
    """Run, health, learning; one line each."""
    snapshot = view.snapshot
    if snapshot is None:
        words = view.awaited() or "nothing was recorded"
        words = _connecting(view) if view.link == "connecting" else words
        lines = [
            fit([part("tuitrain", view.palette.accent, 1), part(safe(view.run_dir.name)),
                 part(words, view.palette.warn), *_link(view)], width),
            fit([part("HEALTH", "bold"), part(f"○ {NA}", view.palette.dim)], width),
            fit([part("LEARNING", "bold"), part(f"○ {NA}", view.palette.dim)], width),
        ]  # fmt: skip
    else:
        lines = [
            _with_right(
                _run(view, snapshot),
                fit(_link(view), width),
                width,
                loud=view.link != "live" or view.frozen_s is not None,
            ),
            fit(_health(view, snapshot), width),
            fit(_learning(view, snapshot), width),
        ]
    if height > len(lines) + 1:  # nothing else has room
        words = "too small for more than this: 40 × 12 · q leaves"
        lines += [Text(end=""), clip(Text(words, view.palette.dim, end=""), width)]
    return lines[:height]


def _connecting(view: View) -> str:
    """What is waited for; a run answers at once, unless something is wrong with it."""
    if view.waited_s < SLOW_ANSWER_S:
        return "connecting to the run …"
    return f"no answer for {age(view.waited_s)}: is its supervisor suspended? q leaves"


def run_name(view: View, snapshot: Snapshot) -> str:
    """The folder's name, which commands take as RUN, where it belongs to this run."""
    folder = view.run_dir.name
    return folder if folder.startswith(snapshot.name) else snapshot.name


def _run(view: View, snapshot: Snapshot) -> list[Part]:
    palette = view.palette
    total = count(snapshot.total_steps) if snapshot.total_steps else NA
    share = snapshot.steps / snapshot.total_steps if snapshot.total_steps else None
    state = f"{STATE_GLYPH.get(snapshot.state, '○')} {snapshot.state.upper()}"
    parts = [
        part("tuitrain", palette.accent, 9),
        part(safe(run_name(view, snapshot)), palette.accent, 2),
        part(state, state_style(snapshot.state, palette)),
        part(clock(snapshot.elapsed_s), rank=4),
    ]
    if not view.at_rest:
        parts.append(part(f"ETA {clock(snapshot.eta_s)}", rank=5))
    parts += [
        part(f"{count(snapshot.steps)}/{total} steps", rank=3),
        part(percent(share), rank=7),
    ]
    if not view.at_rest:
        parts.append(part(rate(snapshot.steps_per_s, "st/s"), rank=6))
    agents = sum(policy.agents for policy in snapshot.policies)
    if agents > 1:
        parts.append(part(f"{agents} agents", rank=8))
    parts.append(part(safe(snapshot.schedule), palette.dim, 8))
    return parts


def _with_right(parts: list[Part], right: Text, width: int, loud: bool) -> Text:
    """A line with something at its right end; where room is short, it yields unless loud."""
    if width < 100 and not loud:
        return fit([*parts, Part(right, 9)], width)
    left = fit(parts, max(width - right.cell_len - 2, width // 2))
    gap = " " * max(2, width - left.cell_len - right.cell_len)
    return clip(left.append(gap).append_text(right), width)


def _link(view: View) -> list[Part]:
    palette = view.palette
    if view.link == "stale":
        why = " supervisor gone" if view.supervisor_gone else ""
        return [part(f"✖ DATA STALE {age(view.age_s)}{why}", palette.fail, 1)]
    if view.frozen_s is not None:
        return [part(f"▲ view FROZEN {age(view.frozen_s)}", palette.warn, 1)]
    if view.link == "recorded":
        when = f" {age(view.age_s)} ago" if view.age_s is not None else ""
        return [part(f"○ RECORDED{when}", palette.warn, 1)]
    if view.link == "connecting":
        return [part("connecting", palette.warn, 5)]
    return [part(f"LIVE {age(view.age_s)}", palette.dim, 9)]


def _health(view: View, snapshot: Snapshot) -> list[Part]:
    palette = view.palette
    checks = worst_first(snapshot.checks)
    parts = [part("HEALTH  ", "bold", 3)]
    if not checks:
        said = view.awaited() or "no checks reported"
        return [*parts, part(f"○ {NA}", palette.dim), part(said, palette.dim, 1)]
    worst = checks[0]
    words = {"ok": "OK", "warn": "WARN", "fail": "FAIL", "n/a": NA}
    number_of = Counter(check.state for check in checks)
    style = check_style(worst.state, palette)
    parts.append(
        part(f"{CHECK_GLYPH[worst.state]} {number_of[worst.state]} {words[worst.state]}", style)
    )
    for state in ("fail", "warn", "ok", "n/a"):
        n = number_of[state]
        if state == worst.state or (state == "n/a" and not n):
            continue
        style = check_style(state, palette) if n else palette.dim
        parts.append(part(f"{n} {words[state]}", style, 5 if state == "n/a" else 3))
    if worst.state in ("warn", "fail"):
        parts.append(part("│", palette.dim, 4))
        parts.append(part(f"worst: {safe(worst.name)}", rank=2))
        parts.append(part(safe(worst.value), check_style(worst.state, palette), 4))
        parts.append(part(f"limit {safe(worst.limit)}", palette.dim, 5))
        parts.append(part("! why", palette.dim, 3))
    return parts


def _learning(view: View, snapshot: Snapshot) -> list[Part]:
    """The verdict on the chosen policy, by name where there are several; which is the worst."""
    palette = view.palette
    learning, worst = view.learning(), snapshot.learning
    parts = [part("LEARNING", "bold", 3)]
    if whose := view.policy_label():
        parts.append(part(whose, palette.accent))
    parts.append(_verdict(learning.verdict, palette))
    if learning.newest_alone is not None:
        parts.append(part("but for the newest", palette.dim, 2))
    if learning.mean is None:
        parts.append(part("no evaluation yet", palette.dim, 1))
    else:
        interval = number(learning.ci95) if learning.ci95 is not None else NA
        parts.append(part(f"eval {number(learning.mean)} ± {interval}", rank=1))
        parts.append(part(f"best {number(learning.best)}", rank=3))
        parts += _slope(learning)
        made = f"{learning.n_evals} evaluation{'s' * (learning.n_evals != 1)}"
        if learning.skipped:
            made += f", {count(learning.skipped)} skipped"
        parts.append(part(made, rank=5))
        if learning.age_s is not None:
            before = "before the end" if view.ended else "ago"
            parts.append(part(f"{age(learning.age_s)} {before}", rank=6))
    if whose and worst.verdict != learning.verdict:
        marked = part(f"worst: {safe(worst.policy, 24)}", palette.dim, 2)
        marked.text.append(" ").append_text(_verdict(worst.verdict, palette).text)
        parts.append(marked)
    if learning.reason and learning.verdict not in _TRENDS:
        parts.append(part(safe(learning.reason), palette.dim, 9))
    return parts


def _slope(learning: LearningView) -> list[Part]:
    """Of a trend, with its interval; else it is no news."""
    slope, half = learning.slope_per_1m_steps, learning.slope_ci95
    if learning.verdict not in _TRENDS or slope is None or half is None:
        return []
    return [part(f"return {signed(slope)} ± {number(half)} per 1M steps", rank=4)]


def _verdict(verdict: Verdict, palette: Palette) -> Part:
    return part(f"{VERDICT_GLYPH.get(verdict, '○')} {verdict}", verdict_style(verdict, palette))
