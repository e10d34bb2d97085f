"""What a run was made with: code, packages, machine. Enough to run it again, or to see why not.

Recorded at launch: git commit and diff of the working folder, versions of every installed package,
and SHA-256 of the source files of environment and network with whatever they import from beside
them. ``changed_sources`` compares those later, because a worker that is restarted imports what
the files hold *then*. Imports none of the user's code, and no torch; the probe adds what it has
imported (``loaded``).
"""

from __future__ import annotations

import ast
import contextlib
import hashlib
import importlib
import importlib.metadata
import json
import os
import platform
import subprocess
import sys
import sysconfig
import time
from collections.abc import Iterable
from importlib.machinery import PathFinder
from pathlib import Path
from typing import Any

import tuitrain
from tuitrain import regular
from tuitrain.config.schema import Config

PROVENANCE_SCHEMA_VERSION = 1
MAX_DIFF_BYTES = 2_000_000
"""A longer diff is cut; its hash is always of the whole."""
IMPORTED = "imported"
"""Key of the files that no import statement leads to, but that the probe had imported."""
_GIT_DEADLINE_S = 10.0
_MAX_FILES = 500
_PARSES = 20
"""So often at most one source is parsed that only bad luck can have made fail."""


def collect(config: Config, command: list[str] | None = None) -> dict[str, Any]:
    """Everything, as plain JSON values. Never fails: what cannot be found says why instead."""
    return {
        "schema_version": PROVENANCE_SCHEMA_VERSION,
        "made_at_s": time.time(),
        "command": command,
        "working_folder": str(Path.cwd()),
        "git": git_state(Path.cwd()),
        "tuitrain": {
            "version": tuitrain.__version__,
            "source_sha256": _package_hash(Path(tuitrain.__file__).parent),
        },
        "sources": source_hashes(config),
        "init_from": None if (path := config.run.init_from) is None else _init_from(Path(path)),
        "python": {"version": platform.python_version(), "executable": sys.executable},
        "platform": {
            "system": platform.platform(),
            "machine": platform.machine(),
            "cores": os.cpu_count(),
        },
        "packages": package_versions(),
    }


def _init_from(path: Path) -> dict[str, Any]:
    """Path and SHA-256 of the checkpoint that a run begins with; of several parts the manifest's,
    which has theirs."""
    try:
        sha256, why = hashlib.sha256(path.read_bytes()).hexdigest(), None
    except OSError as error:
        sha256, why = None, error.strerror
    return {"path": str(path), "sha256": sha256, "why": why}


def package_versions() -> dict[str, str]:
    """Version of every installed distribution, by name."""
    found = {d.name: d.version for d in importlib.metadata.distributions() if d.name}
    return dict(sorted(found.items(), key=lambda item: item[0].lower()))


def git_state(folder: Path) -> dict[str, Any]:
    """Commit, diff against it and untracked files of the repository around `folder`.

    Returns:
        ``{"commit", "branch", "dirty", "diff", "diff_sha256", "diff_cut", "untracked"}``, or
        ``{"commit": None, "why": …}`` outside a repository or without git.
    """
    try:
        top = Path(_git(folder, "rev-parse", "--show-toplevel").decode(errors="replace").strip())
        commit = _git(top, "rev-parse", "HEAD").decode().strip()
        branch = _git(top, "rev-parse", "--abbrev-ref", "HEAD").decode(errors="replace").strip()
        diff = _git(top, "diff", "--no-ext-diff", "--no-textconv", "--no-color", "--binary", "HEAD")
        listed = _git(top, "ls-files", "--others", "--exclude-standard", "-z")
    except FileNotFoundError:
        return {"commit": None, "why": "git is not installed"}
    except subprocess.TimeoutExpired:
        return {"commit": None, "why": f"git took longer than {_GIT_DEADLINE_S:.0f} s"}
    except subprocess.CalledProcessError as error:
        return {"commit": None, "why": error.stderr.decode(errors="replace").strip()}
    untracked = [name for name in listed.decode(errors="replace").split("\0") if name]
    return {
        "folder": str(top),
        "commit": commit,
        "branch": branch,
        "dirty": bool(diff),
        "diff": diff[:MAX_DIFF_BYTES].decode(errors="replace"),
        "diff_sha256": hashlib.sha256(diff).hexdigest() if diff else None,
        "diff_cut": len(diff) > MAX_DIFF_BYTES,
        "untracked": untracked[:_MAX_FILES],
    }


def source_hashes(config: Config, imported: Iterable[Path] = ()) -> dict[str, dict[str, str]]:
    """SHA-256 of the source files behind `env.id` and `learner.network`, by key and path.

    Built-in networks and gymnasium ids have no files here; the versions of what they are installed
    with are compared instead (``loaded.versions``).

    Args:
        imported: files that are code of the user's besides, under the key "imported".
    """
    importlib.invalidate_caches()  # files may have been added since the finders last looked
    hashes: dict[str, dict[str, str]] = {}
    for key, reference in (("env.id", config.env.id), ("learner.network", config.learner.network)):
        start = source_of(reference)
        if start is not None:
            hashes[key] = {str(path): file_hash(path) for path in local_sources(start)}
    known = {path for files in hashes.values() for path in files}
    if others := {str(path): file_hash(path) for path in imported if str(path) not in known}:
        hashes[IMPORTED] = others
    return hashes


