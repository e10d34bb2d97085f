"""What was changed in a living run, beside the config that its user gave.

config.toml stays as it was given; changes lie in changes.json and are laid over it whenever the run
is started. Each knows the value that it was laid over, so what the user gives anew, as for a
resume, is not overruled.
"""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass
from typing import Any

from tuitrain.config.emit import emit_value
from tuitrain.config.live import LIVE, value_of, with_values
from tuitrain.config.load import is_given
from tuitrain.config.problems import ConfigError
from tuitrain.config.runs import RunFolder, RunFolderError
from tuitrain.config.schema import Config
from tuitrain.disk import write_atomically

SCHEMA_VERSION = 1


@dataclass(frozen=True)
class Change:
    """A key that was changed.

    Attributes:
        given: its value in config.toml when it was.
        value: the one that holds instead.
    """

    given: Any
    value: Any


def read_changes(folder: RunFolder) -> dict[str, Change]:
    """By key, what was changed and not given anew since.

    Raises:
        RunFolderError: the file is damaged.
    """
    data = folder.read_json(folder.changes_json) or {}
    try:
        changes = {key: Change(**fields) for key, fields in data.get("changes", {}).items()}
        for change in changes.values():
            emit_value(change.value)  # what TOML cannot say was never set
        return changes
    except (AttributeError, TypeError) as error:
        raise RunFolderError(
            f"{folder.changes_json} is damaged: {error}; without it the run goes on with the "
            "values of config.toml"
        ) from error


def store_changes(folder: RunFolder, changes: Mapping[str, Change]) -> None:
    """Replace the file. Raises ``OSError`` if it cannot be written: it is what it was."""
    fields = {key: asdict(change) for key, change in changes.items()}
    data = {"schema_version": SCHEMA_VERSION, "changes": fields}
    write_atomically(folder.changes_json, json.dumps(data, indent=2) + "\n")


def in_force(given: Config, changes: Mapping[str, Change]) -> dict[str, Change]:
    """Those that hold: over a value that nobody has given anew since."""
    return {
        key: change
        for key, change in changes.items()
        if key in LIVE and value_of(given, key) == change.given != change.value
    }


def laid_over(given: Config, folder: RunFolder, dropped: Sequence[str] = ()) -> Config:
    """The config that a run goes by.

    Args:
        given: of config.toml.
        dropped: keys, or tables of such, whose changes are to hold no longer.

    Raises:
        RunFolderError: changes.json is damaged.
        ConfigError: what it says is not allowed, or does not go together with what is given.
    """
    changes = in_force(given, read_changes(folder))
    values = {k: change.value for k, change in changes.items() if not is_given(k, dropped)}
    try:
        return with_values(given, values) if values else given
    except ConfigError as error:
        raise ConfigError(error.problems, str(folder.changes_json)) from error


def changes_between(given: Config, now: Config) -> dict[str, Change]:
    """What lies over `given` in a run that goes by `now`."""
    return {
        key: Change(value_of(given, key), value_of(now, key))
        for key in LIVE
        if value_of(given, key) != value_of(now, key)
    }
