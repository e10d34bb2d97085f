"""The schema in words: what each key allows. For error messages and for the reference.

Both read the same JSON schema, so that an error and the documentation cannot disagree. Knows
nothing of files or values.
"""

from __future__ import annotations

from dataclasses import dataclass
from functools import cache
from typing import Any

from tuitrain.config.schema import Config

_DEVICE_WORDS = {
    r"^(cpu|cuda(:\d+)?)$": '"cpu", "cuda" or "cuda:N"',
    r"^(auto|cpu|cuda(:\d+)?)$": '"auto", "cpu", "cuda" or "cuda:N"',
    r"^[A-Za-z0-9][A-Za-z0-9._-]{0,63}$": (
        "text of 1 to 64 letters, digits, '.', '_' and '-' that begins with a letter or digit"
    ),
}


@dataclass(frozen=True)
class KeyInfo:
    """One key of the config.

    Attributes:
        key: dotted, e.g. `learner.lr`.
        allowed: type and range in words, e.g. "a whole number from 1 to 64 (observations)".
        default: as written in TOML, or "" where leaving the key out means something of its own.
        unit: what a number counts, or "".
        is_table: a table with free keys below it (`env.kwargs`).
    """

    key: str
    allowed: str
    default: str
    unit: str
    description: str
    is_table: bool


@dataclass(frozen=True)
class TableInfo:
    """One table of the config and its keys."""

    name: str
    description: str
    keys: tuple[KeyInfo, ...]


@cache
def tables() -> tuple[TableInfo, ...]:
    """Every table in the order of the schema; the first has the keys outside any table."""
    schema = Config.model_json_schema()
    top: list[KeyInfo] = []
    found: list[TableInfo] = []
    for name, prop in schema["properties"].items():
        if "$ref" in prop:
            definition = schema["$defs"][prop["$ref"].rsplit("/", 1)[1]]
            keys = tuple(
                _key_info(f"{name}.{key}", item) for key, item in definition["properties"].items()
            )
            found.append(TableInfo(name, definition.get("description", ""), keys))
        else:
            top.append(_key_info(name, prop))
    return (TableInfo("", "Outside any table.", tuple(top)), *found)


@cache
def known_keys() -> dict[str, KeyInfo]:
    """Every key by its dotted name."""
    return {info.key: info for table in tables() for info in table.keys}


def toml_value(value: Any) -> str:
    """A JSON-like value as it is written in TOML, for defaults and messages."""
    # Imported late: the emitter needs nothing of this module, but it is only wanted here.
    from tuitrain.config.emit import emit_value

    return emit_value(value)


def _key_info(key: str, prop: dict[str, Any]) -> KeyInfo:
    unit = str(prop.get("unit", ""))
    allowed = _words(prop)
    if unit:
        allowed += f" ({unit})"
    is_table = prop.get("type") == "object"
    default = prop.get("default", {} if is_table else None)
    return KeyInfo(
        key,
        allowed,
        "" if default is None else toml_value(default),
        unit,
        prop.get("description", ""),
        is_table,
    )


def _words(prop: dict[str, Any]) -> str:
    if "anyOf" in prop:
        # null is how pydantic says "may be left out"; TOML cannot write it.
        return " or ".join(_words(item) for item in prop["anyOf"] if item.get("type") != "null")
    if "const" in prop:
        return toml_value(prop["const"])
    if "enum" in prop:
        *others, last = (toml_value(item) for item in prop["enum"])
        return f"{', '.join(others)} or {last}"
    match prop.get("type"):
        case "integer":
            return ("a whole number " + _range(prop)).strip()
        case "number":
            return ("a number " + _range(prop)).strip()
        case "boolean":
            return "true or false"
        case "string" if "pattern" in prop:
            return _DEVICE_WORDS.get(prop["pattern"], f"text of the form {prop['pattern']}")
        case "string":
            return "text, not empty" if prop.get("minLength") else "text"
        case "array":
            return "a list of text"
        case "object":
            items = prop.get("additionalProperties")
            if not isinstance(items, dict) or not items:
                return "a table"
            return f"a table of {'numbers' if items.get('type') == 'number' else 'text'}"
    return "a value"


def _range(prop: dict[str, Any]) -> str:
    low, above = prop.get("minimum"), prop.get("exclusiveMinimum")
    high, below = prop.get("maximum"), prop.get("exclusiveMaximum")
    if below is not None and prop.get("type") == "integer":
        high, below = below - 1, None
    if low is not None and high is not None:
        return f"from {_number(low)} to {_number(high)}"
    parts = []
    if low is not None:
        parts.append(f"of at least {_number(low)}")
    if above is not None:
        parts.append(f"above {_number(above)}")
    if high is not None:
        parts.append(f"at most {_number(high)}")
    if below is not None:
        parts.append(f"below {_number(below)}")
    return " and ".join(parts)


def _number(value: float) -> str:
    # JSON schema has 0.0 for ge=0 of a float; people write 0.
    return str(int(value)) if float(value).is_integer() else repr(value)
