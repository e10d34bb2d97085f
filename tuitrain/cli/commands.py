"""Commands to a living run. Each returns when every worker concerned has carried it out."""

from __future__ import annotations

import json
import os
import sys
import time
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any, Literal

import typer

from tuitrain.cli.errors import EXIT_NOT_DONE, Refused, explained
from tuitrain.cli.find import Found, RunArgument, RunsDirOption, every, find

if TYPE_CHECKING:
    from tuitrain.protocol import Command

JsonOption = Annotated[bool, typer.Option("--json", help="Print the whole answer as JSON.")]
RunName = Annotated[
    str | None,
    typer.Argument(metavar="RUN", show_default=False, help="As in every command; no default."),
]
WorkerName = Annotated[
    str | None,
    typer.Argument(metavar="WORKER", show_default=False, help="As `status` names it."),
]
DEFAULT_RUNS = Path("runs")
GONE_DEADLINE_S = 15.0


@explained
def pause(
    run: RunArgument = None, runs_dir: RunsDirOption = DEFAULT_RUNS, as_json: JsonOption = False
) -> None:
    """Hold training: every worker stops between two units of work and says so."""
    _command("pause", run, runs_dir, as_json)


@explained
def unpause(
    run: RunArgument = None, runs_dir: RunsDirOption = DEFAULT_RUNS, as_json: JsonOption = False
) -> None:
    """Let a paused run go on."""
    _command("unpause", run, runs_dir, as_json)


@explained
def resync(
    run: RunArgument = None, runs_dir: RunsDirOption = DEFAULT_RUNS, as_json: JsonOption = False
) -> None:
    """Ask every worker which weights it holds, and compare version and bytes.

    Actors of an `async` run take the newest weights first. Fails if two workers hold different
    bytes under one version.
    """
    _command("resync", run, runs_dir, as_json)


@explained
def checkpoint(
    run: RunArgument = None, runs_dir: RunsDirOption = DEFAULT_RUNS, as_json: JsonOption = False
) -> None:
    """Write a checkpoint now and print its path."""
    _command("checkpoint", run, runs_dir, as_json)


@explained
def evaluate(
    run: RunArgument = None, runs_dir: RunsDirOption = DEFAULT_RUNS, as_json: JsonOption = False
) -> None:
    """Let the evaluator of a running run play its newest weights now, and print the result.

    It counts as one of the run's own evaluations. `tuitrain eval` plays a checkpoint beside the
    run, and changes nothing of it.
    """
    _command("evaluate", run, runs_dir, as_json)


@explained
def set_values(
    run: RunName = None,
    values: Annotated[
        list[str] | None,
        typer.Argument(
            metavar="KEY=VALUE...",
            show_default=False,
            help="Keys as in the config; the last word of one is enough.",
        ),
    ] = None,
    runs_dir: RunsDirOption = DEFAULT_RUNS,
    as_json: JsonOption = False,
) -> None:
    """Change keys of the config while a run goes on, all of them or none.

    Learning rate, epsilon's floor, replay ratio, evaluation interval and log level. What is changed
    survives deaths and resumes; config.toml stays as it was given.

    \b
    Example:
        tuitrain set cartpole learner.lr=1e-4 eval.every_steps=5000
    """
    if run is None:
        raise Refused("which run, and what? `tuitrain set latest learner.lr=1e-4`")
    if "=" in run:
        raise Refused(f"which run? `tuitrain set latest {' '.join([run, *(values or [])])}`")
    _command("set", run, runs_dir, as_json, values=values or [])


@explained
def restart(
    run: RunName = None,
    worker: WorkerName = None,
    yes: Annotated[bool, typer.Option("--yes", help="Do not ask.")] = False,
    runs_dir: RunsDirOption = DEFAULT_RUNS,
    as_json: JsonOption = False,
) -> None:
    """End one worker and start it again: `a0`, `learner`, `eval`, as `status` names them.

    Says what that costs, and asks. In `async` the others go on; in `lockstep` and `sequential` all
    go back to the newest checkpoint. It does not count as a death.
    """
    from tuitrain.cli.client import BlockingClient
    from tuitrain.diagnosis.restarting import cost_of_restart
    from tuitrain.protocol import Snapshot

    run, worker = _one_worker("restart", run, worker)
    found = living(run, runs_dir)
    if not yes:
        assert found.socket_path is not None
        with BlockingClient(found.socket_path, name=found.folder.name) as client:
            snapshot = Snapshot.model_validate(client.ask("status").result["snapshot"])
        names = [process.name for process in snapshot.processes]
        if worker not in names:
            raise Refused(f"there is no worker {worker!r}; there are {', '.join(names)}")
        if not sys.stdin.isatty():
            raise Refused(f"`restart` asks first; `tuitrain restart {run} {worker} --yes`")
        if words := cost_of_restart(snapshot, worker):
            typer.echo(f"{worker}: {words}")
        if not typer.confirm(f"restart {worker}?"):
            raise Refused(f"{worker} goes on")
    _command("restart", run, runs_dir, as_json, worker=worker)


