"""The command line: ``late-interaction``."""

from __future__ import annotations

import json
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any, cast, get_args

import typer
from rich.console import Console
from rich.table import Table
from rich.text import Text

from late_interaction import Index, __version__
from late_interaction.compatibility import as_encoder, modalities
from late_interaction.encoders.minilm import MINILM
from late_interaction.errors import IndexNotFoundError, InvalidFilterError, InvalidRequestError, LateInteractionError
from late_interaction.index import Mode
from late_interaction.ingestion import update
from late_interaction.readers import read_paths
from late_interaction.readers.folders import check_paths
from late_interaction.readers.kinds import suffixes_of
from late_interaction.terminal import show_explanation, show_hit

if TYPE_CHECKING:
    from PIL.Image import Image

__all__ = ["app"]

app = typer.Typer(
    help="Late-interaction retrieval over one local index.",
    no_args_is_help=True,
    pretty_exceptions_enable=False,
    rich_markup_mode=None,
)
console = Console()
errors = Console(stderr=True)

IndexDirectory = Annotated[Path, typer.Argument(help="Directory of the index.", metavar="DIR")]
AsJson = Annotated[bool, typer.Option("--json", help="Print JSON.")]


@contextmanager
def _reported() -> Iterator[None]:
    """Errors made for people are shown as one line, not as a traceback."""
    try:
        yield
    except LateInteractionError as error:
        errors.print(Text.assemble(("Error: ", "bold red"), str(error)), soft_wrap=True)
        raise typer.Exit(1) from None


@app.callback(invoke_without_command=True)
def main(version: Annotated[bool, typer.Option("--version", help="Print the version and exit.")] = False) -> None:  # noqa: FBT002
    """Late-interaction retrieval over one local index."""
    if version:
        typer.echo(__version__)
        raise typer.Exit


@app.command()
def demo() -> None:
    """Index the Python language reference offline and ask it questions through LangChain and LlamaIndex."""
    with _reported():
        from late_interaction.demo import run

        run(console)


@app.command()
def index(
    paths: Annotated[
        list[Path],
        typer.Argument(help="Files and folders: .txt .md .rst .html .pdf .png .jpg .tif .webp", metavar="PATH..."),
    ],
    directory: Annotated[Path, typer.Option("--index", help="Directory of the index.", metavar="DIR")],
    encoder: Annotated[
        str | None,
        typer.Option(help=f"Name or path of the encoder. [default: the index's own; {MINILM} for a new one]"),
    ] = None,
    bits: Annotated[int | None, typer.Option(help="Of a new index: 1, 2, 4 or 8 per dimension. [default: 4]")] = None,
    pooling: Annotated[int | None, typer.Option(help="Of a new index: tokens that share a vector.")] = None,
    dim: Annotated[int | None, typer.Option(help="Of a new index: leading dimensions to keep.")] = None,
    keep_images: Annotated[bool, typer.Option("--keep-images", help="Keep thumbnails of page images.")] = False,  # noqa: FBT002
) -> None:
    """Index files, or bring an index up to date with them: only what has changed is encoded.

    What the encoder reads decides: text (of PDFs, the text on their pages), page images (PDFs and image files), or
    both.
    """
    with _reported():
        skipped: set[str] = set()

        def report(path: Path, reason: str) -> None:
            skipped.add(path.as_posix())
            errors.print(f"Skipped {path}: {reason}", highlight=False, soft_wrap=True, markup=False)

        check_paths(paths)  # a mistyped one is an error before anything is opened
        settings: dict[str, Any] = {"bits": "default" if bits is None else bits, "pooling": pooling, "dim": dim}
        with _open_for_writing(directory, encoder, settings, paths) as opened:
            passages = read_paths(paths, modalities=opened.modalities, keep_images=keep_images, on_skip=report)
            changes = update(opened, passages, roots=paths, keep=skipped, progress=True, on_skip=report)
            console.print(
                f"{changes.added} passages added or replaced, {changes.unchanged} unchanged, "
                f"{changes.deleted} deleted; {len(skipped)} files skipped. The index holds {len(opened)}.",
                highlight=False,
            )


