"""User code by reference: ``package.module:factory`` or ``file.py:factory``.

Networks and environments are both named this way, so they share one loader and one set of
errors. It imports what it is told to and knows nothing of what the object is for.
"""

from __future__ import annotations

import ast
import difflib
import hashlib
import importlib
import importlib.util
import os
import sys
import traceback
from pathlib import Path
from types import ModuleType
from typing import Any


class LoadError(ImportError):
    """A reference that cannot be followed; the message says which part and why."""


def is_reference(text: str) -> bool:
    """Whether a name has the form of a reference (``something:name``)."""
    left, _, right = text.rpartition(":")
    return bool(left) and all(part.isidentifier() for part in right.split("."))


def names_in(path: Path) -> list[str]:
    """Classes and functions that a Python file defines, in its order, without running it.

    Those that begin with an underscore are left out; [] for what is no readable Python.
    """
    try:
        body = ast.parse(path.read_bytes()).body
    except (OSError, SyntaxError, ValueError):
        return []
    return [
        part.name
        for part in body
        if isinstance(part, ast.ClassDef | ast.FunctionDef) and not part.name.startswith("_")
    ]


def load_object(ref: str) -> Any:
    """The object that a reference names. A module is imported once per process.

    A file's folder, and the working folder for ``package.module``, are added at the end of
    ``sys.path``, so that such code can import its neighbours as it could when run as a script.

    Args:
        ref: ``package.module:name``, ``path/to/file.py:name``; `name` may have dots.

    Raises:
        LoadError: no such file, module or name, or the import itself failed (the cause is kept
            as ``__cause__`` and its place in the user's code is in the message).
    """
    if not is_reference(ref):
        raise LoadError(f"{ref!r} is not of the form package.module:name or file.py:name")
    where, _, name = ref.rpartition(":")
    module = _import_file(Path(where), ref) if where.endswith(".py") else _import(where, ref)
    found: Any = module
    for part in name.split("."):
        if not hasattr(found, part):
            near = difflib.get_close_matches(part, [n for n in dir(found) if n[0] != "_"])
            hint = f"; did you mean {' or '.join(near)}?" if near else ""
            raise LoadError(f"{ref!r}: {where} has no {part!r}{hint}")
        found = getattr(found, part)
    return found


def _import(where: str, ref: str) -> ModuleType:
    _add_to_path(os.getcwd())
    try:
        return importlib.import_module(where)
    except ModuleNotFoundError as error:
        if error.name and (where == error.name or where.startswith(f"{error.name}.")):
            raise LoadError(
                f"{ref!r}: there is no module {error.name!r} (looked in the installed packages "
                f"and in {os.getcwd()}); a file is named by its path, ending in .py"
            ) from error
        raise LoadError(_failed(ref, error)) from error
    except Exception as error:
        raise LoadError(_failed(ref, error)) from error


def _import_file(path: Path, ref: str) -> ModuleType:
    path = path.expanduser().resolve()
    if not path.is_file():
        raise LoadError(f"{ref!r}: there is no file {path}")
    # The same name in every process, so that classes defined in the file can be pickled between
    # processes that have both loaded it.
    name = f"tuitrain_file_{hashlib.sha256(str(path).encode()).hexdigest()[:12]}_{path.stem}"
    if name in sys.modules:
        return sys.modules[name]
    spec = importlib.util.spec_from_file_location(name, path)
    if spec is None or spec.loader is None:
        raise LoadError(f"{ref!r}: {path} cannot be imported as Python")
    _add_to_path(str(path.parent))
    module = importlib.util.module_from_spec(spec)
    sys.modules[name] = module
    try:
        spec.loader.exec_module(module)
    except Exception as error:
        del sys.modules[name]
        raise LoadError(_failed(ref, error)) from error
    return module


def _add_to_path(folder: str) -> None:
    known = folder in sys.path or ("" in sys.path and folder == os.getcwd())
    if not known:
        sys.path.append(folder)


def _failed(ref: str, error: Exception) -> str:
    frames = traceback.extract_tb(error.__traceback__)
    place = f" at {frames[-1].filename}:{frames[-1].lineno}" if frames else ""
    if isinstance(error, SyntaxError) and error.filename:
        place = f" at {error.filename}:{error.lineno}"
    return f"{ref!r}: its import failed{place}: {type(error).__name__}: {error}"
