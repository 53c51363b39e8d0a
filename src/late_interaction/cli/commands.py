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
from late_interaction.encoders.minilm_package import MINILM
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
        typer.Option(help=f"Name or path of the encoder. [default: that of the index; {MINILM} for a new index]"),
    ] = None,
    bits: Annotated[
        int | None, typer.Option(help="For a new index: 1, 2, 4 or 8 bits per dimension. [default: 4]")
    ] = None,
    pooling: Annotated[int | None, typer.Option(help="For a new index: number of tokens pooled into a vector.")] = None,
    dim: Annotated[int | None, typer.Option(help="For a new index: number of leading dimensions to keep.")] = None,
    language: Annotated[
        str | None,
        typer.Option(help="For a new index: language of stems in lexical search, or none. [default: english]"),
    ] = None,
    keep_images: Annotated[bool, typer.Option("--keep-images", help="Store thumbnails of page images.")] = False,  # noqa: FBT002
    allow_empty: Annotated[  # noqa: FBT002
        bool, typer.Option("--allow-empty", help="Delete all passages of a PATH that no longer has files.")
    ] = False,
    moved: Annotated[
        list[str] | None,
        typer.Option("--root", help="New location of an indexed folder that has moved.", metavar="[LABEL=]DIR"),
    ] = None,
) -> None:
    """Index files, or update an index from them. Only new and changed passages are encoded.

    The encoder determines what is indexed: text (including the text of PDF pages), page images (PDF pages and image
    files), or both. The index remembers the folder that each file was read from. Passages of a removed file are
    deleted if the file was read from that folder and was below a PATH. A PATH that no longer has files is an error, and
    a folder that is now empty is skipped, because an unmounted disk looks the same; see --allow-empty.
    """
    skipped: set[Path] = set()

    def report(path: Path, reason: str) -> None:
        skipped.add(path)
        show_skipped(path, reason)

    check_paths(paths)  # reports a mistyped path before the index is opened
    settings: dict[str, Any] = {"bits": "default" if bits is None else bits, "pooling": pooling, "dim": dim}
    settings["language"] = {None: "default", "none": None}.get(language, language)
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
            f"{changes.deleted} deleted; {len(skipped)} files skipped. The index contains {len(opened)} documents."
        )
        if changes.updated:
            show(f"Metadata or page image paths of {changes.updated} passages updated.")
        if changes.unknown_root:
            show(
                f"{changes.unknown_root} passages were indexed by an earlier release, which did not record their "
                "folder. This command never deletes them."
            )
        for root in Roots(opened.engine):
            if root.label and root.number not in known:
                show(f"Files in {root.path} are named {root.name_of(root.path / 'PATH')}.")
            if not is_folder(root.path):
                show(f"The indexed folder {root.path} does not exist. If it has moved, pass its location with --root.")


@app.command()
def search(
    directory: IndexDirectory,
    query: Annotated[str, typer.Argument(help="The query.")],
    k: Annotated[int, typer.Option("-k", help="Number of hits.", min=1)] = 5,
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
    query: Annotated[str, typer.Argument(help="The query.")],
    document: Annotated[str, typer.Argument(help="Id of the document.", metavar="ID")],
    heatmap: Annotated[
        Path | None, typer.Option(help="Save the page image with matching patches highlighted.", metavar="PNG")
    ] = None,
    as_json: AsJson = False,  # noqa: FBT002
) -> None:
    """Show which words of a document, or which patches of a page, each query word matches."""
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
    """Show size and settings of an index."""
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
    """Check everything stored in an index against its checksums. The exit status is 1 if there are problems."""
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
    """Reclaim the space of deleted documents, compress uncompressed segments, and merge all segments into one."""
    with Index.open(directory) as opened:
        before = opened.info()["vector_bytes"]
        opened.compact()
        after = opened.info()["vector_bytes"]
        show(f"Size of the vectors: {before / 1e6:,.1f} MB before, {after / 1e6:,.1f} MB now.")


def _open_for_writing(
    directory: Path, encoder: str | None, settings: dict[str, Any], paths: list[Path], moved: Sequence[str]
) -> Index:
    try:
        opened = Index.open(directory, **settings)
    except IndexNotFoundError:
        if moved:
            raise
        loaded = as_encoder(MINILM if encoder is None else encoder)
        check_paths(paths, suffixes_of(modalities(loaded)))  # before an index is created that cannot read these files
        return Index.open(directory, encoder=loaded, **settings)
    if encoder is None:
        return opened
    opened.close()
    return Index.open(directory, encoder=encoder, **settings)


def _save(image: Image, path: Path) -> None:
    try:
        image.save(path)
    except (OSError, ValueError) as error:  # ValueError: unknown image format
        raise InvalidRequestError(f"Cannot save the heatmap as {path}: {error}.") from None


def _parse_where(where: str | None) -> dict[str, Any] | None:
    if where is None:
        return None
    try:
        parsed: dict[str, Any] = json.loads(where)
    except json.JSONDecodeError as error:
        raise InvalidFilterError(f"--where must be valid JSON: {error}.") from None
    return parsed
