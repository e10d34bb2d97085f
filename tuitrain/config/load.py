"""From a TOML file and ``--set`` overrides to a ``Config``, or to a list of all that is wrong.

Types are strict (text is never read as a number, 1 is not true), with two kindnesses: a whole
number may stand for a float, and ``1e6`` for a whole number. Choosing what depends on the machine
is ``resolve.py``'s. Must not create anything.
"""

from __future__ import annotations

import difflib
import json
import re
import tomllib
from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path
from typing import Any

from pydantic import ValidationError
from pydantic_core import ErrorDetails

from tuitrain.config.describe import known_keys, tables
from tuitrain.config.emit import emit_document, emit_value
from tuitrain.config.presets import apply_preset
from tuitrain.config.problems import ConfigError, Problem
from tuitrain.config.rules import check
from tuitrain.config.schema import Config

__all__ = [
    "ConfigError",
    "Problem",
    "config_from",
    "is_given",
    "load_config",
    "overridden_key",
    "parse_config",
    "schema_json",
    "to_toml",
]

_OVERRIDE_KEY = re.compile(r"[A-Za-z0-9_-]+(\.[A-Za-z0-9_-]+)*")
_MOVED = {
    "env.agent_policies": "Write the same table as [policies.map], or policies.map = "
    '"shared" if all agents share one policy.',
}
"""Keys that there once were, and what to write instead."""

_BARE_TEXT = re.compile(r"[A-Za-z_./~][^\"'\[\]{}=#\n]*")


def load_config(path: str | Path | None, overrides: Sequence[str] = ()) -> Config:
    """Read a config file (None: all defaults) and apply `overrides` (``"learner.lr=1e-3"``).

    Raises:
        ConfigError: with every problem of file and overrides at once.
    """
    source = "config" if path is None else str(path)
    problems: list[Problem] = []
    raw: dict[str, Any] = {}
    readable = True
    if path is not None:
        try:
            raw = _read(Path(path))
        except ConfigError as error:
            problems += error.problems
            readable = False
    return _finish(raw, overrides, source, problems, readable)


def config_from(tables: Mapping[str, Any], overrides: Sequence[str] = ()) -> Config:
    """A config from nested mappings like the TOML's tables, and overrides; `tables` is kept as is.

    Raises:
        ConfigError: as ``load_config`` does.
    """
    return _finish(_copy(tables), overrides, "config", [], True)


def parse_config(text: str, source: str = "config") -> Config:
    """A config from TOML text. Raises ``ConfigError`` as ``load_config`` does."""
    config, problems = _validate(_parse(text, source))
    if problems or config is None:
        raise ConfigError(problems, source)
    return config


def to_toml(config: Config) -> str:
    """The whole config as TOML; ``parse_config(to_toml(c)) == c``.

    Raises:
        ConfigError: the `kwargs` of `env` or `learner` hold something that TOML cannot.
    """
    try:
        return emit_document(config.model_dump())
    except TypeError as error:
        raise ConfigError(
            [Problem("env.kwargs, env.eval_kwargs or learner.network_kwargs", "", str(error))]
        ) from error


def schema_json() -> str:
    """JSON schema of the config, for editors."""
    return json.dumps(Config.model_json_schema(), indent=2) + "\n"


# ---- reading ---------------------------------------------------------------------------------


def _read(path: Path) -> dict[str, Any]:
    try:
        text = path.read_bytes().decode()
    except FileNotFoundError:
        raise ConfigError([Problem(str(path), "", _not_found(path))], str(path)) from None
    except UnicodeDecodeError as error:
        message = f"is not UTF-8 text (byte {error.start})."
        raise ConfigError([Problem(str(path), "", message)], str(path)) from None
    except OSError as error:
        message = f"cannot be read: {error.strerror}."
        raise ConfigError([Problem(str(path), "", message)], str(path)) from None
    return _parse(text, str(path))


def _not_found(path: Path) -> str:
    folder = path.parent
    names = sorted(p.name for p in folder.glob("*.toml")) if folder.is_dir() else []
    near = difflib.get_close_matches(path.name, names, n=3, cutoff=0.5)
    if near:
        return f"no such file. Near it: {', '.join(str(folder / name) for name in near)}."
    return "no such file."


