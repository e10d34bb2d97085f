"""`launch` and `resume`: from a config to a running supervisor, and what the user then sees."""

from __future__ import annotations

import json
import os
import sys
from pathlib import Path
from typing import Annotated, NoReturn

import typer

from tuitrain.cli.attach import AsciiOption, CompareOption, compared, how_to_return, show
from tuitrain.cli.commands import DEFAULT_RUNS
from tuitrain.cli.config_cmd import SetOption
from tuitrain.cli.errors import Refused, explained
from tuitrain.cli.find import NewestRunArgument, RunsDirOption, find
from tuitrain.cli.killed import killed_lines, last_seen
from tuitrain.config.longer import longer
from tuitrain.config.runs import RunFolder, RunFolderError
from tuitrain.config.schema import Config

HeadlessOption = Annotated[
    bool,
    typer.Option(
        "--headless",
        help="Stay in the foreground and print plain lines. Ctrl-C, or closing the terminal, stops "
        "with a checkpoint.",
    ),
]
JsonOption = Annotated[bool, typer.Option("--json", help="Like --headless, with JSON lines.")]
DetachOption = Annotated[
    bool, typer.Option("--detach", "-d", help="Start the run and return, without the UI.")
]


@explained
def launch(
    config: Annotated[
        Path | None,
        typer.Argument(show_default=False, help="A TOML file; see `tuitrain config schema`."),
    ] = None,
    overrides: SetOption = None,
    schedule: Annotated[
        str | None,
        typer.Option(help="sequential, lockstep or async; short for --set run.schedule=..."),
    ] = None,
    init_from: Annotated[
        str | None,
        typer.Option(
            metavar="PATH",
            help="Begin with the weights of a checkpoint's file, a run, or RUN/best; short for "
            "--set run.init_from=...",
        ),
    ] = None,
    headless: HeadlessOption = False,
    as_json: JsonOption = False,
    detach: DetachOption = False,
    compare: CompareOption = None,
    ascii_only: AsciiOption = False,
) -> None:
    """Start training and open the terminal UI.

    The run lives in a process of its own: closing the terminal does not stop it. Without a
    terminal, or with --headless, it stays in the foreground and prints plain lines instead.

    \b
    Example:
        tuitrain launch configs/cartpole.toml --set run.seed=2 --set learner.lr=1e-3
    """
    from tuitrain.config.load import load_config
    from tuitrain.config.resolve import resolve, with_runs_dir
    from tuitrain.config.runs import create_run
    from tuitrain.supervisor.house.folder_lock import hold_folder
    from tuitrain.supervisor.house.runtime import check_socket_path, root

    if config is None:
        raise Refused(
            "launch what? `tuitrain launch CONFIG.toml`; `tuitrain new my_env.py:make` writes a "
            "config for an environment of yours"
        )
    given = list(overrides or [])
    if schedule is not None:
        given.append(f"run.schedule={schedule}")
    if init_from is not None:
        given.append(f"run.init_from={json.dumps(init_from)}")
    resolved = resolve(with_runs_dir(load_config(config, given)), source=str(config))
    check_socket_path(root() / "00000000" / "sock")  # before anything is created
    other = compared(compare, Path(resolved.run.out_dir))
    _check_beginning(resolved)
    folder = create_run(resolved, command=sys.argv)
    _start(
        folder,
        headless=headless,
        as_json=as_json,
        detach=detach,
        ascii_only=ascii_only,
        compare=other,
        held=hold_folder(folder.path, folder.name),  # so that others see that it starts
    )


def _check_beginning(config: Config) -> None:
    """Refuse weights to begin with that do not fit, before there is a run folder."""
    if config.run.init_from is None:
        return
    from tuitrain.cli.aside import AsideError, ask

    typer.echo(f"looking whether {config.run.init_from} fits", err=True)
    question = json.dumps({"config": json.loads(config.model_dump_json())})
    try:
        ask(
            "tuitrain.workers.asides.examine",
            question,
            lambda said: "report" in said,
            config.supervisor.startup_deadline_s,
        )
    except AsideError as error:
        raise Refused(str(error)) from error


@explained
def resume(
    run: NewestRunArgument = "latest",
    overrides: SetOption = None,
    checkpoint: Annotated[
        str | None,
        typer.Option(
            "--from",
            metavar="N",
            help="Go back: updates of a checkpoint, or its file. Newer ones are put aside.",
        ),
    ] = None,
    runs_dir: RunsDirOption = DEFAULT_RUNS,
    headless: HeadlessOption = False,
    as_json: JsonOption = False,
    detach: DetachOption = False,
    compare: CompareOption = None,
    ascii_only: AsciiOption = False,
) -> None:
    """Go on with an ended run, in its folder, from its newest checkpoint or an earlier one.

    \b
    Examples, to make a finished run longer, and to go on from when it had made 3,000 updates:
        tuitrain resume cartpole-0003 --set run.total_steps=400000
        tuitrain resume cartpole-0003 --from 3000 --set learner.lr=1e-4
    """
    from tuitrain.checkpoint.choice import put_back
    from tuitrain.supervisor.house.folder_lock import hold_folder

    found = find(run, runs_dir)
    if found.tenant is not None:
        raise Refused(
            f"{found.folder.name} is running; `tuitrain attach {found.folder.name}` shows it"
        )
    other = compared(compare, runs_dir)
    folder = found.folder
    held = hold_folder(folder.path, folder.name)  # from here on no other command changes it
    folder.restore_config()  # a resume was killed before its run was up
    if folder.checkpoints.is_dir():
        put_back(folder.checkpoints)
    _prepare(folder, list(overrides or []), checkpoint)
    _start(
        folder,
        headless=headless,
        as_json=as_json,
        detach=detach,
        ascii_only=ascii_only,
        compare=other,
        held=held,
    )


