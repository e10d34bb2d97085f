"""What the files of a run say to who diagnoses it; a damaged one is left out, and named.

Files that lie about for months are edited, cut off and emptied. Whatever is wrong with one is found
here, once, and said in words; the others are read all the same, and who goes on has values of the
types that are promised. Reads; never writes.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any, TypeVar

from pydantic import BaseModel, Field, ValidationError

from tuitrain import regular
from tuitrain.config.changes import laid_over
from tuitrain.config.load import config_from
from tuitrain.config.problems import ConfigError
from tuitrain.config.resolve import resolve
from tuitrain.config.runs import DamagedFile, RunFolder, RunFolderError
from tuitrain.config.schema import Config
from tuitrain.envs.spec import EnvSpec
from tuitrain.measurements import NetworkMeasured
from tuitrain.metrics.rewind import is_number
from tuitrain.supervisor.plan import TrainingPlan
from tuitrain.supervisor.snapshot import PolicyPlan
from tuitrain.workers.blueprint import Base

T = TypeVar("T")


@dataclass(frozen=True)
class Planned:
    """What the probe has settled; nothing where it has told nothing.

    Attributes:
        policies: the constants of each.
        spec_hash: of the environment.
        base_steps: at which the last session began.
    """

    policies: tuple[PolicyPlan, ...] = ()
    spec_hash: str | None = None
    base_steps: int = 0


@dataclass(frozen=True)
class Left:
    """A run's files, as far as they can be read.

    Attributes:
        config: what the run went by; None where config.toml is damaged.
        summary: of summary.json; None of a run that nobody has ended, or where it is damaged.
        planned: of probe.json.
        tried: what came of playing the settings of evaluations (`words`, `suspect`); None: nothing.
        damaged: names of files that were left out, or some of their lines.
        notes: the same with why, each a sentence without its full stop.
    """

    config: Config | None
    summary: Mapping[str, Any] | None = None
    planned: Planned = Planned()
    tried: Mapping[str, Any] | None = None
    damaged: frozenset[str] = frozenset()
    notes: tuple[str, ...] = ()

    @property
    def assumed(self) -> Config:
        """The config, or one of defaults: with it something can be counted, but nothing judged."""
        return self.config or resolve(config_from({}), cores=2)


class _Tried(BaseModel):
    words: str
    suspect: bool


class _Weights(BaseModel):
    entries: list[tuple[str, str, list[int]]]


class _Probed(BaseModel):
    """What is used of probe.json: the types of what ``Blueprint.from_probe`` takes."""

    spec: EnvSpec
    weights: dict[str, _Weights]
    device: str
    base: Base
    networks: dict[str, NetworkMeasured] = Field(default_factory=dict)
    unsaved_environment: str = ""
    software: dict[str, str]
    sources: dict[str, dict[str, str]]
    evaluations: _Tried | None = None


def read_left(folder: RunFolder) -> Left:
    """Everything that a diagnosis takes from whole files. Raises nothing for what is in them."""
    notes: dict[str, str] = {}

    def whole(path: Path, read: Callable[[], T]) -> T | None:
        try:
            return read()
        except (RunFolderError, ConfigError) as error:
            notes[path.name] = _said(path, error)
            return None

    given = whole(folder.config_toml, lambda: _resolved(folder))
    config = given and (whole(folder.changes_json, lambda: laid_over(given, folder)) or given)
    summary = whole(folder.summary_json, folder.read_summary)
    probed = whole(folder.probe_json, lambda: _probed(folder))
    planned = None
    if probed is not None and config is not None:
        planned = whole(folder.probe_json, lambda: _planned(folder, config, probed))
    made = None if summary is None else summary.get("steps")
    for path in (folder.metrics_jsonl, folder.events_jsonl):
        if why := _lost_of(path, has_lines=is_number(made) and made > 0):
            notes[path.name] = f"{path.name} {why}"
    tried = None if probed is None or probed.evaluations is None else probed.evaluations
    return Left(
        config,
        summary,
        planned or Planned(),
        None if tried is None else tried.model_dump(),
        frozenset(notes),
        tuple(notes.values()),
    )


def _lost_of(path: Path, *, has_lines: bool) -> str:
    """What of a file of JSON lines is not read, in words: ``read_jsonl`` passes over it in silence.

    Looks at the ends of lines alone: there may be millions. The last one may be half written.

    Args:
        has_lines: whether there must be some.
    """
    size = damaged = 0
    try:
        with open(path, "rb", opener=regular.opener) as file:
            while line := file.readline(regular.MOST_BYTES):
                size += len(line)
                damaged += line.endswith(b"\n") and not (line[:1] == b"{" and line[-2:-1] == b"}")
    except FileNotFoundError:
        return "is not there" if has_lines else ""
    except OSError as error:
        return f"is left out: it cannot be read: {error.strerror}"
    if has_lines and not size:
        return "is empty"
    return f"has {damaged:,} damaged line{'s' * (damaged != 1)}, left out" if damaged else ""


def _resolved(folder: RunFolder) -> Config:
    config = folder.load_config()
    if not isinstance(config.actors.count, int):  # what a run stores has every choice settled
        raise DamagedFile(folder.config_toml, "it is empty, or not all of it is there")
    return config


def _probed(folder: RunFolder) -> _Probed | None:
    report = folder.read_json(folder.probe_json)
    try:
        return None if report is None else _Probed.model_validate(report)
    except ValidationError as error:
        first = error.errors()[0]
        where = ".".join(str(key) for key in first["loc"])
        raise DamagedFile(folder.probe_json, f"{where}: {first['msg']}") from error


def _planned(folder: RunFolder, config: Config, probed: _Probed) -> Planned:
    """Raises ConfigError: the config and what was probed do not go together."""
    from tuitrain.workers.blueprint import Blueprint

    plan = TrainingPlan()
    blueprint = Blueprint.from_probe(
        run_id="",
        run_dir="",
        lock_path="",
        config=config,
        report=probed.model_dump(),
    )
    return Planned(
        tuple(plan.policies(blueprint)), plan.spec_hash(blueprint), plan.base_steps(blueprint)
    )


def _said(path: Path, error: RunFolderError | ConfigError) -> str:
    """In one line, without folders."""
    what, why = "is damaged and left out", str(error)
    if isinstance(error, DamagedFile):
        why = error.why
    elif isinstance(error, ConfigError):
        why = "; ".join(str(problem) for problem in error.problems)
    else:  # whether it is damaged nobody knows
        what = "is left out"
    why = " ".join(why.replace(f"{path.parent}/", "").split()).rstrip(".")
    return f"{path.name} {what}: {why}"
