"""The run folder: everything a run leaves behind, under one name, and how to find it again.

``out_dir/name-NNNN`` is numbered by making it (mkdir either makes a folder or fails), so two
launches at the same moment get two numbers. Only the run's owner may read it: diffs and logs of
somebody's work are in it. Knows nothing of processes and sockets beyond the file that names them.
"""

from __future__ import annotations

import difflib
import json
import os
import re
import secrets
import shutil
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any, BinaryIO

from tuitrain import regular
from tuitrain.config.places import RUNS_DIR_VARIABLE
from tuitrain.disk import write_atomically

if TYPE_CHECKING:  # who only looks for a run does not wait for the schema
    from tuitrain.config.schema import Config

RUN_SCHEMA_VERSION = 1
SUMMARY_KEYS = frozenset(
    [
        "state",
        "reason",
        "steps",
        "total_steps",
        "base_steps",
        "wall_s",
        "policies",
        "learning",
        "checks",
        "last_checkpoint",
        "run_dir",
    ]
)
"""What every summary.json has, at least."""

_NEAR = 0.75
"""From this likeness on (difflib's) a name may be a slip of the finger."""
_RUN_ID = re.compile(r"[0-9a-f]{8}")
_MOST_DIGITS = 39
"""Of a number in JSON: 128 bits, more than anything counts, identifies or seeds."""
_NUMBERED = re.compile(r"(?P<name>.+)-(?P<number>\d{4,})")


class RunFolderError(RuntimeError):
    """A run folder cannot be made, found or read; the message says which and why."""


class DamagedFile(RunFolderError):
    """A file is there but is not what tuitrain has written; ``why`` says it without the path."""

    def __init__(self, path: Path, why: str) -> None:
        """`why` follows "PATH is damaged: "."""
        super().__init__(f"{path} is damaged: {why}")
        self.why = why


