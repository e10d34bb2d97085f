"""`tuitrain doctor`: look, build in a process of its own, run for a few seconds, and report."""

from __future__ import annotations

import json
import os
import sys
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from tuitrain.cli.config_cmd import SetOption
from tuitrain.cli.errors import EXIT_NOT_DONE, Refused

if TYPE_CHECKING:
    from tuitrain.config.schema import Config
    from tuitrain.doctor.examination import Facts, Subject
    from tuitrain.doctor.facts import Smoke, Torch

SMOKE_S = 5.0
LEARN_S = 60.0


def doctor(
    config: Annotated[
        Path | None, typer.Argument(help="A TOML file; without one, the machine alone is checked.")
    ] = None,
    overrides: SetOption = None,
    no_run: Annotated[
        bool, typer.Option("--no-run", help="Leave out the smoke run, a few seconds of training.")
    ] = False,
    seconds: Annotated[
        float, typer.Option(min=0.1, max=600.0, help="How long to train in the smoke run.")
    ] = SMOKE_S,
    learn: Annotated[
        bool,
        typer.Option("--learn", help="Try, too, whether the config can learn: about a minute."),
    ] = False,
    learn_s: Annotated[
        float,
        typer.Option(
            "--learn-s",
            min=1.0,
            max=86_400.0,
            help="Seconds of playing and learning for --learn, all together.",
        ),
    ] = LEARN_S,
    as_json: Annotated[bool, typer.Option("--json", help="Print JSON.")] = False,
) -> None:
    """Check machine, terminal and a config before a run, and say how to mend what is wrong.

    With a config, its environment and network are built in a process of their own, and it is run
    for some seconds under the real supervisor, in a temporary folder that is removed.

    --learn goes further. A network like the run's learns one batch of random play by heart (or
    cannot: then it learns from nothing); every layer must get a gradient; and the config is run in
    the sequential and in its own schedule, whose greedy play is compared with random play. It ends
    with a verdict: it learns, it does not and why, or TOO EARLY.

    \b
    Exit codes: 0 nothing failed (there may be warnings), 1 a check failed, 2 wrong usage.

    \b
    Example, before a long run:
        tuitrain doctor configs/cartpole.toml && tuitrain launch configs/cartpole.toml
        tuitrain doctor my.toml --learn --learn-s 120
    """
    if learn and config is None:
        raise typer.BadParameter("--learn needs a CONFIG")
    from tuitrain.doctor import report
    from tuitrain.doctor.examination import groups
    from tuitrain.doctor.finding import worst

    if learn and not as_json:
        words = f"--learn takes about {learn_s:g} s (--learn-s), besides starting processes"
        typer.echo(words, err=True)
    with _Progress(shown=not as_json and os.isatty(2)) as progress:
        facts = examine(
            config,
            overrides or [],
            seconds=0.0 if no_run else seconds,
            learn_s=learn_s if learn else 0.0,
            tell=progress.tell,
        )
    found = groups(facts)
    if as_json:
        typer.echo(json.dumps(report.data(found)))
    else:
        _print(report.text(found, colour=_colour()))
    raise typer.Exit(EXIT_NOT_DONE if worst(found) == "fail" else 0)


def examine(
    path: Path | None,
    overrides: list[str],
    *,
    seconds: float,
    learn_s: float = 0.0,
    tell: Callable[[str], None],
) -> Facts:
    """Find everything out.

    Args:
        seconds: of training in the smoke run; 0 leaves it out.
        learn_s: of trying whether it learns; 0 leaves it out.
        tell: shown what is being done.
    """
    from tuitrain.doctor import gather
    from tuitrain.doctor.examination import Facts, blockers

    compare_clocks = gather.clock_watch()
    subject, config = _read(path, overrides)
    tell("importing torch")
    torch, report, error = _build(config, tell)
    agents = 1
    if subject is not None and config is not None:
        subject, agents = _judge_build(subject, config, report, error)
    facts = Facts(
        machine=gather.machine(),
        clock=compare_clocks(),
        place=gather.place(_runs_dir(config)),
        login=gather.login(),
        terminal=gather.terminal(),
        torch=torch,
        subject=subject,
    )
    if subject is None or config is None or subject.problems:
        return facts
    if stopped_by := blockers(facts):
        subject = replace(subject, no_smoke=f"not before this is mended: {', '.join(stopped_by)}")
    elif not seconds:
        subject = replace(subject, no_smoke="left out (--no-run)")
    else:
        subject = replace(subject, smoke=_smoke(config, agents, seconds, tell))
    if learn_s and not stopped_by and not (subject.smoke and subject.smoke.error):
        from tuitrain.cli.practice import learn

        subject = replace(subject, learned=learn(config, agents, learn_s, tell))
    return replace(facts, clock=compare_clocks(), subject=subject)


def _runs_dir(config: Config | None) -> Path:
    from tuitrain.config.places import runs_dir

    return (runs_dir() if config is None else Path(config.run.out_dir)).absolute()


