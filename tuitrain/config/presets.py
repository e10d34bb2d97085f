"""Algorithms by the names people know: each a set of other defaults, nothing more.

A preset never overrides what a config says: it stands where a key is not given. Values are the
papers', as far as they do not depend on the task. A stored config gives every key, so naming a
preset in one changes nothing but the name: ``departures`` tells.
"""

from __future__ import annotations

from typing import Any

from tuitrain.config.schema import Config

_EXPECTED = {"double": False, "dueling": False, "n_step": 1}
_RAINBOW = {"double": True, "dueling": True, "n_step": 3}

PRESETS: dict[str, dict[str, dict[str, Any]]] = {
    "dqn": {"learner": _EXPECTED},
    "ddqn": {"learner": _EXPECTED | {"double": True}},
    "c51": {"learner": _EXPECTED, "algorithm": {"name": "c51", "atoms": 51}},
    "qr-dqn": {"learner": _EXPECTED, "algorithm": {"name": "qr-dqn", "quantiles": 200}},
    "iqn": {"learner": _EXPECTED, "algorithm": {"name": "iqn", "quantiles": 64}},
    "m-iqn": {
        "learner": _EXPECTED,
        "algorithm": {"name": "iqn", "quantiles": 64, "munchausen": True},
    },
    "rainbow": {
        "learner": _RAINBOW,
        "algorithm": {"name": "c51", "atoms": 51, "noisy": True},
        "replay": {"prioritized": True, "priority_alpha": 0.5, "priority_beta": 0.4},
        "exploration": {"epsilon_start": 0.0, "epsilon_end": 0.0},
    },
}
"""By name, the keys that differ from the schema's own defaults."""


def departures(config: Config) -> list[str]:
    """Keys in which a config differs from the preset it names: ``learner.n_step = 5 (3)``."""
    name = config.algorithm.preset
    found = []
    for table, values in PRESETS.get(name or "", {}).items():
        for key, value in values.items():
            given = getattr(getattr(config, table), key)
            if given != value:
                found.append(f"{table}.{key} = {given!r} ({value!r})")
    return found


def apply_preset(tables: dict[str, Any]) -> None:
    """Put the defaults of ``algorithm.preset`` under what `tables` say; unknown names do nothing.

    What is no table, or no known preset, is left for the schema to complain of.
    """
    algorithm = tables.get("algorithm")
    name = algorithm.get("preset") if isinstance(algorithm, dict) else None
    if not isinstance(name, str):
        return
    for table, values in PRESETS.get(name, {}).items():
        given = tables.setdefault(table, {})
        if isinstance(given, dict):
            for key, value in values.items():
                given.setdefault(key, value)
