"""`tuitrain diagnose`: what is wrong with a run, living or not, or with a config; causes first."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from tuitrain.cli.client import BlockingClient
from tuitrain.cli.commands import DEFAULT_RUNS, JsonOption
from tuitrain.cli.config_cmd import SetOption
from tuitrain.cli.errors import EXIT_NOT_DONE, Refused, explained
from tuitrain.cli.find import RUN_DEFAULT, Found, RunsDirOption, find
from tuitrain.cli.runs import OUT_OF_REACH, STATUS_DEADLINE_S, live_snapshot, seen_last
from tuitrain.config.runs import RunFolder

if TYPE_CHECKING:
    from tuitrain.diagnosis.diagnose import Diagnosis, Since
    from tuitrain.diagnosis.ended import Stretch
    from tuitrain.protocol import CheckView, Snapshot
    from tuitrain.supervisor.left import Left

_SILENCE = "heartbeat"
"""The check that is raised by who has not been heard."""


@explained
def diagnose(
    run: Annotated[
        str | None,
        typer.Argument(
            metavar="[RUN|CONFIG]",
            show_default=RUN_DEFAULT,
            help="`latest`, a run's name, its run id while it runs, or its folder; or a TOML file.",
        ),
    ] = None,
    overrides: SetOption = None,
    runs_dir: RunsDirOption = DEFAULT_RUNS,
    as_json: JsonOption = False,
) -> None:
    """Say what is wrong with a run, the likeliest cause first, and what to change.

    A run that lives is asked; of one that has ended, failed or was killed the files are read. Every
    check that is raised is a cause, or follows from one and is listed under it. Of a config it is
    told what it is refused for, or what its plan alone already keeps from learning; a network of
    your own is built in a process of its own and asked.

    \b
    Exit codes: 0 nothing was found, 1 something is wrong (a warning too), 2 wrong usage. Whether it
    learns is another question: with --json, `doubt` is empty only where it is known to.

    \b
    Examples:
        tuitrain diagnose                    why does the run not learn?
        tuitrain diagnose cartpole-0003
        tuitrain diagnose my.toml            why is it refused, or bound to fail?

    Before a run, `tuitrain doctor my.toml --learn` tries whether it can learn at all.
    """
    from tuitrain.diagnosis.words import lines

    if run is not None and run.endswith(".toml"):
        head, found, more = _of_config(Path(run), overrides or [])
    elif overrides:
        raise typer.BadParameter("--set goes with a CONFIG")
    else:
        head, found, more = _of_run(find(run, runs_dir))
    if as_json:
        data = {
            "wrong": [wrong.data() for wrong in found.wrong],
            "ok": [check.id for check in found.ok],
            "not_measured": [check.id for check in found.not_measured],
            "doubt": found.doubt,
            "then": found.then,
            "notes": found.notes,
        }
        typer.echo(json.dumps(more | data))
    else:
        told = lines(found)
        if over := more.get("over"):
            told.append(f"Raised on the way, and no longer: {', '.join(over)}.")
        typer.echo("\n".join([*head, *([""] * bool(told)), *told]))
    raise typer.Exit(EXIT_NOT_DONE if found.wrong else 0)


Answer = tuple[list[str], "Diagnosis", dict[str, Any]]
"""Lines on what is looked at, what is wrong with it, and the same head for a script."""


def _of_config(path: Path, overrides: list[str]) -> Answer:
    from tuitrain.cli.building import build
    from tuitrain.config.load import load_config
    from tuitrain.config.problems import ConfigError
    from tuitrain.config.resolve import resolve
    from tuitrain.diagnosis.checks import CHECKS
    from tuitrain.diagnosis.diagnose import diagnose as ranked
    from tuitrain.diagnosis.diagnose import refused, unbuilt
    from tuitrain.diagnosis.doubts import noted
    from tuitrain.loading import is_reference
    from tuitrain.supervisor.beforehand import planned_trouble

    more = {"config": str(path)}
    try:
        config = resolve(load_config(path, overrides), source=str(path))
    except ConfigError as error:
        return [f"{path}: is refused"], refused(error.problems), more
    networks = tried = None
    others = config.env.eval_kwargs if config.eval.enabled else {}
    # built-in networks are known to be sound, and other settings may not fit them
    if is_reference(config.learner.network) or others:
        said, why = build(config, lambda stage: None)
        if why:
            return [f"{path}: is accepted, but no run can begin:"], unbuilt(why), more
        networks, tried = said["report"]["networks"], said["report"]["evaluations"]
    found = ranked(planned_trouble(config, networks), CHECKS)
    found = noted(found, config.env.kwargs, others, tried)
    told = "but this in its plan or network is in the way:"
    if not found.wrong:
        told = "`tuitrain doctor` tries it, with --learn whether it can learn"
    return [f"{path}: is accepted; {told}"], found, more


def _of_run(run: Found) -> Answer:
    from tuitrain.diagnosis.checks import CHECKS
    from tuitrain.diagnosis.diagnose import diagnose as ranked
    from tuitrain.diagnosis.doubts import doubted, noted
    from tuitrain.diagnosis.ended import stretches
    from tuitrain.diagnosis.unfinished import UNFINISHED, unfinished
    from tuitrain.metrics.sinks import JsonLines
    from tuitrain.protocol import Snapshot
    from tuitrain.supervisor.clients.console import to_go_on
    from tuitrain.supervisor.left import read_left

    folder = run.folder
    left = read_left(folder)
    data = None if run.tenant is None else live_snapshot(run)
    changed = stretches(JsonLines(folder.events_jsonl))
    if data is not None:
        snapshot = Snapshot.model_validate(data)
        state, checks = str(snapshot.state), _asked_where(run, snapshot)
    else:
        snapshot, state, checks = _ended(folder, changed, left)
    found = doubted(ranked(checks, CHECKS, _since(folder, changed)), snapshot)
    if left.config is not None:
        env = left.config.env
        found = noted(found, env.kwargs, env.eval_kwargs, left.tried, snapshot)
    found = replace(found, notes=(*left.notes, *_returns(folder, checks), *found.notes))
    if state in UNFINISHED:
        found = replace(found, wrong=(unfinished(folder.name, state), *found.wrong))
    well = {check.id for check in found.ok}
    listed = {check.id for one in found.wrong for check in (one.check, *one.leads_to)}
    learning = snapshot.learning
    of = f" of {snapshot.total_steps:,}" if snapshot.total_steps else ""
    head = [
        f"{folder.name}: {state}, {snapshot.steps:,}{of} environment steps",
        f"learning {learning.verdict}: {learning.reason}",
    ]
    if data is None and left.summary is not None and left.summary.get("run_dir"):
        how = to_go_on(left.summary)
        head[1:1] = [f"{left.summary.get('reason')}, which is no fault; {told}" for told in how]
    more = {
        "run": folder.name,
        "state": state,
        "steps": snapshot.steps,
        "learning": learning.model_dump(),
        "over": [
            name
            for name, stretch in changed.items()
            if name not in listed and (name in well or not stretch.raised)
        ],
    }
    return head, found, more


def _asked_where(run: Found, snapshot: Snapshot) -> list[CheckView]:
    """The checks of a run that lives; of a worker that has fallen silent with the line it is at.

    It is asked as by `tuitrain stacks`, whose stacks go into its log.
    """
    silent = [p for p in snapshot.processes if p.state == "silent"]
    raised = any(c.id == _SILENCE and c.state != "ok" for c in snapshot.checks)
    if not silent or not raised or run.socket_path is None:
        return snapshot.checks
    worker = max(silent, key=lambda p: p.beat_age_s or 0.0).name
    own = f"{worker}: "
    try:
        with BlockingClient(run.socket_path, STATUS_DEADLINE_S, run.folder.name) as client:
            where = client.ask("stacks", worker=worker).message
    except Refused:  # it has ended since
        return snapshot.checks
    return [
        c.model_copy(update={"advice": f"{where}; {c.advice.removeprefix(own)}"})
        if c.id == _SILENCE
        else c
        for c in snapshot.checks
    ]


def _ended(
    folder: RunFolder, changed: Mapping[str, Stretch], left: Left
) -> tuple[Snapshot, str, list[CheckView]]:
    """Of a run that nobody answers for: its last snapshot, its state, and its checks then.

    As in `tuitrain ls`, one that was ended but whose summary does not say how is `damaged`.
    """
    from tuitrain.diagnosis.ended import at_the_end, checks_of
    from tuitrain.supervisor.postmortem import postmortem

    summary = left.summary
    snapshot = postmortem(folder, summary, left)
    state = str(seen_last(folder)["state"] if summary is None else summary["state"])
    if state == "killed" and folder.summary_json.name in left.damaged:
        state = "damaged"
    if state == OUT_OF_REACH:
        raise Refused(f"{folder.name} lives but is out of reach; see `tuitrain status`")
    return snapshot, state, at_the_end(snapshot.checks, checks_of(summary or {}), changed)


def _returns(folder: RunFolder, checks: Sequence[CheckView]) -> list[str]:
    """That checks have failed of which nothing is raised any more, for all went back to before."""
    from tuitrain.diagnosis.ended import returned_for
    from tuitrain.metrics.sinks import JsonLines

    ids = returned_for(JsonLines(folder.events_jsonl))
    names = {check.id: check.name for check in checks}
    told = ", ".join(dict.fromkeys(names.get(id_, id_) for id_ in ids))
    times = "once" if len(ids) == 1 else f"{len(ids)} times"
    said = f"all were sent back to a checkpoint {times}, because {told} had failed"
    return [f"{said} (checks.on_fail)"] if ids else []


def _since(folder: RunFolder, changed: Mapping[str, Stretch]) -> dict[str, Since]:
    """When each check was raised that is raised still, with the steps that were made by then."""
    from tuitrain.diagnosis.diagnose import Since
    from tuitrain.metrics.rewind import is_number
    from tuitrain.metrics.sinks import JsonLines

    raised = {name: stretch.since_s for name, stretch in changed.items() if stretch.raised}
    steps: dict[str, int] = {}
    for record in JsonLines(folder.metrics_jsonl) if raised else ():
        if record.get("kind") == "eval":  # its steps are those of its weights, of before
            continue
        at, made = record.get("time_s"), record.get("steps")
        for name, since_s in raised.items():
            if is_number(at) and is_number(made) and at <= since_s:
                steps[name] = int(made)
    return {name: Since(since_s, steps.get(name)) for name, since_s in raised.items()}