@dataclass(frozen=True)
class RunFolder:
    """The paths of one run. Making this value touches nothing."""

    path: Path

    @property
    def name(self) -> str:
        """`name-NNNN`, what `tuitrain attach` and the others accept."""
        return self.path.name

    @property
    def config_toml(self) -> Path:
        """The resolved config."""
        return self.path / "config.toml"

    @property
    def provenance_json(self) -> Path:
        """What code, packages and machine the run was started with."""
        return self.path / "provenance.json"

    @property
    def probe_json(self) -> Path:
        """What the probe found: the environment's spec with its policies and agents."""
        return self.path / "probe.json"

    def open_supervisor_log(self) -> BinaryIO:
        """What a supervisor prints itself goes there, to the end.

        Raises:
            RunFolderError: it cannot be opened, or something else is in its place.
        """
        path = self.logs / "supervisor.log"
        try:
            return open(path, "ab", opener=regular.opener)
        except OSError as error:
            raise RunFolderError(f"{path} cannot be opened: {error.strerror}") from error

    @property
    def metrics_jsonl(self) -> Path:
        """Records, one JSON object a line."""
        return self.path / "metrics.jsonl"

    @property
    def events_jsonl(self) -> Path:
        """Events, one JSON object a line."""
        return self.path / "events.jsonl"

    @property
    def summary_json(self) -> Path:
        """How the run ended; absent while it runs."""
        return self.path / "summary.json"

    @property
    def runtime_json(self) -> Path:
        """Run id, supervisor's pid and socket path of the latest session."""
        return self.path / "runtime.json"

    @property
    def changes_json(self) -> Path:
        """What was changed while the run went on (``config.changes``); absent if nothing was."""
        return self.path / "changes.json"

    @property
    def logs(self) -> Path:
        """One log per process."""
        return self.path / "logs"

    @property
    def checkpoints(self) -> Path:
        """Checkpoints, newest kept."""
        return self.path / "checkpoints"

    def load_config(self) -> Config:
        """The resolved config of the run.

        Raises:
            RunFolderError: there is none.
            ConfigError: it does not fit this version's schema.
        """
        from tuitrain.config.load import parse_config

        try:
            text = regular.read_text(self.config_toml)
        except OSError as error:
            raise RunFolderError(f"{self.config_toml}: {error.strerror}") from error
        except UnicodeDecodeError as error:
            raise DamagedFile(self.config_toml, "it is not UTF-8") from error
        return parse_config(text, str(self.config_toml))

    def store_config(self, config: Config) -> None:
        """Replace config.toml, e.g. when the probe has settled the device."""
        from tuitrain.config.load import to_toml

        write_atomically(self.config_toml, to_toml(config))

    def try_config(self, config: Config, given: Sequence[str] = ()) -> None:
        """Replace config.toml until ``keep_config`` or ``restore_config`` settles the matter.

        Changes in the living run of `given`, keys or tables of such, hold no longer.
        """
        from tuitrain.config.load import is_given

        self._changes_before.unlink(missing_ok=True)
        if data := self.read_json(self.changes_json):
            write_atomically(self._changes_before, regular.read_text(self.changes_json))
        write_atomically(self._config_before, regular.read_text(self.config_toml))
        if data:
            over = data.get("changes", {})
            kept = {key: over[key] for key in over if not is_given(key, given)}
            write_atomically(self.changes_json, json.dumps(data | {"changes": kept}) + "\n")
        self.store_config(config)

    def keep_config(self) -> None:
        """A run has come up with its config: the one before is not needed any more."""
        self._config_before.unlink(missing_ok=True)
        self._changes_before.unlink(missing_ok=True)

    def restore_config(self) -> bool:
        """Put back the config of before ``try_config``; whether there was one.

        Raises:
            RunFolderError: there is something, but it cannot be put back.
        """
        try:
            if self._config_before.exists() and self._changes_before.exists():
                os.replace(self._changes_before, self.changes_json)
            os.replace(self._config_before, self.config_toml)
        except FileNotFoundError:
            return False
        except OSError as error:
            raise RunFolderError(
                f"{self._config_before}, left by a resume that was killed, cannot be put back: "
                f"{error.strerror}; if it is no config of yours, remove it"
            ) from error
        return True

    @property
    def _config_before(self) -> Path:
        return self.path / "config.before.toml"

    @property
    def _changes_before(self) -> Path:
        return self.path / "changes.before.json"

    def read_json(self, path: Path) -> dict[str, Any] | None:
        """A JSON file of this folder, or None where it is absent.

        Raises:
            RunFolderError: it is there but cannot be read.
            DamagedFile: it is not a JSON object, or has numbers that nothing is counted by.
        """
        try:
            text = regular.read(path)
        except FileNotFoundError:
            return None
        except OSError as error:
            raise RunFolderError(f"{path} cannot be read: {error.strerror}") from error
        try:
            data = json.loads(text, parse_int=_whole)
        except json.JSONDecodeError as error:
            why = f"no JSON from line {error.lineno}, column {error.colno} on"
            raise DamagedFile(path, why if text.strip() else "it is empty") from error
        except UnicodeDecodeError as error:
            raise DamagedFile(path, "it is not UTF-8") from error
        except RecursionError as error:
            raise DamagedFile(path, "it is nested too deeply") from error
        except _TooLarge as error:
            raise DamagedFile(path, str(error)) from error
        if not isinstance(data, dict):
            raise DamagedFile(path, "it is not a JSON object")
        return data

    def read_summary(self) -> dict[str, Any] | None:
        """How the run ended, or None where it has not.

        Raises:
            RunFolderError: the file is damaged, or cannot be read.
        """
        summary = self.read_json(self.summary_json)
        if summary is not None and (missing := sorted(SUMMARY_KEYS - summary.keys())):
            raise DamagedFile(self.summary_json, f"no {', '.join(missing)} in it")
        return summary

    def write_runtime(self, *, run_id: str, pid: int, socket_path: str, **more: Any) -> None:
        """Say which process runs this folder now and where it listens."""
        data = {
            "schema_version": RUN_SCHEMA_VERSION,
            "run_id": run_id,
            "run_dir": os.path.realpath(self.path),
            "pid": pid,
            "socket_path": socket_path,
            **more,
        }
        write_atomically(self.runtime_json, json.dumps(data, indent=2) + "\n")

    def read_runtime(self) -> dict[str, Any] | None:
        """What ``write_runtime`` wrote, or None before the first session."""
        return self.read_json(self.runtime_json)

    def read_run_id(self) -> str | None:
        """The run's id, or None before the first session and where the file is damaged.

        Also None in a folder that was copied or moved: the id, by which processes and memory are
        known, belongs to a run that may be living where this one comes from.
        """
        try:
            runtime = self.read_runtime() or {}
        except RunFolderError:
            return None
        here = os.path.realpath(self.path)
        run_id = runtime.get("run_id") if runtime.get("run_dir", here) == here else None
        return run_id if isinstance(run_id, str) and _RUN_ID.fullmatch(run_id) else None


class _TooLarge(ValueError):
    """A number has too many digits."""


def _whole(digits: str) -> int:
    """A whole number of a JSON file.

    Raises:
        _TooLarge: arithmetic with it could fail anywhere, for want of such floating-point numbers.
    """
    if len(digits) > _MOST_DIGITS:
        raise _TooLarge(f"a number in it has {len(digits):,} digits")
    return int(digits)


def new_run_id() -> str:
    """Eight hexadecimal digits: the part of segment and socket names that tells runs apart."""
    return secrets.token_hex(4)