def changed_sources(recorded: dict[str, dict[str, str]], config: Config) -> list[str]:
    """One line per source file that is no longer what `recorded` (``source_hashes``) says."""
    now, lines = source_hashes(config, map(Path, recorded.get(IMPORTED, {}))), []
    for key in sorted(recorded.keys() | now.keys()):
        before, after = recorded.get(key, {}), now.get(key, {})
        for path in sorted(before.keys() | after.keys()):
            if path not in after:
                lines.append(f"{path} ({key}) is gone or no longer imported")
            elif path not in before:
                lines.append(f"{path} ({key}) is new")
            elif before[path] != after[path]:
                lines.append(f"{path} ({key}) has changed")
    return lines


def changed_since_launch(provenance_json: Path, config: Config) -> list[str]:
    """One line per file that is not what the run was launched with; none if that is not known."""
    try:
        recorded = json.loads(regular.read(provenance_json))["sources"]
        return changed_sources(recorded, config)
    except (OSError, ValueError, KeyError, TypeError, AttributeError):
        return []


def source_of(reference: str) -> Path | None:
    """The file that ``file.py:name`` or ``package.module:name`` would load, without loading it."""
    where, colon, _ = reference.rpartition(":")
    if not colon:
        return None
    if where.endswith(".py"):
        path = Path(where).expanduser().absolute()
        return path if path.is_file() else None
    files = _module_files(where, [*sys.path, str(Path.cwd())])
    return files[-1] if files else None


def local_sources(start: Path) -> list[Path]:
    """`start` and every file it imports, directly or not, from the same folder or package.

    Imports are read, not run. Installed packages and the standard library are left out, except
    that an installed `start` brings its own package. At most 500 files.
    """
    root = start.parent
    while (root / "__init__.py").is_file():
        root = root.parent
    bounds = root
    if root in _installed_folders():
        top = start.relative_to(root).parts[0]
        bounds = root / top
    found: set[Path] = set()
    waiting = [start, *_parent_inits(start, root)]
    while waiting and len(found) < _MAX_FILES:
        path = waiting.pop()
        if path in found:
            continue
        found.add(path)
        for module in _imports(path, root):
            files = _module_files(module, [str(start.parent), str(root)])
            waiting += [file for file in files if file.is_relative_to(bounds)]
    return sorted(found)


def _installed_folders() -> set[Path]:
    names = ("stdlib", "platstdlib", "purelib", "platlib")
    return {Path(sysconfig.get_path(name)) for name in names}


def _parent_inits(start: Path, root: Path) -> list[Path]:
    folders = [folder for folder in start.parents if folder != root and folder.is_relative_to(root)]
    return [folder / "__init__.py" for folder in folders]


def _imports(path: Path, root: Path) -> list[str]:
    """Dotted names that a file imports; relative ones made absolute from `root`."""
    try:
        tree = _parsed(path.read_bytes())
    except (SyntaxError, ValueError, OSError):
        return []
    package = list(path.parent.relative_to(root).parts)
    names: list[str] = []
    for node in ast.walk(tree):
        if isinstance(node, ast.Import):
            names += [alias.name for alias in node.names]
        elif isinstance(node, ast.ImportFrom):
            base = package[: len(package) - node.level + 1] if node.level else []
            stem = ".".join([*base, *([node.module] if node.module else [])])
            # `from package import thing`: thing may be a module or a name of it.
            names += [f"{stem}.{alias.name}".lstrip(".") for alias in node.names]
    return names


def _parsed(source: bytes) -> ast.Module:
    """The tree of a source.

    Until Python 3.11.7 threads that parse at the same time share one count of how deep they are,
    and one of them may be told that it has come out wrong (python/cpython#106905): parse again.
    """
    for _ in range(_PARSES - 1):
        with contextlib.suppress(SystemError):
            return ast.parse(source)
    return ast.parse(source)


def _module_files(module: str, search: list[str]) -> list[Path]:
    """Source files that importing a module runs: those of its parent packages and its own, last.

    Found part by part, so that nothing is imported. As far as they exist: `package.name` where
    `name` is no module gives the package's file.
    """
    files: list[Path] = []
    where: list[str] | None = search
    prefix = ""
    for part in module.split("."):
        prefix = f"{prefix}.{part}" if prefix else part
        try:
            spec = PathFinder.find_spec(prefix, where) if where is not None else None
        except KeyError:  # a folder without __init__.py, in a package that is not imported here
            where = [str(Path(f) / part) for f in where or () if (Path(f) / part).is_dir()] or None
            continue
        except (ImportError, ValueError):
            spec = None
        if spec is None:
            break
        if spec.has_location and spec.origin and spec.origin.endswith(".py"):
            files.append(Path(spec.origin).absolute())
        where = list(spec.submodule_search_locations) if spec.submodule_search_locations else None
    return files


def _package_hash(folder: Path) -> str:
    """One hash over the names and bytes of all Python files below `folder`."""
    digest = hashlib.sha256()
    for path in sorted(folder.rglob("*.py")):
        digest.update(f"{path.relative_to(folder).as_posix()}\0{file_hash(path)}\n".encode())
    return digest.hexdigest()


def file_hash(path: Path) -> str:
    """SHA-256 of a file's bytes, or why it cannot be read."""
    try:
        return hashlib.sha256(path.read_bytes()).hexdigest()
    except OSError as error:
        return f"unreadable: {error.strerror}"


def _git(folder: Path, *arguments: str) -> bytes:
    # No optional locks: looking at a repository must not disturb what its owner does in it.
    return subprocess.run(
        ["git", "-C", str(folder), *arguments],
        check=True,
        capture_output=True,
        stdin=subprocess.DEVNULL,
        timeout=_GIT_DEADLINE_S,
        env={**os.environ, "GIT_OPTIONAL_LOCKS": "0", "LC_ALL": "C"},
    ).stdout
