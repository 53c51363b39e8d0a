"""The program ``late-interaction``, without its commands."""

from __future__ import annotations

from typing import Annotated

import typer

from late_interaction import __version__
from late_interaction.cli.output import Commands

__all__ = ["app"]

app = typer.Typer(
    cls=Commands,
    help="Late-interaction retrieval over an index in a directory or a database.",
    context_settings={"help_option_names": ["-h", "--help"]},
    no_args_is_help=True,
    pretty_exceptions_enable=False,
    rich_markup_mode=None,
)


@app.callback(invoke_without_command=True)
def main(version: Annotated[bool, typer.Option("--version", help="Print the version and exit.")] = False) -> None:  # noqa: FBT002
    """Late-interaction retrieval over an index in a directory or a database."""
    if version:
        typer.echo(__version__)
        raise typer.Exit