def _parse(text: str, source: str) -> dict[str, Any]:
    try:
        return tomllib.loads(text)
    except (ValueError, RecursionError) as error:  # also of numbers and nesting without end
        # "Invalid value (at line 3, column 6)"
        found = re.fullmatch(
            r"(.*) \(at (?:line (\d+), column (\d+)|end of document)\)", str(error)
        )
        if found is None:
            where, what, shown = source, str(error), ""
        elif found[2] is None:
            where, what, shown = f"{source}, end of file", found[1], ""
        else:
            where, what = f"{source}, line {found[2]}, column {found[3]}", found[1]
            shown = f" in `{text.splitlines()[int(found[2]) - 1].strip()}`"
        message = f"is not TOML: {what}{shown}. Text needs quotes, true and false are small."
        raise ConfigError([Problem(where, "", message)], source) from None


def overridden_key(override: str) -> str:
    """The key of a ``key=value``."""
    return override.partition("=")[0].strip()


def is_given(key: str, given: Sequence[str]) -> bool:
    """Whether `key`, or a table that it is in, is among those that were given."""
    return f"{key}.".startswith(tuple(f"{name}." for name in given))


def _apply(raw: dict[str, Any], override: str) -> Problem | None:
    """Put one ``key=value`` into `raw`. Returns what is wrong with it, if anything."""
    key, equals, text = override.partition("=")
    key, text = key.strip(), text.strip()
    if not equals or not _OVERRIDE_KEY.fullmatch(key):
        message = "an override is written key=value, e.g. learner.lr=1e-3."
        return Problem(f"--set {override}", "", message)
    try:
        value = _override_value(text)
    except (ValueError, RecursionError):
        allowed = known_keys()[key].allowed if key in known_keys() else "a TOML value"
        message = f"must be {allowed}, written as in TOML."
        return Problem(key, text, message)
    *parents, last = key.split(".")
    table = raw
    for parent in parents:
        inner = table.setdefault(parent, {})
        if not isinstance(inner, dict):
            # The file's own mistake (`learner = 3`) is reported; the override replaces it here.
            inner = table[parent] = {}
        table = inner
    table[last] = value
    return None


def _override_value(text: str) -> Any:
    """A TOML value; text that is not one may go unquoted (`run.name=test`, `env.id=Foo-v1`)."""
    try:
        return tomllib.loads(f"value = {text}")["value"]
    except tomllib.TOMLDecodeError:
        if _BARE_TEXT.fullmatch(text):
            return text
        raise


# ---- checking --------------------------------------------------------------------------------


def _finish(
    raw: dict[str, Any],
    overrides: Sequence[str],
    source: str,
    problems: list[Problem],
    readable: bool,
) -> Config:
    """Apply overrides and check everything; `readable` is False if the file said nothing."""
    for override in overrides:
        problem = _apply(raw, override)
        if problem is not None:
            problems.append(problem)
    apply_preset(raw)
    # Without the file, rules between keys would speak of defaults that nobody chose.
    config, found = _validate(raw, with_rules=readable)
    problems += found
    if problems or config is None:
        raise ConfigError(problems, source)
    return config


def _validate(
    raw: dict[str, Any], *, with_rules: bool = True
) -> tuple[Config | None, list[Problem]]:
    """A config, or None, and every problem. `raw` is used up."""
    problems: list[Problem] = []
    wrong: set[str] = set()
    env = raw.get("env")
    if isinstance(env, dict) and env.get("agent_policies") == {}:
        del env["agent_policies"]  # older runs have stored it so; it says nothing
    for error in _errors(raw):
        _take_whole_float(raw, error)
    for error in _errors(raw):
        path = _path(error)
        key = ".".join(path)
        if key in wrong:
            continue  # a union reports each of its alternatives
        wrong.add(key)
        problems.append(_problem(key, error, raw))
    for key in wrong:
        _remove(raw, key.split("."))
    try:
        config = Config.model_validate(raw, strict=True)
    except ValidationError:  # pragma: no cover - every wrong key was removed
        return None, problems
    if with_rules:
        problems += check(config, wrong)
    return (None if wrong else config), problems


def _errors(raw: dict[str, Any]) -> list[ErrorDetails]:
    try:
        Config.model_validate(raw, strict=True)
    except ValidationError as error:
        return error.errors(include_url=False, include_context=False)
    return []