def _read(path: Path | None, overrides: list[str]) -> tuple[Subject | None, Config | None]:
    """The resolved config, or what is wrong with it."""
    if path is None:
        if overrides:
            raise typer.BadParameter("--set needs a CONFIG")
        return None, None
    from tuitrain.config.load import load_config
    from tuitrain.config.problems import ConfigError
    from tuitrain.config.resolve import resolve, with_runs_dir
    from tuitrain.doctor.examination import Subject
    from tuitrain.doctor.gather import packages
    from tuitrain.doctor.needs import wants_of

    try:
        config = resolve(with_runs_dir(load_config(path, overrides)), source=str(path))
    except ConfigError as error:
        return Subject(str(path), tuple(map(str, error.problems))), None
    subject = Subject(
        str(path),
        env_id=config.env.id,
        network=config.learner.network,
        wants=wants_of(config),
        packages=tuple(packages(config)),
    )
    return subject, config


def _build(
    config: Config | None, tell: Callable[[str], None]
) -> tuple[Torch, dict[str, Any] | None, str]:
    """Torch, environment and network as a fresh process finds them."""
    from tuitrain.cli.building import build
    from tuitrain.doctor.facts import Torch
    from tuitrain.doctor.gather import gpu_there

    said, error = build(config, tell)
    if "torch" not in said:
        return Torch(error=error), None, error
    found = said["torch"]
    torch = Torch(found["version"], found["cuda_build"], tuple(found["devices"]), gpu_there())
    return torch, said.get("report"), error


def _judge_build(
    subject: Subject, config: Config, report: dict[str, Any] | None, error: str
) -> tuple[Subject, int]:
    """The subject with what was built; and how many agents the policy has that has most."""
    from tuitrain.config.problems import ConfigError
    from tuitrain.diagnosis.diagnose import Diagnosis
    from tuitrain.diagnosis.doubts import noted
    from tuitrain.doctor.facts import Built
    from tuitrain.doctor.needs import wants_of
    from tuitrain.measurements import NetworkMeasured
    from tuitrain.workers import stores
    from tuitrain.workers.blueprint import Blueprint

    if report is None:
        return replace(subject, built=Built(error=error or "its process gave no answer")), 1
    try:
        blueprint = Blueprint.from_probe(
            run_id="00000000", run_dir="", lock_path="", config=config, report=report
        )
    except ConfigError as wrong:
        return replace(subject, problems=tuple(map(str, wrong.problems))), 1
    policies = blueprint.spec.policies
    found = map(NetworkMeasured.model_validate, blueprint.networks.values())
    faults = [fault for one in found for fault in one.faults]
    built = Built(
        policies={
            name: f"{p.observation_dtype} {tuple(p.observation_shape)}, {p.n_actions} actions"
            + (f", {len(p.agents)} agents" if len(p.agents) > 1 else "")
            for name, p in policies.items()
        },
        weights_bytes=sum(layout.nbytes for layout in blueprint.weights.values()),
        shm_bytes=stores.needed_bytes(blueprint),
        saved_bytes=blueprint.replay_bytes if blueprint.saves_state else 0,
        process_bytes=report["process_bytes"],
        global_random=tuple(report["global_random"]),
        network_faults=tuple(sorted(faults, key=lambda fault: fault.state == "warn")),
    )
    agents = max(len(policy.agents) for policy in policies.values())
    others = config.env.eval_kwargs if config.eval.enabled else {}
    note = noted(Diagnosis(), config.env.kwargs, others, report["evaluations"])
    built = replace(built, evaluations=" ".join(note.notes))
    return replace(subject, built=built, wants=wants_of(config, len(policies))), agents


def _smoke(config: Config, agents: int, seconds: float, tell: Callable[[str], None]) -> Smoke:
    from tuitrain.cli.smoke import smoke_run
    from tuitrain.config.runs import RunFolderError
    from tuitrain.doctor.facts import Smoke

    try:
        return smoke_run(config, agents, seconds, tell)
    except (RunFolderError, Refused, OSError) as error:
        return Smoke(error=str(error))


def _colour() -> bool:
    plain = os.environ.get("NO_COLOR") or os.environ.get("TERM") in (None, "", "dumb")
    return os.isatty(1) and not plain


def _print(lines: list[str]) -> None:
    encoding = sys.stdout.encoding or "utf-8"
    for line in lines:  # written as it is: click would take the colours out of what is no terminal
        typer.echo(line.encode(encoding, "replace").decode(encoding), color=True)


class _Progress:
    """One line on stderr that is overwritten and, at the end, wiped."""

    def __init__(self, *, shown: bool) -> None:
        self._shown = shown and os.environ.get("TERM") not in (None, "", "dumb")

    def __enter__(self) -> _Progress:
        return self

    def __exit__(self, *_: object) -> None:
        self._write("")

    def tell(self, text: str) -> None:
        """Show what is being done."""
        self._write(f"{text} …")

    def _write(self, text: str) -> None:
        if self._shown:
            sys.stderr.write(f"\r\x1b[K{text}")
            sys.stderr.flush()
