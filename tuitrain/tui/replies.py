"""What a run answered, as short phrases for one line. Pure."""

from __future__ import annotations

import json
from typing import Any

from tuitrain.tui.text import safe


def flatten(result: dict[str, Any]) -> list[str]:
    """A reply's result as short `name key value` phrases, nested tables by their names."""
    phrases = []
    for key, value in result.items():
        if value in ({}, [], None):
            continue
        if isinstance(value, dict):
            if key == "answers":
                phrases += flatten(value)
                continue
            flat = all(not isinstance(v, dict | list) for v in value.values())
            if flat and value:
                inner = " ".join(f"{safe(k)} {_short(v)}" for k, v in value.items())
                phrases.append(f"{safe(key)}: {inner}")
            else:
                phrases += [f"{safe(key)} {phrase}" for phrase in flatten(value)]
        else:
            phrases.append(f"{safe(key)} {_short(value)}")
    return phrases


def _short(value: Any) -> str:
    text = value if isinstance(value, str) else json.dumps(value, default=str)
    is_hash = len(text) >= 32 and all(c in "0123456789abcdef" for c in text)
    return safe(text[:12] + "…" if is_hash else text, 80)