def create_run(config: Config, command: list[str] | None = None) -> RunFolder:
    """Make the folder of a new run, with its config and provenance.

    Args:
        config: resolved; stored as it is.
        command: the command line that started the run, for the provenance.

    Raises:
        RunFolderError: the folder cannot be made.
    """
    from tuitrain.config.load import to_toml
    from tuitrain.config.provenance import collect

    # Everything that can fail for reasons of content comes before anything is created.
    text = to_toml(config)
    made_with = collect(config, command)
    init_from = made_with.get("init_from")
    if init_from is not None and init_from["sha256"] is None:
        raise RunFolderError(f"run.init_from: {init_from['path']}: {init_from['why']}")
    provenance = json.dumps(made_with, indent=2) + "\n"
    out_dir = Path(config.run.out_dir)
    try:
        (text + str(out_dir.absolute())).encode()
    except UnicodeEncodeError:
        path = str(out_dir.absolute()).encode("utf-8", "backslashreplace").decode()
        raise RunFolderError(
            f"every path of a run must be UTF-8, but not all in its config or {path} are"
        ) from None
    try:
        out_dir.mkdir(parents=True, exist_ok=True)
        folder = RunFolder(_make_numbered(out_dir, config.run.name))
    except OSError as error:
        raise _cannot_make(out_dir, error) from error
    try:
        folder.logs.mkdir(mode=0o700)
        folder.checkpoints.mkdir(mode=0o700)
        write_atomically(folder.provenance_json, provenance)
        # Last, because a folder counts as a run from here on.
        write_atomically(folder.config_toml, text)
    except OSError as error:
        shutil.rmtree(folder.path, ignore_errors=True)
        raise _cannot_make(out_dir, error) from error
    return folder


def _cannot_make(out_dir: Path, error: OSError) -> RunFolderError:
    return RunFolderError(
        f"cannot make a run folder in {out_dir} (run.out_dir): {error.strerror}: {error.filename}"
    )


def list_runs(out_dir: Path) -> list[RunFolder]:
    """All runs of a folder, oldest first by the time they were made."""
    if not out_dir.is_dir():
        return []
    found = [RunFolder(path) for path in out_dir.iterdir() if (path / "config.toml").is_file()]
    return sorted(found, key=_age_key)


def find_run(text: str, out_dir: Path | str = "runs") -> RunFolder:
    """A run by what a person types: `latest`, a run's name, its name without number, or a path.

    A name without its number means the newest run of that name.

    Raises:
        RunFolderError: there is none; lists names that may have been meant.
    """
    out_dir = Path(out_dir)
    path = Path(os.path.expanduser(text))  # pathlib's raises where there is no home
    if os.sep in text or text in {".", "..", "~"}:
        if (path / "config.toml").is_file():
            return RunFolder(path.absolute())
        raise RunFolderError(f"{path} is not a run folder: it has no config.toml.")
    runs = list_runs(out_dir)
    if not runs:
        raise RunFolderError(
            f"no run {text!r}: there are no runs in {out_dir.absolute()}; "
            f"another folder: --runs-dir, or ${RUNS_DIR_VARIABLE}."
        )
    if text == "latest":
        return RunFolder(runs[-1].path.absolute())
    matches = [run for run in runs if run.name == text] or [
        run for run in runs if (m := _NUMBERED.fullmatch(run.name)) and m["name"] == text
    ]
    if matches:
        return RunFolder(matches[-1].path.absolute())
    names = [run.name for run in runs]
    stems = {name: name.rpartition("-")[0] for name in names}
    near = [
        name
        for name in names
        if (text and name.startswith(text))  # as others do
        or difflib.get_close_matches(text, [name, stems[name]], cutoff=_NEAR)
    ]
    told = (
        f"Near it: {', '.join(near[-5:][::-1])}."
        if near
        else "`tuitrain ls` lists all of this folder."
    )
    elsewhere = f"Runs of another: --runs-dir, or ${RUNS_DIR_VARIABLE}."
    raise RunFolderError(f"no run {text!r} in {out_dir.absolute()}. {told} {elsewhere}")


def _make_numbered(out_dir: Path, name: str) -> Path:
    numbers = [
        int(m["number"])
        for path in out_dir.iterdir()
        if (m := _NUMBERED.fullmatch(path.name)) and m["name"] == name
    ]
    number = max(numbers, default=0)
    while True:
        number += 1
        path = out_dir / f"{name}-{number:04d}"
        try:
            path.mkdir(mode=0o700)
        except FileExistsError:
            continue
        return path


def _age_key(run: RunFolder) -> tuple[float, str]:
    # provenance.json is written once, when the run is made; config.toml may be replaced.
    try:
        made = run.provenance_json.stat().st_mtime_ns
    except OSError:
        made = run.config_toml.stat().st_mtime_ns
    return made, run.name
