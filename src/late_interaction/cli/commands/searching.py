"""Commands that rank documents for a query: `search`, `explain`, `rerank`."""

from __future__ import annotations

from itertools import islice
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer
from rich.text import Text

from late_interaction.cli.candidates import read_candidates
from late_interaction.cli.opening import open_index
from late_interaction.cli.options import AsJson, IndexDirectory, ModeName, Password, Where, checked_mode, parsed_where
from late_interaction.cli.output import console, describe, note, show, show_json, show_json_line
from late_interaction.cli.page_files import save_page
from late_interaction.cli.printable import printable
from late_interaction.cli.rows import hit_row
from late_interaction.cli.stdin import STDIN, stdin_lines
from late_interaction.cli.terminal import show_explanation, show_hit
from late_interaction.errors import ImageUnavailableError, InvalidRequestError
from late_interaction.explanations import Explanation
from late_interaction.images.pdf import remember_password
from late_interaction.index_encoder import as_encoder
from late_interaction.retrieval.reranking import rerank as rerank_documents

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator

    from PIL.Image import Image

    from late_interaction.documents import Document, Hit
    from late_interaction.index import Index, Mode

__all__ = ["explain", "rerank", "search"]

_QUERY_BATCH = 64  # queries of standard input that are encoded together

Query = Annotated[str, typer.Argument(help="The query.", metavar="QUERY")]


def search(
    directory: IndexDirectory,
    query: Annotated[
        str, typer.Argument(help="The query; - reads queries from standard input, one per line.", metavar="QUERY")
    ],
    k: Annotated[int, typer.Option("-k", help="Number of hits.", min=1)] = 5,
    where: Where = None,
    mode: ModeName = "late",
    min_relevance: Annotated[
        float | None, typer.Option(help="Only hits of at least this relevance, between 0 and 1.", metavar="NUMBER")
    ] = None,
    with_images: Annotated[  # noqa: FBT002
        bool, typer.Option("--images", help="With --json: the page image of each hit, as a data URL.")
    ] = False,
    save_pages: Annotated[
        Path | None, typer.Option(help="Save the page image of each hit as a PNG file in this folder.", metavar="DIR")
    ] = None,
    password: Password = None,
    require_hits: Annotated[  # noqa: FBT002
        bool, typer.Option("--require-hits", help="The exit status is 1 if a query has no hits.")
    ] = False,
    as_json: AsJson = False,  # noqa: FBT002
) -> None:
    """Search an index.

    Example: late-interaction search my-docs "how do I install it" -k 3

    With --json, the result is a list of hits; for queries from standard input, one line for each query:
    {"query": ..., "hits": [...]}. A page whose image cannot be loaded is shown without it.
    """
    modes = checked_mode(mode)
    if with_images and not as_json:
        raise typer.BadParameter(
            "needs --json. To save the images as files, use --save-pages DIR.", param_hint="--images"
        )
    filtered = parsed_where(where)
    found_all = True
    with open_index(directory) as opened:
        for batch in _batches(query):
            results = opened.search_many(batch, k, where=filtered, mode=modes, min_relevance=min_relevance)
            for asked, hits in zip(batch, results, strict=True):
                _remember(password, [hit.document for hit in hits])
                found_all = found_all and bool(hits)
                files = {} if save_pages is None else _saved(hits, save_pages)
                if as_json:
                    rows = [_row(hit, files, with_images=with_images) for hit in hits]
                    show_json_line({"query": asked, "hits": rows}) if query == STDIN else show_json(rows)
                    continue
                if query == STDIN:
                    console.print(Text(f"{printable(asked, one_line=True)}", "bold"))
                _show_hits(opened, asked, hits, modes)
                for path in files.values():
                    show(f"Saved {path}")
    if require_hits and not found_all:
        raise typer.Exit(1)


def explain(
    directory: IndexDirectory,
    query: Query,
    document: Annotated[str, typer.Argument(help="Id of the document.", metavar="ID")],
    heatmap: Annotated[
        Path | None, typer.Option(help="Save the page image with matching patches highlighted.", metavar="PNG")
    ] = None,
    password: Password = None,
    as_json: AsJson = False,  # noqa: FBT002
) -> None:
    """Show what each query word matches in a document.

    Of a text, the most similar words; of a page, the most similar patches.

    Example: late-interaction explain my-pages "revenue" "report.pdf#page=3" --heatmap why.png
    """
    with open_index(directory) as opened:
        _remember(password, opened.get([document]))
        explanation = opened.explain(query, document)
        if heatmap is not None:
            if isinstance(explanation, Explanation):
                raise InvalidRequestError(f"{document!r} is a text, and only pages have heatmaps. Leave out --heatmap.")
            _save(explanation.heatmap(), heatmap)
        if as_json:
            values = {"id": document, "score": explanation.score, "text": explanation.document.text_to_encode}
            show_json({**values, "spans": explanation.to_dicts()})
        else:
            show_explanation(console, explanation)


