"""Writing TOML. The standard library reads it (``tomllib``) but does not write it.

Only what a config holds: tables, arrays, text, numbers, booleans, dates. Whatever is written loads
back equal, floats to the last bit.
"""

from __future__ import annotations

import datetime
import json
import math
import re
from collections.abc import Mapping
from typing import Any

_BARE_KEY = re.compile(r"[A-Za-z0-9_-]+")


def emit_value(value: Any) -> str:
    """One value on one line.

    Raises:
        TypeError: TOML has no such value (None among them).
    """
    match value:
        case bool():
            return "true" if value else "false"
        case str():
            # JSON's escapes are TOML's too, except that TOML also forbids a bare DEL.
            return json.dumps(value, ensure_ascii=False).replace("\x7f", "\\u007f")
        case int():
            return str(value)
        case float():
            return repr(value) if math.isfinite(value) else str(value)
        case datetime.datetime() | datetime.date() | datetime.time():
            return value.isoformat()
        case list() | tuple():
            return "[" + ", ".join(emit_value(item) for item in value) + "]"
        case Mapping():
            if not value:
                return "{}"
            items = ", ".join(f"{emit_key(k)} = {emit_value(v)}" for k, v in value.items())
            return f"{{ {items} }}"
    raise TypeError(f"TOML cannot hold {value!r} ({type(value).__name__})")


def emit_key(key: str) -> str:
    """A key, quoted where it must be."""
    return key if _BARE_KEY.fullmatch(key) else emit_value(str(key))


def emit_document(tables: Mapping[str, Any]) -> str:
    """A document whose values are plain values and one level of tables; None is left out."""
    lines: list[str] = []
    for key, value in tables.items():
        if not isinstance(value, Mapping) and value is not None:
            lines.append(f"{emit_key(key)} = {emit_value(value)}")
    for name, table in tables.items():
        if isinstance(table, Mapping):
            lines += ["", f"[{emit_key(name)}]"]
            lines += [
                f"{emit_key(key)} = {emit_value(value)}"
                for key, value in table.items()
                if value is not None
            ]
    return "\n".join(lines) + "\n"
