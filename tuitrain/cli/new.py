"""`tuitrain new`: from an environment to a config that trains on it."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from tuitrain.cli.errors import Refused, explained

ATARI = "ALE/"
"""Namespace of Atari's gymnasium ids."""


@explained
def new(
    env: Annotated[
        str | None,
        typer.Argument(
            metavar="ENV",
            show_default=False,
            help="package.module:factory, file.py:factory, or a gymnasium id.",
        ),
    ] = None,
    kwargs: Annotated[
        list[str] | None,
        typer.Option(
            "--kwarg",
            metavar="NAME=VALUE",
            help="An argument of the factory, e.g. --kwarg size=12. May be given often.",
        ),
    ] = None,
    name: Annotated[
        str | None, typer.Option(help="Of the file (NAME.toml) and of its runs.")
    ] = None,
) -> None:
    """Write a commented config for an environment into the current folder.

    The environment is built, reset and stepped a little in a process of its own. What it looks like
    decides the network and the numbers to start from; each line of the file says what it is for. An
    existing file is never overwritten.

    \b
    Examples:
        tuitrain new CartPole-v1
        tuitrain new my_env.py:make --kwarg size=12
        tuitrain new my_package.envs:make_maze --name maze
        tuitrain new MinAtar/Breakout-v1        (pip install 'tuitrain[minatar]')
        tuitrain new ALE/Pong-v5                (pip install 'tuitrain[atari]')

    \b
    A factory takes keyword arguments and returns a gymnasium.Env (Box, Discrete, Dict or Tuple
    observations, Discrete actions), a multi-agent environment (PettingZoo's parallel or AEC
    API), or a world whose agents take turns:
        def make(size: int = 8) -> gymnasium.Env:
            return MyEnv(size)
    """
    from tuitrain.cli.look import look_at
    from tuitrain.config.emit import emit_value
    from tuitrain.config.load import config_from, parse_config
    from tuitrain.config.resolve import resolve
    from tuitrain.config.starter import choose_network, name_for, starter

    if env is None:
        raise Refused("for which environment? `tuitrain new my_env.py:make` or `... CartPole-v1`")
    given = list(kwargs or [])
    if env.startswith(ATARI):
        # raw Atari is nothing to learn from: frames are to be skipped, cropped to grey and shrunk
        game = env.removeprefix(ATARI).removesuffix("-v5")
        env, given = "tuitrain.envs.atari:make", [f"game={game}", *given]
        name = f"atari-{game.lower()}" if name is None else name
    name = name_for(env) if name is None else name
    path = Path(f"{name}.toml")
    _refuse_existing(path)
    overrides = [f"env.id={emit_value(env)}", *(f"env.kwargs.{item}" for item in given)]
    config = config_from({"run": {"name": name}}, overrides)
    resolve(config)  # a file that is not there is told before anything is started
    seen = look_at(config.env)
    text = starter(seen, name)
    resolve(parse_config(text, str(path)))  # a file that cannot be launched is never written
    _write(path, text)
    for policy_name, policy in seen.policies.items():
        whose = f"{policy_name}: " if len(seen.policies) > 1 else ""
        first, *layout = policy.described()
        typer.echo("\n".join([whose + first, *layout, f"  {policy.played()}"]))
        if unpaid := policy.unpaid():
            typer.echo(f"  {unpaid}", err=True)
    network = choose_network(list(seen.policies.values()))
    typer.echo(f'wrote {path} (network = "{network}")')
    pad = " " * len(str(path))
    typer.echo(
        "\nNext:\n"
        f"    tuitrain launch {path}          train, and watch it\n"
        f"    tuitrain doctor {path}          see first whether all will go well\n"
        f"    tuitrain config check {path}    after an edit\n"
        f"    tuitrain config schema {pad}   every key there is"
    )


def _refuse_existing(path: Path) -> None:
    if path.exists() or path.is_symlink():
        raise Refused(f"{path} exists and is not overwritten; give another --name")


def _write(path: Path, text: str) -> None:
    """A new file with all of `text`, or none.

    Raises:
        Refused: it exists (also if it came while the environment was looked at), or cannot be
            written.
    """
    try:
        with open(path, "xb") as file:
            try:
                file.write(text.encode())
                file.flush()
            except OSError:
                path.unlink()
                raise
    except FileExistsError:
        _refuse_existing(path)
    except OSError as error:
        raise Refused(f"cannot write {path}: {error.strerror}") from None
