"""The way of the data as one picture: ACTORS → BUFFER → LEARNER → SYNC."""

from __future__ import annotations

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
from tuitrain.tui.view import View, actors, common_wait, learner, mean, spread, working

_BAR = 8
_ARROW = " ─▶ "
WIDE = 90
"""Cells from which on the four stages stand side by side."""


def draw_pipeline(view: View, width: int, height: int) -> list[Text]:
    """Two rows under four stages where there is room for them, else one row a stage or two."""
    if view.snapshot is None:
        return [clip(Text("ACTORS n/a ─▶ BUFFER n/a ─▶ LEARNER n/a ─▶ SYNC n/a", end=""), width)]
    stages = _stages(view, view.snapshot)
    if height == 2 and width >= WIDE:
        return _two_rows(stages, width, view.palette.dim)
    flat = [fit([*upper, *lower], width, "  ") for upper, lower in stages]
    if height < 4:  # three rows: what is synced goes with the learner
        upper, lower = stages[3]
        flat[2] = fit([*stages[2][0], *stages[2][1], *_less(upper), *_less(lower)], width, "  ")
    return flat[:height]


def _less(parts: list[Part]) -> list[Part]:
    """The same parts, to be left out before any other."""
    return [Part(p.text, p.rank + 10) for p in parts]


def _two_rows(stages: list[tuple[list[Part], list[Part]]], width: int, dim: str) -> list[Text]:
    """Four columns under arrows; what does not fit below is cut, so that no stage is lost."""
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
    low = [fit(lower, w, cut=True) for (_, lower), w in zip(stages, widths, strict=True)]
    for i in range(len(stages) - 1):
        widths[i] += max(0, spare) // len(stages)
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
        part(rate(None if view.ended else snapshot.steps_per_s, "st/s"), rank=1),
    ]
    shares = [p.phase_share["wait"] for p in makers if "wait" in p.phase_share]
    blocked = mean([] if view.ended else shares)
    epsilons = [p.epsilon for p in makers if p.epsilon is not None]
    lower = [
        part(f"blocked {percent(blocked)}", "", 1),
        part(f"ε {spread(epsilons, lambda e: f'{e:.2f}')}", rank=3),
    ]
    reason = common_wait(makers)
    if reason:
        lower.append(part(safe(reason, 60), palette.dim, 2))
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
    if policy.transitions < policy.learning_starts:
        ready = part(
            f"warm-up {count(policy.transitions)}/{count(policy.learning_starts)}", palette.warn, 1
        )
    else:
        ready = part(f"start {count(policy.learning_starts)} ✓", palette.ok, 1)
    return upper, [ready, part(f"age p95 {count(policy.sample_age_p95)}", rank=2)]


def _learner(
    view: View, policy: PolicyView | None, process: ProcessView | None
) -> tuple[list[Part], list[Part]]:
    palette = view.palette
    waits = None if process is None or view.ended else process.phase_share.get("wait")
    upper = [part("LEARNER", palette.accent)]
    if policy is None:
        return [*upper, part(NA, palette.dim)], [part(f"ratio {NA}", palette.dim, 1)]
    upper += [
        part(f"{count(policy.updates)} u"),
        part(rate(None if view.ended else policy.updates_per_s, "u/s"), rank=1),
        part(f"wait {percent(waits)}", palette.dim, 2),
    ]
    achieved = _ratio(policy.ratio_achieved)
    lower = [
        part(f"ratio {achieved}/{_ratio(policy.ratio_target)}", rank=1),
        part(f"grad {number(policy.grad_norm)}",
             palette.fail if number(policy.grad_norm).startswith("✖") else "", 2),
    ]  # fmt: skip
    return upper, lower


def _sync(
    view: View, policy: PolicyView | None, makers: list[ProcessView]
) -> tuple[list[Part], list[Part]]:
    palette = view.palette
    upper = [part("SYNC", palette.accent)]
    if policy is None:
        return [*upper, part(NA, palette.dim)], [part(f"lag {NA}", palette.dim, 1)]
    published = age(None if view.ended else policy.published_age_s)
    upper += [
        part(f"v{policy.version}"),
        part(f"{published} ago" if published != NA else NA, palette.dim, 1),
    ]
    seconds = [p.lag_s for p in makers if p.lag_s is not None]
    lag = f"{count(policy.lag_updates_p95)} u" if policy.lag_updates_p95 is not None else NA
    lower = [
        part(f"lag p95 {lag}", rank=1),
        part(f"max {age(max(seconds)) if seconds else NA}", palette.dim, 2),
    ]
    return upper, lower


def _ratio(value: float | None) -> str:
    return NA if value is None else number(value)
