"""The command `transfer`."""

from __future__ import annotations

import dataclasses
import sys
from contextlib import closing, contextmanager
from typing import TYPE_CHECKING, Annotated, Any

import typer

from late_interaction.cli.opening import open_index
from late_interaction.cli.options import AsJson, Quiet
from late_interaction.cli.output import is_watched, note, show, show_json
from late_interaction.engines.registry import open_engine
from late_interaction.errors import IndexNotFoundError, LateInteractionError
from late_interaction.transferring import source_statements, target_statements
from late_interaction.transferring import transfer as transfer_documents
from late_interaction.wording import counted

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence

    from late_interaction.engines import Engine
    from late_interaction.transferring import TransferReport

__all__ = ["transfer"]


def transfer(
    source: Annotated[str, typer.Argument(help="Directory or address of the index to read.", metavar="SOURCE")],
    target: Annotated[
        str, typer.Argument(help="Directory or address of the index to write; created if missing.", metavar="TARGET")
    ],
    encode_again: Annotated[  # noqa: FBT002
        bool, typer.Option("--encode-again", help="Encode the documents again, instead of copying stored vectors.")
    ] = False,
    verify: Annotated[
        int, typer.Option("--verify", help="Number of queries to compare both with at the end.", min=0, metavar="N")
    ] = 100,
    yes: Annotated[bool, typer.Option("--yes", "-y", help="Do not ask.")] = False,  # noqa: FBT002
    quiet: Quiet = False,  # noqa: FBT002
    as_json: AsJson = False,  # noqa: FBT002
) -> None:
    """Copy an index into another one, with its vectors.

    Example: late-interaction transfer my-docs qdrant+http://localhost:6333/my-docs

    Says first what a compressed index can give, and asks whether to go on, if there is somebody to ask. An interrupted
    run keeps what it has copied, and the same command goes on from there. Documents that only TARGET has stay. At the
    end, both are searched with the same queries and compared.

    The exit status is 1 if documents are missing at the end.
    """
    with open_index(source) as opened:
        said = source_statements(opened.engine, encodes=encode_again)
        _say(said, quiet=quiet)
        if said and not (yes or quiet) and _is_answered():
            typer.confirm("Copy the stored vectors?", default=True, abort=True, err=True)
        encoder = opened.encoder if encode_again else None
        with closing(_opened_target(target, opened.engine)) as engine, _what_is_kept(engine):
            of_target = target_statements(opened.engine, engine)
            _say(of_target, quiet=quiet)
            progress = is_watched() and not quiet
            report = transfer_documents(opened.engine, engine, encoder=encoder, progress=progress, verify=verify)
    _show(report, [*said, *of_target], quiet=quiet, as_json=as_json)
    if report.missing:
        raise typer.Exit(1)


def _is_answered() -> bool:
    """Return whether there is somebody to ask."""
    return sys.stdin.isatty()


def _opened_target(target: str, source: Engine) -> Engine:
    """Open the target for writing; create it, with the language of the source, if there is none."""
    try:
        return open_engine(target)
    except IndexNotFoundError:
        info = source.info()
        settings: dict[str, Any] = {"language": info["language"]} if "language" in info else {}
        return open_engine(target, dim=source.dim, **settings)


@contextmanager
def _what_is_kept(target: Engine) -> Iterator[None]:
    """If the block is interrupted, say what the target contains and how to go on."""
    try:
        yield
    except KeyboardInterrupt:
        try:
            number = target.count()
        except LateInteractionError:  # of a server, for example, that is gone
            raise KeyboardInterrupt("Interrupted. Run the same command again to go on.") from None
        verb = "is" if number == 1 else "are"
        raise KeyboardInterrupt(
            f"Interrupted. {counted(number, 'document')} {verb} in the target. Run the same command again to go on."
        ) from None


def _say(statements: Sequence[str], *, quiet: bool) -> None:
    for statement in () if quiet else statements:
        note(statement)


def _show(report: TransferReport, said: Sequence[str], *, quiet: bool, as_json: bool) -> None:
    if as_json:
        show_json(dataclasses.asdict(report))
        return
    notes = tuple(sentence for sentence in report.notes if sentence not in said)
    for line in () if quiet else str(dataclasses.replace(report, notes=notes)).splitlines():
        show(line)