def rerank(
    query: Query,
    directory: Annotated[
        str | None,
        typer.Option(
            "--index",
            help="Use the stored vectors of documents that this index has: a directory or an address.",
            metavar="INDEX",
        ),
    ] = None,
    encoder: Annotated[
        str | None, typer.Option(help="Without an index: name or path of the encoder.", metavar="NAME")
    ] = None,
    k: Annotated[int | None, typer.Option("-k", help="Number of hits. [default: all]", min=1)] = None,
    ids: Annotated[bool, typer.Option("--ids", help="The lines are ids of documents in the index.")] = False,  # noqa: FBT002
    as_json: AsJson = False,  # noqa: FBT002
) -> None:
    """Rank texts from standard input for a query, best first.

    Each line is a text, or a document as a JSON object, such as {"id": "a", "text": "..."}; with --ids, the id of a
    document in the index. Blank lines are left out.

    Example: grep -rh revenue docs | late-interaction rerank "revenue by region" --encoder minilm -k 5
    """
    if (directory is None) == (encoder is None):
        raise typer.BadParameter("Give either --index or --encoder.", param_hint="--index, --encoder")
    if ids and directory is None:
        raise typer.BadParameter("needs --index.", param_hint="--ids")
    names: dict[str, str] = {}
    if ids:
        candidates: dict[str, Any] = {"ids": [line for line in stdin_lines() if line.strip()]}
    else:
        candidates = {}
        candidates["documents"], names = read_candidates(stdin_lines())
    if directory is None:
        hits = rerank_documents(query, candidates["documents"], encoder=as_encoder(encoder), k=k)
    else:
        with open_index(directory) as opened:
            hits = opened.rerank(query, k=k, **candidates)
    if as_json:
        show_json([hit_row(hit) for hit in hits])
        return
    for hit in hits:
        show_hit(console, hit, name=names.get(hit.id))
    if not hits:
        show("No hits.")


def _remember(password: str | None, documents: Iterable[Document]) -> None:
    """Remember the password for the files of page images."""
    for document in documents:
        if password is not None and document.image is not None and document.image.path is not None:
            remember_password(document.image.path, password)


def _batches(query: str) -> Iterator[list[str]]:
    if query != STDIN:
        yield [query]
        return
    lines = stdin_lines()
    while batch := list(islice(lines, _QUERY_BATCH)):
        yield batch


def _show_hits(index: Index, query: str, hits: list[Hit], mode: Mode) -> None:
    if not hits:
        show("No hits.")
        return
    texts = [hit.id for hit in hits if hit.document.image is None]
    explained = {} if mode == "lexical" else index.explain_many(query, texts)
    for hit in hits:
        show_hit(console, hit, explained.get(hit.id))


def _saved(hits: list[Hit], folder: Path) -> dict[str, Path]:
    """Save the pages among the hits and return their files, by id."""
    files = {}
    for hit in hits:
        if hit.document.image is not None:
            try:
                files[hit.id] = save_page(hit.document, folder)
            except ImageUnavailableError as error:
                note(f"The page image of {hit.id!r} was not saved: {error}")
    return files


def _row(hit: Hit, files: dict[str, Path], *, with_images: bool) -> dict[str, Any]:
    row = hit_row(hit)
    if hit.id in files:
        row["page_file"] = str(files[hit.id])
    if with_images and hit.document.image is not None:
        try:
            row["image"] = hit.image_url()
        except ImageUnavailableError as error:
            note(f"The page image of {hit.id!r} is left out: {error}")
    return row


def _save(image: Image, path: Path) -> None:
    try:
        image.save(path)
    except (OSError, ValueError) as error:  # ValueError: unknown image format
        reason = describe(error).rstrip(".")
        raise InvalidRequestError(f"Cannot save the heatmap as {path}: {reason}.") from None
