"""`tuitrain config`: check a file and print the schema, without touching anything."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from tuitrain.cli.errors import explained

app = typer.Typer(help="Check configs and see what they may contain.", no_args_is_help=True)

SetOption = Annotated[
    list[str] | None,
    typer.Option(
        "--set",
        metavar="KEY=VALUE",
        help="Override a key, e.g. --set learner.lr=1e-3. May be given often.",
    ),
]


@app.command()
@explained
def check(
    file: Annotated[Path, typer.Argument(help="A TOML file.")],
    overrides: SetOption = None,
    show: Annotated[
        bool, typer.Option("--show", help="Print the config with every default filled in.")
    ] = False,
) -> None:
    """Read a config and report everything that is wrong with it at once."""
    from tuitrain.config.load import load_config, to_toml
    from tuitrain.config.presets import departures
    from tuitrain.config.resolve import resolve

    config = resolve(load_config(file, overrides or []), source=str(file))
    if show:
        typer.echo(to_toml(config), nl=False)
    else:
        typer.echo(f"{file}: fine (environment and network are tried at launch)")
        for departure in departures(config):
            typer.echo(f"  differs from preset {config.algorithm.preset}: {departure}")


@app.command()
def schema() -> None:
    """Print the JSON schema of configs: every key with type, range, default and meaning."""
    from tuitrain.config.load import schema_json

    typer.echo(schema_json())