@app.command()
def search(
    directory: IndexDirectory,
    query: Annotated[str, typer.Argument(help="What to search for.")],
    k: Annotated[int, typer.Option("-k", help="How many hits.", min=1)] = 5,
    where: Annotated[str | None, typer.Option(help="""Filter as JSON: '{"year": {"$gte": 2020}}'.""")] = None,
    mode: Annotated[str, typer.Option(help="late, lexical or hybrid.")] = "late",
    as_json: AsJson = False,  # noqa: FBT002
) -> None:
    """Search an index."""
    with _reported():
        if mode not in get_args(Mode):
            raise typer.BadParameter(f"{mode!r} is none of {', '.join(get_args(Mode))}.", param_hint="--mode")
        with Index.open(directory, read_only=True) as opened:
            hits = opened.search(query, k, where=_parse_where(where), mode=cast("Mode", mode))
            if as_json:
                rows = [
                    {
                        "id": hit.id,
                        "score": hit.score,
                        "relevance": hit.relevance,
                        "text": hit.text,
                        "metadata": hit.metadata,
                    }
                    for hit in hits
                ]
                typer.echo(json.dumps(rows, ensure_ascii=False, indent=2))
            elif not hits:
                console.print("No hits.")
            else:
                texts = [hit.id for hit in hits if hit.document.image is None]
                explained = {} if mode == "lexical" else opened.explain_many(query, texts)
                for hit in hits:
                    show_hit(console, hit, explained.get(hit.id))


@app.command()
def explain(
    directory: IndexDirectory,
    query: Annotated[str, typer.Argument(help="What was searched for.")],
    document: Annotated[str, typer.Argument(help="The id of a document.", metavar="ID")],
    heatmap: Annotated[Path | None, typer.Option(help="Save the page with what matches lit.", metavar="PNG")] = None,
    as_json: AsJson = False,  # noqa: FBT002
) -> None:
    """Show which words of a document, or which patches of a page, the words of a query meet."""
    with _reported(), Index.open(directory, read_only=True) as opened:
        explanation = opened.explain(query, document)
        if heatmap is not None:
            _save(explanation.heatmap(), heatmap)
        if as_json:
            values = {"id": document, "score": explanation.score, "text": explanation.document.text_to_encode}
            typer.echo(json.dumps({**values, "spans": explanation.to_dicts()}, ensure_ascii=False, indent=2))
        else:
            show_explanation(console, explanation)


@app.command()
def info(directory: IndexDirectory, as_json: AsJson = False) -> None:  # noqa: FBT002
    """Show the size and the settings of an index."""
    with _reported(), Index.open(directory, read_only=True) as opened:
        values = opened.info()
        if as_json:
            typer.echo(json.dumps(values, ensure_ascii=False, indent=2))
            return
        encoder = (values.pop("encoder") or {}).get("source") or "of the user's own"
        table = Table(show_header=False, box=None)
        for key, value in {**values, "encoder": encoder}.items():
            shown = f"{value:,}" if isinstance(value, int) else str(value)
            table.add_row(key.replace("_", " "), shown)
        console.print(table)


@app.command()
def verify(directory: IndexDirectory, as_json: AsJson = False) -> None:  # noqa: FBT002
    """Read every byte of an index back and compare it with its checksum; the exit status is 1 if one is wrong."""
    with _reported(), Index.open(directory, read_only=True) as opened:
        found = opened.verify()
        if as_json:
            typer.echo(json.dumps({"ok": bool(found), "problems": list(found.problems)}, ensure_ascii=False, indent=2))
        else:
            for problem in found.problems or ("Nothing is wrong.",):
                console.print(problem, highlight=False, soft_wrap=True, markup=False)
        if not found:
            raise typer.Exit(1)


@app.command()
def compact(directory: IndexDirectory) -> None:
    """Give back the room of deleted documents, compress what is still exact, and merge all segments into one."""
    with _reported(), Index.open(directory) as opened:
        before = opened.info()["vector_bytes"]
        opened.compact()
        after = opened.info()["vector_bytes"]
        console.print(f"{before / 1e6:,.1f} MB of vectors are now {after / 1e6:,.1f} MB.", highlight=False)


def _open_for_writing(directory: Path, encoder: str | None, settings: dict[str, Any], paths: list[Path]) -> Index:
    try:
        opened = Index.open(directory, **settings)
    except IndexNotFoundError:
        loaded = as_encoder(MINILM if encoder is None else encoder)
        check_paths(paths, suffixes_of(modalities(loaded)))  # before there is an index that is of the wrong kind
        return Index.open(directory, encoder=loaded, **settings)
    if encoder is None:
        return opened
    opened.close()
    return Index.open(directory, encoder=encoder, **settings)


def _save(image: Image, path: Path) -> None:
    try:
        image.save(path)
    except (OSError, ValueError) as error:  # ValueError: no such kind of image
        raise InvalidRequestError(f"The heatmap cannot be saved as {path}: {error}.") from None


def _parse_where(where: str | None) -> dict[str, Any] | None:
    if where is None:
        return None
    try:
        parsed: dict[str, Any] = json.loads(where)
    except json.JSONDecodeError as error:
        raise InvalidFilterError(f"--where is not JSON: {error}.") from None
    return parsed
