"""What a process has imported: files of the user's, and versions of what is installed.

Asked in the probe, once environment and networks are built there. Import statements alone do not
tell it: there are `sys.path.append`, `importlib.import_module`, and gymnasium's ids.
"""

from __future__ import annotations

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
    owners = _owners()
    names = {name for module in list(modules) for name in owners.get(module.partition(".")[0], ())}
    found = {name: importlib.metadata.version(name) for name in sorted(names)}
    return found | {"python": platform.python_version(), "tuitrain": tuitrain.__version__}


@cache
def _owners() -> Mapping[str, list[str]]:
    """Distributions by the modules they bring; once, as it reads the files of all of them."""
    return importlib.metadata.packages_distributions()


def version_changes(before: Mapping[str, str], now: Mapping[str, str]) -> list[str]:
    """One line per version that is not as it was: ``torch 2.6.0 (was 2.5.1)``.

    What only one side has imported is not compared: some are imported only when they are needed.
    """
    return [
        f"{name} {now[name]} (was {before[name]})"
        for name in sorted(before.keys() & now.keys())
        if now[name] != before[name]
    ]
