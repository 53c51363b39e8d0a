"""Arguments and options that several commands share, and the checks of their values."""

from __future__ import annotations

import json
from typing import Annotated, Any, cast, get_args

import typer

from late_interaction.errors import InvalidFilterError
from late_interaction.index import Mode
from late_interaction.validation import did_you_mean

__all__ = [
    "INDEX_HELP",
    "AsJson",
    "IndexDirectory",
    "ModeName",
    "Password",
    "Quiet",
    "Where",
    "checked_mode",
    "parsed_where",
]

INDEX_HELP = "Directory of the index, or its address, such as qdrant+http://localhost:6333/my-docs or lancedb:FOLDER."
IndexDirectory = Annotated[str, typer.Argument(help=INDEX_HELP, metavar="INDEX")]
AsJson = Annotated[bool, typer.Option("--json", help="Print JSON.")]
Where = Annotated[
    str | None,
    typer.Option("--where", help="""Filter as JSON, for example '{"year": {"$gte": 2020}}'.""", metavar="JSON"),
]
Password = Annotated[
    str | None, typer.Option("--password", help="Password of encrypted PDFs, to load page images.", metavar="TEXT")
]
ModeName = Annotated[str, typer.Option("--mode", help="late, lexical or hybrid.", metavar="MODE")]
Quiet = Annotated[bool, typer.Option("--quiet", "-q", help="Print only errors and warnings.")]


def checked_mode(mode: str) -> Mode:
    """Return a mode of searching.

    Raises:
        typer.BadParameter: It is unknown.
    """
    known = get_args(Mode)
    if mode not in known:
        near = did_you_mean(mode, known)
        raise typer.BadParameter(f"must be one of {', '.join(known)}, got {mode!r}.{near}", param_hint="--mode")
    return cast("Mode", mode)


def parsed_where(where: str | None) -> dict[str, Any] | None:
    """Return the filter that is given as JSON; whether it is a valid filter is for the engine to say.

    Raises:
        InvalidFilterError: It is not JSON.
    """
    if where is None:
        return None
    try:
        parsed: dict[str, Any] = json.loads(where)
    except json.JSONDecodeError as error:
        raise InvalidFilterError(f"--where must be valid JSON: {error}.") from None
    return parsed
