"""The way of the data as one picture: ACTORS → BUFFER → LEARNER → SYNC."""

from __future__ import annotations

from rich.cells import cell_len
from rich.text import Text

from tuitrain.protocol import PolicyView, ProcessView, Snapshot
from tuitrain.tui.text import (
    NA,
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
)
from tuitrain.tui.view import View, actors, learner, mean, spread, working

_BAR = 8
_ARROW = " ─▶ "
WIDE = 90
"""Cells from which on the four stages stand side by side."""

_DOT = " · "
MOST_CHARACTERS = 300
LONGEST_ARROW = 8
"""Cells by which an arrow may grow to fill a wide screen."""


def pipeline_title(view: View, width: int) -> str:
    """Title for the border: of which policy, and who waits for whom."""
    parts = [part for part in ("Pipeline", view.policy_label()) if part]
    if words := _bottleneck(view, width - sum(cell_len(part) + len(_DOT) for part in parts)):
        parts.append(words)
    return _DOT.join(parts)


def _bottleneck(view: View, width: int) -> str:
    """Who waits for whom; what is asked in brackets at its end is whole, or not there."""
    if view.snapshot is None or view.paused:
        return ""
    words = safe(view.snapshot.bottleneck or "", MOST_CHARACTERS)
    return words if cell_len(words) <= width else words.partition(" (")[0]


def draw_pipeline(view: View, width: int, height: int) -> list[Text]:
    """Two rows under four stages where there is room for them, else one row a stage or two."""
    if view.snapshot is None:
        return [clip(Text("ACTORS n/a ─▶ BUFFER n/a ─▶ LEARNER n/a ─▶ SYNC n/a", end=""), width)]
    stages = _stages(view, view.snapshot)
    if height == 2 and width >= WIDE:
        return _two_rows(stages, width, view.palette.dim)
    if view.compact:  # there is no title to have it
        room = width - sum(p.text.cell_len + 2 for p in stages[0][0] if p.rank == 0)
        if (words := _bottleneck(view, room)) and cell_len(words) <= room:
            stages[0][1][0] = part(words)
    flat = [fit([*upper, *lower], width, "  ") for upper, lower in stages]
    if height < 4:  # three rows: what is synced goes with the learner
        upper, lower = stages[3]
        flat[2] = fit([*stages[2][0], *stages[2][1], *_less(upper), *_less(lower)], width, "  ")
    return flat[:height]


def _less(parts: list[Part]) -> list[Part]:
    """The same parts, to be left out before any other."""
    return [Part(p.text, p.rank + 10) for p in parts]