def _path(error: ErrorDetails) -> list[str]:
    """The key an error is about, without pydantic's names of union members behind it."""
    loc = [str(part) for part in error["loc"]]
    for length in (1, 2):
        info = known_keys().get(".".join(loc[:length]))
        if info is not None:
            return loc if info.is_table else loc[:length]
    return loc


def _problem(key: str, error: ErrorDetails, raw: dict[str, Any]) -> Problem:
    value = _shown(error["input"])
    info = known_keys().get(key)
    if error["type"] == "extra_forbidden":
        is_table = isinstance(error["input"], dict)
        return Problem(
            key,
            "" if is_table else value,
            "no such " + ("table." if is_table else "key."),
            _MOVED.get(key) or _nearest(key, is_table),
        )
    if key == "schema_version":
        return Problem(
            key,
            value,
            "this file was written for another version of tuitrain; this one reads version 1.",
        )
    if info is not None:
        return Problem(key, _shown(_get(raw, key.split("."))), f"must be {info.allowed}.")
    if error["type"] in {"model_type", "dict_type"}:
        return Problem(key, value, f"must be a table, written [{key}].")
    if error["type"] == "string_type":
        return Problem(key, value, "must be text.")
    return Problem(key, value, f"{error['msg']}.")


def _nearest(key: str, is_table: bool) -> str:
    """The nearest known key: by its whole name, or by its last part in any table."""
    if is_table:
        near = difflib.get_close_matches(key, [t.name for t in tables() if t.name], n=1)
        if near:
            return f"Did you mean [{near[0]}]?"
    names = list(known_keys())
    table, _, last = key.rpartition(".")
    # First a slip within the table, then the right name in the wrong table, then anything near.
    siblings = {name.rpartition(".")[2]: name for name in names if name.rpartition(".")[0] == table}
    near = difflib.get_close_matches(last.lower(), siblings, n=1, cutoff=0.7) or [
        name for name in siblings if len(last) > 2 and name.startswith(last)
    ]
    if near:
        return f"Did you mean {siblings[near[0]]}?"
    elsewhere = [name for name in names if name.rpartition(".")[2] == last]
    if elsewhere:
        return f"Did you mean {' or '.join(elsewhere)}?"
    if not table and (longer := [name for name in names if name.endswith(f"_{last}")]):
        longer.sort(key=lambda name: len(name.rpartition(".")[2]))  # `steps`: run.total_steps
        return f"Did you mean {' or '.join(longer[:3])}?"
    # in a table that there is, the table's name alone would make any of its keys look near
    near = [] if siblings else difflib.get_close_matches(key, names, n=1, cutoff=0.6)
    if near:
        return f"Did you mean {near[0]}?"
    leaves = {name.rpartition(".")[2]: name for name in names}
    near = difflib.get_close_matches(last, leaves, n=1, cutoff=0.8)
    if near:
        return f"Did you mean {leaves[near[0]]}?"
    known = sorted(siblings) if table and siblings else [t.name for t in tables() if t.name]
    return f"Known {'here' if table and siblings else 'tables'}: {', '.join(known)}."


def _take_whole_float(raw: dict[str, Any], error: ErrorDetails) -> None:
    """Read ``1e6`` as 1000000 where a whole number is asked for; other errors are left alone."""
    value = error["input"]
    if error["type"] == "int_type" and isinstance(value, float) and value.is_integer():
        *parents, last = _path(error)
        _get(raw, parents)[last] = int(value)


def _get(raw: dict[str, Any], path: Iterable[str]) -> Any:
    value: Any = raw
    for part in path:
        if not isinstance(value, dict) or part not in value:
            return None
        value = value[part]
    return value


def _remove(raw: dict[str, Any], path: Sequence[str]) -> None:
    *parents, last = path
    table = _get(raw, parents)
    if isinstance(table, dict):
        table.pop(last, None)


def _copy(value: Any) -> Any:
    return (
        {key: _copy(item) for key, item in value.items()} if isinstance(value, Mapping) else value
    )


def _shown(value: Any) -> str:
    try:
        text = emit_value(value)
    except TypeError:
        text = repr(value)
    return text if len(text) <= 80 else text[:77] + "…"
