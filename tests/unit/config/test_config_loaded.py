"""What a process has imported by ways that no import statement shows."""

from __future__ import annotations

import importlib.metadata
import json
import subprocess
import sys
from pathlib import Path
from types import ModuleType, SimpleNamespace
from typing import Any

import pytest

import tuitrain
from tuitrain.config import loaded
from tuitrain.config.load import config_from
from tuitrain.config.provenance import changed_sources

ENV = """
import importlib, sys
sys.path.append({there!r})
import helper
import gymnasium

class Unasked:
    __file__ = property(lambda self: 1 / 0)
sys.modules["unasked"] = Unasked()

def make():
    importlib.import_module("plug")
    return gymnasium.make("CartPole-v1")
"""

PROBE = """
import json, sys
from tuitrain.config.load import config_from
from tuitrain.config.resolve import resolve
from tuitrain.workers.asides.probe import probe
report = probe(resolve(config_from({"env": {"id": sys.argv[1]}}), cores=2), None)
print(json.dumps([report["sources"], report["software"]]))
"""


def test_files_that_only_running_leads_to_are_found_and_watched(tmp_path: Path) -> None:
    there = tmp_path / "b"
    there.mkdir()
    (there / "helper.py").write_text("speed = 1\n")
    (there / "plug.py").write_text("")
    env = tmp_path / "env.py"
    env.write_text(ENV.format(there=str(there)))
    reference = f"{env}:make"
    probed = subprocess.run(
        [sys.executable, "-c", PROBE, reference], check=True, capture_output=True, text=True
    )
    sources, software = json.loads(probed.stdout.splitlines()[-1])
    assert {key: list(files) for key, files in sources.items()} == {
        "env.id": [str(env)],
        "imported": [str(there / "helper.py"), str(there / "plug.py")],
    }
    assert software.keys() >= {"python", "torch", "numpy", "gymnasium", "tuitrain"}
    assert software["tuitrain"] == tuitrain.__version__
    config = config_from({"env": {"id": reference}})
    assert changed_sources(sources, config) == []
    (there / "helper.py").write_text("speed = 2\n")
    (there / "plug.py").unlink()
    assert changed_sources(sources, config) == [
        f"{there}/helper.py (imported) has changed",
        f"{there}/plug.py (imported) has changed",
    ]


def test_what_is_installed_built_in_or_ours_is_not_the_users(tmp_path: Path) -> None:
    file = tmp_path / "mine.py"
    file.touch()
    (tmp_path / "site-packages").mkdir()
    installed = tmp_path / "site-packages" / "theirs.py"
    installed.touch()
    paths = [str(file), str(installed), json.__file__, tuitrain.__file__, "<frozen>", None]
    modules: dict[str, Any] = {"namespace": SimpleNamespace(__file__=str(file) + "c")}
    for number, path in enumerate(paths):
        module = modules[f"m{number}"] = ModuleType(f"m{number}")
        module.__file__ = path
    assert loaded.files(modules) == [file]


def test_versions_are_of_the_distributions_that_bring_what_is_imported() -> None:
    """As the standard library says it, which takes ten times as long."""
    mine = dict.fromkeys(["numpy.linalg", "torch", "pytest", "nobody_has_this", "tests"])
    owners = importlib.metadata.packages_distributions()
    names = {name for module in mine for name in owners.get(module.partition(".")[0], ())}
    assert {"numpy", "torch", "pytest"} <= names
    told = loaded.versions(mine)
    assert told.items() >= {name: importlib.metadata.version(name) for name in names}.items()
    assert told.keys() - names <= {"python", "tuitrain"}
    everything = loaded.versions(dict.fromkeys(owners))
    assert everything.keys() >= {name for own in owners.values() for name in own}


def test_what_is_installed_in_older_ways_or_with_odd_names_has_its_version_too(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """By what it says of its modules, by a list without hashes, and by a name with a comma."""
    files = {
        "told-1.0.egg-info": ("PKG-INFO", "top_level.txt", "_told_module\n"),
        "listed-2.0.egg-info": ("PKG-INFO", "SOURCES.txt", "listed_module/__init__.py\n"),
        "quoted-3.0.dist-info": ("METADATA", "RECORD", '"quoted,module/a.so",,\n'),
    }
    for folder, (about, file, text) in files.items():
        name, version = folder.rpartition(".")[0].split("-")
        (tmp_path / folder).mkdir()
        words = f"Metadata-Version: 2.1\nName: {name}\nVersion: {version}\n"
        (tmp_path / folder / about).write_text(words)
        (tmp_path / folder / file).write_text(text)
    (tmp_path / "listed_module").mkdir()
    (tmp_path / "listed_module" / "__init__.py").touch()
    monkeypatch.syspath_prepend(tmp_path)
    loaded._installed.cache_clear()
    try:
        modules: dict[str, Any] = dict.fromkeys(["_told_module", "listed_module", "quoted,module"])
        told = loaded.versions(modules)
    finally:
        loaded._installed.cache_clear()
    assert {name: told.get(name) for name in ("told", "listed", "quoted")} == {
        "told": "1.0",
        "listed": "2.0",
        "quoted": "3.0",
    }


def test_only_versions_of_both_sides_are_compared() -> None:
    before, now = {"a": "1", "b": "1", "c": "1"}, {"a": "1", "b": "2", "d": "1"}
    assert loaded.version_changes(before, now) == ["b 2 (was 1)"]
