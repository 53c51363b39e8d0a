"""The command `import-index`."""

from __future__ import annotations

import dataclasses
from contextlib import closing, contextmanager
from typing import TYPE_CHECKING, Annotated

import typer

from late_interaction.cli.bits import BITS_HELP, bits_setting
from late_interaction.cli.options import INDEX_HELP, AsJson, Quiet
from late_interaction.cli.output import is_watched, show, show_json
from late_interaction.errors import LateInteractionError
from late_interaction.index import Index
from late_interaction.wording import counted

if TYPE_CHECKING:
    from collections.abc import Iterator

__all__ = ["import_index"]


def import_index(
    source: Annotated[
        str, typer.Argument(help="Folder of an index of another tool, or of token vectors.", metavar="SOURCE")
    ],
    directory: Annotated[str, typer.Option("--index", help=f"{INDEX_HELP} Created if missing.", metavar="INDEX")],
    documents: Annotated[
        str | None,
        typer.Option(
            help="JSONL or TSV file of the documents in the order of the source, if it keeps no texts.", metavar="FILE"
        ),
    ] = None,
    encoder: Annotated[
        str | None,
        typer.Option(
            help="Name or path of the encoder that made the vectors. It is compared with them, and the index remembers "
            "it.",
            metavar="NAME",
        ),
    ] = None,
    bits: Annotated[str | None, typer.Option(help=BITS_HELP, metavar="BITS")] = None,
    verify: Annotated[
        int,
        typer.Option("--verify", help="Number of queries to measure the loss with at the end.", min=0, metavar="N"),
    ] = 100,
    quiet: Quiet = False,  # noqa: FBT002
    as_json: AsJson = False,  # noqa: FBT002
) -> None:
    """Import an index of another tool, or a folder of token vectors, without encoding again.

    Example: late-interaction import-index .ragatouille/colbert/indexes/docs --index my-docs

    Recognizes indexes of colbert-ai, RAGatouille, fast-plaid, PyLate, xtr-warp-rs and byaldi, and folders of .npy, .npz
    or .safetensors files. Nothing in SOURCE is trusted: no code in it runs. An interrupted run keeps what it has
    imported, and the same command goes on from there. At the end, the loss is measured.
    """
    from late_interaction.importers import import_index as import_documents  # other commands do not need importers

    with _what_is_kept(directory):
        report = import_documents(
            source,
            directory,
            documents=documents,
            encoder=encoder,
            bits=bits_setting(bits),
            verify=verify,
            progress=is_watched() and not quiet,
        )
    if as_json:
        show_json(dataclasses.asdict(report))
        return
    for line in () if quiet else str(report).splitlines():
        show(line)


@contextmanager
def _what_is_kept(directory: str) -> Iterator[None]:
    """If the block is interrupted, say what the index contains and how to go on."""
    try:
        yield
    except KeyboardInterrupt:
        try:
            with closing(Index.open(directory, read_only=True)) as index:
                number = len(index)
        except LateInteractionError:  # there is none yet, or its server is gone
            raise KeyboardInterrupt("Interrupted. Run the same command again to go on.") from None
        verb = "is" if number == 1 else "are"
        raise KeyboardInterrupt(
            f"Interrupted. {counted(number, 'document')} {verb} in the index. Run the same command again to go on."
        ) from None
