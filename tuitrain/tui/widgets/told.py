"""What environments tell of themselves in `info["metrics"]`: the newest number of each name."""

from __future__ import annotations

from rich.text import Text

from tuitrain.tui.text import clip, number, safe
from tuitrain.tui.view import View

_GAP = "   "


def draw_told(view: View, width: int, height: int) -> list[Text]:
    """Names and numbers of the shown policy, as many to a line as fit."""
    told = view.told.get(view.policy_name(), {})
    lines: list[Text] = []
    for name, value in told.items():
        item = Text.assemble((safe(name, 32), view.palette.dim), " ", number(value), end="")
        if lines and lines[-1].cell_len + len(_GAP) + item.cell_len <= width:
            lines[-1].append(_GAP).append_text(item)
        else:
            lines.append(item)
    return [clip(line, width) for line in lines]
