"""The commands of ``late-interaction``."""

from __future__ import annotations

import json
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any, cast, get_args

import typer
from rich.table import Table
from rich.text import Text

from late_interaction import Index, __version__
from late_interaction.cli.output import Commands, console, show, show_json, show_skipped
from late_interaction.cli.printable import printable
from late_interaction.cli.terminal import show_explanation, show_hit
from late_interaction.encoders.minilm import MINILM
from late_interaction.errors import IndexNotFoundError, InvalidFilterError, InvalidRequestError
from late_interaction.index import Mode
from late_interaction.index_encoder import as_encoder, modalities
from late_interaction.ingestion import update
from late_interaction.ingestion.roots import Roots, is_folder, real_path
from late_interaction.readers import read_paths
from late_interaction.readers.folders import check_paths
from late_interaction.readers.kinds import suffixes_of

if TYPE_CHECKING:
    from collections.abc import Sequence

    from PIL.Image import Image

__all__ = ["app"]

app = typer.Typer(
    cls=Commands,
    help="Late-interaction retrieval over one local index.",
    no_args_is_help=True,
    pretty_exceptions_enable=False,
    rich_markup_mode=None,
)

IndexDirectory = Annotated[Path, typer.Argument(help="Directory of the index.", metavar="DIR")]
AsJson = Annotated[bool, typer.Option("--json", help="Print JSON.")]


@app.callback(invoke_without_command=True)
def main(version: Annotated[bool, typer.Option("--version", help="Print the version and exit.")] = False) -> None:  # noqa: FBT002
    """Late-interaction retrieval over one local index."""
    if version:
        typer.echo(__version__)
        raise typer.Exit


@app.command()
def demo() -> None:
    """Index the Python language reference offline and ask it questions through LangChain and LlamaIndex."""
    from late_interaction.cli.demo import run

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
    allow_empty: Annotated[  # noqa: FBT002
        bool, typer.Option("--allow-empty", help="Delete all passages of a PATH that has no files any more.")
    ] = False,
    moved: Annotated[
        list[str] | None,
        typer.Option("--root", help="Where a folder is now that was indexed and has moved.", metavar="[LABEL=]DIR"),
    ] = None,
) -> None:
    """Index files, or bring an index up to date with them: only what has changed is encoded.

    What the encoder reads decides: text (of PDFs, the text on their pages), page images (PDFs and image files), or
    both. The index remembers the folder that files were read from. Passages of a file that is gone are deleted if the
    file was read from that folder and is below a PATH. A PATH that has no files any more is an error, and a folder
    that is empty now is skipped, since an unmounted disk looks the same; see --allow-empty.
    """
    skipped: set[Path] = set()

    def report(path: Path, reason: str) -> None:
        skipped.add(path)
        show_skipped(path, reason)

    check_paths(paths)  # a mistyped one is an error before anything is opened
    settings: dict[str, Any] = {"bits": "default" if bits is None else bits, "pooling": pooling, "dim": dim}
    with _open_for_writing(directory, encoder, settings, paths, moved or ()) as opened:
        for where in moved or ():
            Roots(opened.engine).move(where)
        known = {root.number for root in Roots(opened.engine)}
        places = [real_path(path) for path in paths]
        changes = update(
            opened,
            read_paths(places, modalities=opened.modalities, keep_images=keep_images, on_skip=report),
            roots=places,
            keep=skipped,
            allow_empty=allow_empty,
            progress=True,
            on_skip=report,
        )
        show(
            f"{changes.added} passages added or replaced, {changes.unchanged} unchanged, "
            f"{changes.deleted} deleted; {len(skipped)} files skipped. The index holds {len(opened)}."
        )
        if changes.updated:
            show(f"{changes.updated} passages have new metadata or a page image in another place.")
        if changes.unknown_root:
            show(
                f"{changes.unknown_root} passages were indexed by an earlier release, which did not record the "
                "folder. They are never deleted."
            )
        for root in Roots(opened.engine):
            if root.label and root.number not in known:
                show(f"Files in {root.path} are named {root.name_of(root.path / 'PATH')}.")
            if not is_folder(root.path):
                show(f"The indexed folder {root.path} is gone. If it has moved, name its new place with --root.")


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
    if mode not in get_args(Mode):
        raise typer.BadParameter(f"must be one of {', '.join(get_args(Mode))}, got {mode!r}.", param_hint="--mode")
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
            show_json(rows)
        elif not hits:
            show("No hits.")
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
    with Index.open(directory, read_only=True) as opened:
        explanation = opened.explain(query, document)
        if heatmap is not None:
            _save(explanation.heatmap(), heatmap)
        if as_json:
            values = {"id": document, "score": explanation.score, "text": explanation.document.text_to_encode}
            show_json({**values, "spans": explanation.to_dicts()})
        else:
            show_explanation(console, explanation)


@app.command()
def info(directory: IndexDirectory, as_json: AsJson = False) -> None:  # noqa: FBT002
    """Show the size and the settings of an index."""
    with Index.open(directory, read_only=True) as opened:
        values = opened.info()
        if as_json:
            show_json(values)
            return
        encoder = (values.pop("encoder") or {}).get("source") or "custom"
        table = Table(show_header=False, box=None)
        for key, value in {**values, "encoder": encoder}.items():
            shown = f"{value:,}" if isinstance(value, int) else str(value)
            table.add_row(Text(key.replace("_", " ")), Text(printable(shown, one_line=True)))
        console.print(table)


@app.command()
def verify(directory: IndexDirectory, as_json: AsJson = False) -> None:  # noqa: FBT002
    """Read every byte of an index back and compare it with its checksum; the exit status is 1 if one is wrong."""
    with Index.open(directory, read_only=True) as opened:
        found = opened.verify()
        if as_json:
            show_json({"ok": bool(found), "problems": list(found.problems)})
        else:
            for problem in found.problems or ("No problems found.",):
                show(problem)
        if not found:
            raise typer.Exit(1)


@app.command()
def compact(directory: IndexDirectory) -> None:
    """Give back the room of deleted documents, compress what is still exact, and merge all segments into one."""
    with Index.open(directory) as opened:
        before = opened.info()["vector_bytes"]
        opened.compact()
        after = opened.info()["vector_bytes"]
        show(f"{before / 1e6:,.1f} MB of vectors are now {after / 1e6:,.1f} MB.")


def _open_for_writing(
    directory: Path, encoder: str | None, settings: dict[str, Any], paths: list[Path], moved: Sequence[str]
) -> Index:
    try:
        opened = Index.open(directory, **settings)
    except IndexNotFoundError:
        if moved:
            raise
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
    except (OSError, ValueError) as error:  # ValueError: an unknown kind of image
        raise InvalidRequestError(f"The heatmap cannot be saved as {path}: {error}.") from None


def _parse_where(where: str | None) -> dict[str, Any] | None:
    if where is None:
        return None
    try:
        parsed: dict[str, Any] = json.loads(where)
    except json.JSONDecodeError as error:
        raise InvalidFilterError(f"--where is not JSON: {error}.") from None
    return parsed
