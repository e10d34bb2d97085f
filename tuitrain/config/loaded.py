"""What a process has imported: files of the user's, and versions of what is installed.

Asked in the probe, once environment and networks are built there. Import statements alone do not
tell it: there are `sys.path.append`, `importlib.import_module`, and gymnasium's ids.
"""

from __future__ import annotations

import csv
import importlib.metadata
import platform
import sysconfig
from collections.abc import Mapping
from functools import cache
from pathlib import Path
from types import ModuleType

import tuitrain

_INSTALLED = {"site-packages", "dist-packages"}


def files(modules: Mapping[str, ModuleType]) -> list[Path]:
    """Files of all modules that are neither installed, nor Python's, nor tuitrain's own.

    Args:
        modules: as in ``sys.modules``.
    """
    not_theirs = [
        Path(sysconfig.get_path("stdlib")),
        Path(sysconfig.get_path("platstdlib")),
        Path(str(tuitrain.__file__)).parent,
    ]
    found = set()
    for module in list(modules.values()):
        # not getattr: some modules import others when they are asked for anything
        file = vars(module).get("__file__") if isinstance(module, ModuleType) else None
        path = Path(file).absolute() if isinstance(file, str) else None
        if path is None or _INSTALLED & set(path.parts) or not path.is_file():
            continue
        if not any(path.is_relative_to(folder) for folder in not_theirs):
            found.add(path)
    return sorted(found)


def versions(modules: Mapping[str, ModuleType]) -> dict[str, str]:
    """Versions of Python, tuitrain and every distribution that a module is from, by name.

    All of them, since an environment's results depend on more than the distribution it is from.

    Args:
        modules: as in ``sys.modules``.
    """
    tops = {module.partition(".")[0] for module in list(modules)}
    owners = [one for one, brings in _installed() if not brings.isdisjoint(tops)]
    names = {one.metadata["Name"] for one in owners}
    found = {name: importlib.metadata.version(name) for name in sorted(names)}
    return found | {"python": platform.python_version(), "tuitrain": tuitrain.__version__}


@cache
def _installed() -> list[tuple[importlib.metadata.Distribution, frozenset[str]]]:
    """Every distribution and the modules it brings; once, as it reads a file of each of them.

    `importlib.metadata.packages_distributions` says the same but reads all that each file says: a
    tenth of a second of every start, where a hundred are installed.
    """
    return [(one, frozenset(_brings(one))) for one in importlib.metadata.distributions()]


def _brings(distribution: importlib.metadata.Distribution) -> set[str]:
    """The modules it says it has, or else those that its files are of."""
    if told := distribution.read_text("top_level.txt"):
        return set(told.split())
    record = distribution.read_text("RECORD")
    if record is None:
        paths = list(map(str, distribution.files or ()))
    else:
        paths = [row[0] for row in csv.reader(record.splitlines()) if row]
    return {path.partition("/")[0].partition(".")[0] for path in paths}


def version_changes(before: Mapping[str, str], now: Mapping[str, str]) -> list[str]:
    """One line per version that is not as it was: ``torch 2.6.0 (was 2.5.1)``.

    What only one side has imported is not compared: some are imported only when they are needed.
    """
    return [
        f"{name} {now[name]} (was {before[name]})"
        for name in sorted(before.keys() & now.keys())
        if now[name] != before[name]
    ]
