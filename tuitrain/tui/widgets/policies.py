"""All policies at a glance, one a line: returns, verdict, updates, lag.

Drawn by the Learning tab and printed by `tuitrain status`, so that both say the same.
"""

from __future__ import annotations

from collections.abc import Sequence

from rich.text import Text

from tuitrain.protocol import PolicyView
from tuitrain.tui.text import NA, Column, Palette, clip, count, number, safe, table
from tuitrain.tui.view import VERDICT_GLYPH, View, nothing_matches, verdict_style

_COLUMNS = (
    Column("policy", right=False, least=10),
    Column("train", rank=3),
    Column("eval ± ci95", rank=1),
    Column("best", rank=4),
    Column("verdict", rank=2, right=False),
    Column("updates", rank=5),
    Column("policy lag", rank=6),
)


def draw_policy_table(view: View, width: int, height: int) -> list[Text]:
    """The table, the chosen policy marked."""
    if view.snapshot is None or not view.snapshot.policies:
        return [clip(Text(f"policies {NA}", view.palette.dim, end=""), width)]
    policies = view.snapshot.policies
    shown = [p for p in policies if view.matches(p.name, p.learning.verdict)]
    if not shown:
        return [nothing_matches(view, len(policies), "policies", width)]
    return policy_table(shown, width, view.palette, view.policy_name())


def policy_table(
    policies: Sequence[PolicyView], width: int, palette: Palette, chosen: str | None = None
) -> list[Text]:
    """A header and a line for every policy, at most `width` cells; `chosen` is marked ▸."""
    rows: list[list[Text | str]] = []
    for policy in policies:
        mark = "" if chosen is None else "▸" if policy.name == chosen else " "
        style = "bold" if policy.name == chosen else ""
        verdict = policy.learning.verdict
        rows.append([
            Text(f"{mark}{safe(policy.name, 32)}", style, end=""),
            number(policy.train_return_mean),
            _evaluation(policy),
            number(policy.eval_best),
            Text(f"{VERDICT_GLYPH[verdict]} {verdict}", verdict_style(verdict, palette), end=""),
            count(policy.updates),
            count(policy.lag_updates_p95),
        ])  # fmt: skip
    return table(_COLUMNS, rows, width, palette.dim)


def _evaluation(policy: PolicyView) -> str:
    if policy.eval_return_mean is None:
        return NA
    return f"{number(policy.eval_return_mean)} ± {number(policy.eval_return_ci95)}"