def _prepare(folder: RunFolder, overrides: list[str], checkpoint: str | None) -> None:
    """Make the folder what the run is to go on from, or refuse and leave it as it was."""
    from tuitrain.checkpoint.choice import NoSuchCheckpoint, set_aside
    from tuitrain.config.changes import laid_over
    from tuitrain.config.load import overridden_key
    from tuitrain.config.resolve import changed

    if not any(folder.checkpoints.glob("ckpt-*")):
        raise Refused(
            f"{folder.name} has no checkpoint to go on from; "
            f"`tuitrain launch {folder.config_toml}` starts a new run with its config"
        )
    given = [overridden_key(text) for text in overrides]
    if "run.init_from" in given:
        raise Refused("run.init_from is for new runs: what is resumed has weights of its own")
    config = folder.load_config()
    if overrides:
        config = changed(config, overrides)
        # what was changed in the living run, and is not given anew, must go together with it
        laid_over(config, folder, given)
    chosen = _returned_to(folder) if checkpoint is None else _sound_checkpoint(folder, checkpoint)
    try:
        summary = folder.read_summary()
    except RunFolderError:
        summary = None  # damaged; the checkpoint counts
    done = summary and summary["state"] == "finished" and summary["steps"] >= config.run.total_steps
    if summary and done and chosen is None:
        more = longer(config.run.total_steps, summary["steps"])
        raise Refused(
            f"{folder.name} has done its {config.run.total_steps:,} steps; to go on: "
            f"`tuitrain resume {folder.name} --set run.total_steps={more}`"
        )
    try:
        folder.logs.mkdir(mode=0o700, exist_ok=True)  # logs are big: somebody removed them
        if overrides:
            folder.try_config(config, given)
        newer = [] if chosen is None else set_aside(folder.checkpoints, chosen, best=True)
    except NoSuchCheckpoint as error:
        raise Refused(str(error)) from error
    except OSError as error:
        raise Refused(f"{error.filename} cannot be written: {error.strerror}") from error
    if not folder.summary_json.exists():
        for line in killed_lines(folder, last_seen(folder))[:-1]:  # what to do is being done
            typer.echo(line, err=True)
    for path in newer:
        typer.echo(f"{path.name} is put aside", err=True)


def _returned_to(folder: RunFolder) -> Path | None:
    """The checkpoint that a check that failed had sent the run back to, if it has not got there."""
    from tuitrain.checkpoint.choice import returning_to

    back = returning_to(folder.checkpoints)
    if back is None:
        return None
    told = f"{folder.name} ended on its way back to {back.name} (checks.on_fail)"
    try:
        _sound_checkpoint(folder, back.name)
    except Refused as error:
        typer.echo(f"{told}, which cannot be gone on from: {error}", err=True)
        return None
    typer.echo(f"{told}, and goes on from there; another: --from", err=True)
    return back


def _sound_checkpoint(folder: RunFolder, text: str) -> Path:
    """The checkpoint that is meant; read once, since a damaged one would be passed over later."""
    from tuitrain.checkpoint.choice import NoSuchCheckpoint, choose
    from tuitrain.checkpoint.payload import CheckpointError, load_whole

    try:
        chosen = choose(folder.checkpoints, text)
        load_whole(chosen)
    except (NoSuchCheckpoint, CheckpointError) as error:
        raise Refused(str(error)) from error
    return chosen


def _start(
    folder: RunFolder,
    *,
    headless: bool,
    as_json: bool,
    detach: bool,
    ascii_only: bool,
    compare: Path | None,
    held: int,
) -> None:
    """Args: `held` is the descriptor by which this process holds the folder."""
    if not detach and (headless or as_json or not _on_terminal()):
        _become_supervisor(folder, as_json=as_json, held=held)
    from tuitrain.cli.start import start_detached

    typer.echo(f"starting {folder.name} ({folder.path})", err=True)
    start_detached(folder, lambda text: typer.echo(f"  {text}", err=True), held)
    if detach:
        typer.echo(how_to_return(folder, "is running"))
        return
    found = find(str(folder.path), DEFAULT_RUNS)
    raise typer.Exit(show(found, ascii_only=ascii_only, compare=compare))


def _become_supervisor(folder: RunFolder, *, as_json: bool, held: int) -> NoReturn:
    """This process goes on as the supervisor, so that signals and exit code are its own."""
    from tuitrain.supervisor.ready import command_line
    from tuitrain.supervisor.stop_signals import hold_back

    sys.stdout.flush()
    sys.stderr.flush()
    os.set_inheritable(held, True)
    options = ["--headless", *(["--json"] if as_json else []), "--folder-fd", str(held)]
    command = command_line(folder.path, *options)
    hold_back()  # the new program lets them come once it can obey them
    os.execv(command[0], command)


def _on_terminal() -> bool:
    return all(os.isatty(fd) for fd in (0, 1, 2))
