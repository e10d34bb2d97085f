"""The per-policy table of the Buffer tab."""

from __future__ import annotations

from rich.text import Text

from tuitrain.protocol import PolicyView
from tuitrain.tui.text import NA, Column, age, bar, clip, count, number, percent, rate, safe, table
from tuitrain.tui.view import View


def draw_policies(view: View, width: int, height: int) -> list[Text]:
    """One column per policy, one quantity a line."""
    palette = view.palette
    if view.snapshot is None or not view.snapshot.policies:
        return [clip(Text(f"replay {NA}", palette.dim, end=""), width)]
    policies = view.snapshot.policies
    chosen = view.policy_name()  # where there is no room for all, this one stays
    columns = [Column("", right=False, least=16)]  # labels are cut, numbers are not
    columns += [
        Column(safe(p.name, 20), rank=0 if p.name == chosen else i + 1)
        for i, p in enumerate(policies)
    ]
    quantities = [_quantities(p, at_rest=view.at_rest) for p in policies]
    rows: list[list[Text | str]] = []
    for i, (label, _) in enumerate(quantities[0]):
        rows.append([Text(label, palette.dim, end=""), *(q[i][1] for q in quantities)])
    return table(columns, rows, width, palette.accent)


def _quantities(policy: PolicyView, *, at_rest: bool) -> list[tuple[str, str]]:
    held = policy.sampleable
    share = held / policy.capacity if held is not None and policy.capacity else None
    published = age(None if at_rest else policy.published_age_s)
    lag50, lag95 = count(policy.lag_updates_p50), count(policy.lag_updates_p95)
    return [
        ("fill", f"{bar(share, 10)} {percent(share)}"),
        ("sampleable transitions", f"{count(held)} tr"if held is not None else NA),
        ("capacity", f"{count(policy.capacity)} tr" if policy.capacity else NA),
        ("committed transitions", f"{count(policy.transitions)} tr"),
        ("learning starts at", f"{count(policy.learning_starts)} tr"),
        ("updates", f"{count(policy.updates)} u"),
        ("update rate", rate(None if at_rest else policy.updates_per_s, "u/s")),
        ("ratio asked for", _ratio(policy.ratio_target)),
        ("ratio achieved", _ratio(policy.ratio_achieved)),
        ("age of sampled rows p95", f"{count(policy.sample_age_p95)} tr"
         if policy.sample_age_p95 is not None else NA),
        ("policy lag p50 / p95", f"{lag50} / {lag95} u"),
        ("rows that begin no transition", count(policy.window_rejects)),
        ("weights version", f"v{policy.version}"),
        ("published", f"{published} ago" if published != NA else NA),
    ]  # fmt: skip


def _ratio(value: float | None) -> str:
    return NA if value is None else f"{number(value)} u/tr"