def _two_rows(stages: list[tuple[list[Part], list[Part]]], width: int, dim: str) -> list[Text]:
    """Four columns under arrows; what does not fit below is left out."""
    room = width - (len(stages) - 1) * len(_ARROW)
    top = [fit(upper, room // 4 + 4, " ") for upper, _ in stages]
    widths = [cell.cell_len for cell in top]
    spare = room - sum(widths)
    need = [
        max(0, fit(lower, width).cell_len - w) for (_, lower), w in zip(stages, widths, strict=True)
    ]
    order = sorted(range(len(stages)), key=lambda i: need[i])
    for place, i in enumerate(order):  # who needs little gets it all
        more = min(need[i], max(0, spare) // (len(order) - place))
        widths[i] += more
        spare -= more
    low = [fit(lower, w) for (_, lower), w in zip(stages, widths, strict=True)]
    for i in range(len(stages) - 1):  # no longer than that, or the stages fall apart
        widths[i] += min(LONGEST_ARROW, max(0, spare) // len(stages))
    return [clip(_joined(top, widths, _ARROW, dim), width),
            clip(_joined(low, widths, " " * len(_ARROW), ""), width)]  # fmt: skip


def _joined(cells: list[Text], widths: list[int], gap: str, style: str) -> Text:
    line = Text(end="")
    for i, (cell, width) in enumerate(zip(cells, widths, strict=True)):
        line.append_text(cell)
        if i < len(cells) - 1:
            pad = width - cell.cell_len
            if gap.strip():
                line.append(" " + "─" * (pad + 1) + "▶ ", style)
            else:
                line.append(" " * (pad + len(gap)))
    return line


def _stages(view: View, snapshot: Snapshot) -> list[tuple[list[Part], list[Part]]]:
    policy = view.policy()
    makers = actors(snapshot)
    return [
        _actors(view, snapshot, makers),
        _buffer(view, policy),
        _learner(view, policy, learner(snapshot, view.policy_name())),
        _sync(view, policy, makers),
    ]


def _actors(
    view: View, snapshot: Snapshot, makers: list[ProcessView]
) -> tuple[list[Part], list[Part]]:
    palette = view.palette
    up = sum(working(p.state) for p in makers)
    style = palette.ok if makers and up == len(makers) else palette.warn
    upper = [
        part("ACTORS", palette.accent),
        part(f"{up}/{len(makers)}" if makers else NA, style if makers else palette.dim),
        part(rate(None if view.at_rest else snapshot.steps_per_s, "st/s"), rank=1),
    ]
    shares = [p.phase_share["wait"] for p in makers if "wait" in p.phase_share]
    waits = mean([] if view.at_rest else shares)
    epsilons = [p.epsilon for p in makers if p.epsilon is not None]
    lower = [
        part(f"wait {percent(waits)}", "", 1),
        part(f"ε {spread(epsilons, lambda e: f'{e:.2f}')}", rank=3),
    ]
    return upper, lower


def _buffer(view: View, policy: PolicyView | None) -> tuple[list[Part], list[Part]]:
    palette = view.palette
    upper = [part("BUFFER", palette.accent)]
    if policy is None:
        return [*upper, part(NA, palette.dim)], [part(f"start {NA}", palette.dim, 1)]
    held = policy.sampleable
    share = held / policy.capacity if held is not None and policy.capacity else None
    upper.append(part(bar(share, _BAR), palette.ok, 2))
    upper.append(part(f"{count(held)}/{count(policy.capacity)}"))
    lower = [part(f"rows' age p95 {_with_unit(policy.sample_age_p95, 'tr')}", rank=2)]
    unknown = view.ended and not policy.transitions  # the files of a killed run do not say
    if policy.transitions < policy.learning_starts and not unknown:
        words = f"warm-up {count(policy.transitions)}/{count(policy.learning_starts)}"
        lower.insert(0, part(words, palette.warn, 1))
    return upper, lower


def _learner(
    view: View, policy: PolicyView | None, process: ProcessView | None
) -> tuple[list[Part], list[Part]]:
    palette = view.palette
    waits = None if process is None or view.at_rest else process.phase_share.get("wait")
    upper = [part("LEARNER", palette.accent)]
    if policy is None:
        return [*upper, part(NA, palette.dim)], [part(f"ratio {NA}", palette.dim, 1)]
    others = view.policies()
    if len(others) > 1:
        upper.append(part(safe(policy.name, 12), palette.accent, 3))
    upper += [
        part(f"{count(policy.updates)} u"),
        part(rate(None if view.at_rest else policy.updates_per_s, "u/s"), rank=1),
        part(f"wait {percent(waits)}", palette.dim, 2),
    ]
    achieved = _ratio(policy.ratio_achieved)
    grad = number(policy.grad_norm)
    bad = grad.startswith("✖")
    lower = [
        part(f"ratio {achieved}/{_ratio(policy.ratio_target)}", rank=1),
        part(f"grad {grad}", palette.fail if bad else "", 0 if bad else 4),
        part(f"policy lag p95 {_with_unit(policy.lag_updates_p95, 'u')}", rank=2),
    ]  # fmt: skip
    if len(others) > 1 and view.snapshot is not None and not view.at_rest:
        total = sum(p.updates_per_s or 0.0 for p in view.snapshot.policies)
        lower.append(part(f"all {len(others)}: {rate(total, 'u/s')}", palette.dim, 3))
    return upper, lower


def _sync(
    view: View, policy: PolicyView | None, makers: list[ProcessView]
) -> tuple[list[Part], list[Part]]:
    palette = view.palette
    upper = [part("SYNC", palette.accent)]
    if policy is None:
        return [*upper, part(NA, palette.dim)], [part(f"behind {NA}", palette.dim, 1)]
    published = age(None if view.at_rest else policy.published_age_s)
    upper += [
        part(f"v{policy.version}"),
        part(f"{published} ago" if published != NA else NA, palette.dim, 1),
    ]
    updates = max((p.lag_updates for p in makers if p.lag_updates is not None), default=None)
    seconds = max((p.lag_s for p in makers if p.lag_s is not None), default=None)
    lower = [
        part(f"behind {_with_unit(updates, 'u')}", rank=1),
        part(age(seconds), palette.dim, 2),
    ]
    return upper, lower


def _with_unit(value: float | None, unit: str) -> str:
    return NA if value is None else f"{count(value)} {unit}"


def _ratio(value: float | None) -> str:
    return NA if value is None else number(value)