@explained
def stacks(
    run: RunName = None,
    worker: WorkerName = None,
    runs_dir: RunsDirOption = DEFAULT_RUNS,
    as_json: JsonOption = False,
) -> None:
    """Write the stacks of all threads of one worker into its log, and say where it stands.

    The worker goes on. --json has the stack of its main thread too.
    """
    run, worker = _one_worker("stacks", run, worker)
    _command("stacks", run, runs_dir, as_json, worker=worker)


def _one_worker(command: str, run: str | None, worker: str | None) -> tuple[str, str]:
    """Which run and which of its workers; refused with an example where either is not said."""
    if run is None or worker is None:
        raise Refused(
            f"which worker of which run? `tuitrain {command} {run or 'latest'} a0`; `tuitrain "
            f"status {run or 'latest'}` names its workers"
        )
    return run, worker


@explained
def stop(
    run: RunArgument = None,
    runs_dir: RunsDirOption = DEFAULT_RUNS,
    no_checkpoint: Annotated[
        bool, typer.Option("--no-checkpoint", help="Stop without saving first.")
    ] = False,
    as_json: JsonOption = False,
) -> None:
    """Stop a run, with a checkpoint unless told otherwise; `resume` goes on from it.

    Returns when its processes, shared memory and socket are gone.
    """
    _end(living(run, runs_dir), "stop", as_json, checkpoint=not no_checkpoint)


@explained
def kill(
    run: RunName = None,
    yes: Annotated[
        bool,
        typer.Option(
            "--yes", help="Do not ask for the run's name; RUN is to be all of it, or `latest`."
        ),
    ] = False,
    runs_dir: RunsDirOption = DEFAULT_RUNS,
    as_json: JsonOption = False,
) -> None:
    """End a run at once, without a checkpoint: what it did since its last one is lost.

    Asks for the run's name to be typed, unless --yes says that you are sure; then RUN is not cut
    short. Returns when its processes, shared memory and socket are gone.
    """
    if run is None:
        raise Refused("which run? `tuitrain ls` lists all; `tuitrain kill NAME`")
    found = living(run, runs_dir)
    name = found.folder.name
    if yes and not _is_all_of(run, found):
        raise Refused(f"--yes asks nobody, so say the whole name: `tuitrain kill {name} --yes`")
    if not yes:
        if not sys.stdin.isatty():
            raise Refused(f"`kill` asks a person for the run's name; `tuitrain kill {name} --yes`")
        if typer.prompt(f"type {name} to kill it") != name:
            raise Refused(f"that is not its name; {name} goes on")
    _end(found, "kill", as_json)


def _is_all_of(text: str, found: Found) -> bool:
    """Whether nothing of it was left for us to guess."""
    assert found.tenant is not None
    return text in ("latest", found.folder.name, found.tenant.run_id) or os.sep in text


def _end(found: Found, command: Literal["stop", "kill"], as_json: bool, **args: Any) -> None:
    from tuitrain.cli.client import BlockingClient

    assert found.socket_path is not None
    with BlockingClient(found.socket_path, name=found.folder.name) as client:
        reply = client.ask(command, **args)
        client.wait_for_end()
    _wait_until_gone(found)
    _print(found, reply.ok, reply.message, reply.model_dump(mode="json"), as_json)


def living(run: str | None, runs_dir: Path) -> Found:
    """The run meant, which must have a supervisor.

    Raises:
        Refused: it is not running; names those that are.
    """
    found = find(run, runs_dir)
    if found.tenant is None:
        others = [one.folder.name for one in every(runs_dir) if one.tenant is not None]
        told = f"say which: {' or '.join(others)}" if others else "`tuitrain ls` lists all runs"
        if run is None and not others:
            newest = f"{found.folder.name} is the newest made, and is not running"
            raise Refused(f"nothing runs in {runs_dir.absolute()}: {newest}; {told}")
        raise Refused(f"{found.folder.name} is not running; {told}")
    return found


def _command(name: Command, run: str | None, runs_dir: Path, as_json: bool, **args: Any) -> None:
    from tuitrain.cli.client import BlockingClient

    found = living(run, runs_dir)
    assert found.socket_path is not None
    with BlockingClient(found.socket_path, name=found.folder.name) as client:
        reply = client.ask(name, **args)
    _print(found, reply.ok, reply.message, reply.model_dump(mode="json"), as_json)


def _print(found: Found, ok: bool, message: str, whole: object, as_json: bool) -> None:
    if as_json:
        typer.echo(json.dumps(whole))
    else:
        typer.echo(f"{found.folder.name}: {message}", err=not ok)
    if not ok:
        raise typer.Exit(EXIT_NOT_DONE)


def _wait_until_gone(found: Found) -> None:
    """The supervisor removes its folder as its very last act, and then only has to exit."""
    from tuitrain.supervisor.house.house import tenants

    assert found.tenant is not None
    deadline = time.monotonic() + GONE_DEADLINE_S
    while any(t.run_id == found.tenant.run_id for t in tenants()) or _runs(found.tenant.pid):
        if time.monotonic() > deadline:
            raise Refused(f"process {found.tenant.pid} has stopped its run but does not end")
        time.sleep(0.02)


def _runs(pid: int) -> bool:
    """Whether a process is there and is more than an exit code that nobody has fetched."""
    import psutil

    try:
        return psutil.Process(pid).status() != psutil.STATUS_ZOMBIE
    except psutil.NoSuchProcess:
        return False
