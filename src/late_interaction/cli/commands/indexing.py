"""The command `index`: bring an index up to date with files and JSON lines."""

from __future__ import annotations

from contextlib import contextmanager
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import TYPE_CHECKING, Annotated, Any

import typer

from late_interaction import Index
from late_interaction.cli.bits import BITS_HELP, bits_setting
from late_interaction.cli.indexing import Run, noun_of, show_changes, show_plan, show_roots
from late_interaction.cli.options import INDEX_HELP, Quiet
from late_interaction.cli.sources import sorted_out
from late_interaction.encoders.minilm_package import MINILM
from late_interaction.errors import IndexNotFoundError
from late_interaction.index_encoder import as_encoder, modalities
from late_interaction.ingestion.roots import Roots
from late_interaction.readers.folders import check_paths
from late_interaction.readers.kinds import ALL_SUFFIXES, suffixes_of
from late_interaction.wording import counted

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping, Sequence

__all__ = ["index"]


def index(
    paths: Annotated[
        list[str],
        typer.Argument(
            help=f"Files and folders: {' '.join(ALL_SUFFIXES)}; or .jsonl and .ndjson files; or - for JSON lines from "
            "standard input.",
            metavar="PATH",
        ),
    ],
    directory: Annotated[str, typer.Option("--index", help=INDEX_HELP, metavar="INDEX")],
    encoder: Annotated[
        str | None,
        typer.Option(help=f"Name or path of the encoder. [default: that of the index; {MINILM} for a new index]"),
    ] = None,
    bits: Annotated[str | None, typer.Option(help=BITS_HELP, metavar="BITS")] = None,
    pooling: Annotated[int | None, typer.Option(help="For a new index: number of tokens pooled into a vector.")] = None,
    dim: Annotated[int | None, typer.Option(help="For a new index: number of leading dimensions to keep.")] = None,
    query_length: Annotated[
        int | None, typer.Option(help="For a new index: number of tokens read of a query.", min=1)
    ] = None,
    document_length: Annotated[
        int | None, typer.Option(help="For a new index: number of tokens read of a passage.", min=1)
    ] = None,
    language: Annotated[
        str | None,
        typer.Option(help="For a new index: language of stems in lexical search, or none. [default: english]"),
    ] = None,
    glob: Annotated[
        list[str] | None,
        typer.Option(help="In folders, read only files that match this pattern, as in .gitignore.", metavar="PATTERN"),
    ] = None,
    exclude: Annotated[
        list[str] | None,
        typer.Option(help="Do not read files and folders that match this pattern.", metavar="PATTERN"),
    ] = None,
    no_gitignore: Annotated[bool, typer.Option("--no-gitignore", help="Also read what git ignores.")] = False,  # noqa: FBT002
    encoding: Annotated[
        str | None,
        typer.Option(
            help="Encoding of files of text. [default: the one an HTML page declares, otherwise utf-8]",
            metavar="NAME",
        ),
    ] = None,
    metadata: Annotated[
        Path | None,
        typer.Option(
            help="Metadata by file: JSON, or CSV with a column `source`. Give it at every run: without it, "
            "the metadata of the files is removed.",
            metavar="FILE",
        ),
    ] = None,
    password: Annotated[str | None, typer.Option(help="Password of encrypted PDFs.", metavar="TEXT")] = None,
    pages: Annotated[
        str | None,
        typer.Option(
            help="Index only these pages of PDFs and TIFFs, such as 1-3,7. Other pages that are indexed are deleted.",
            metavar="RANGES",
        ),
    ] = None,
    fold_equal_pages: Annotated[  # noqa: FBT002
        bool, typer.Option("--fold-equal-pages", help="Index page images of a file that look equal once.")
    ] = False,
    keep_images: Annotated[bool, typer.Option("--keep-images", help="Store thumbnails of page images.")] = False,  # noqa: FBT002
    allow_empty: Annotated[  # noqa: FBT002
        bool, typer.Option("--allow-empty", help="Delete all passages of a PATH that no longer has files.")
    ] = False,
    moved: Annotated[
        list[str] | None,
        typer.Option("--root", help="New location of an indexed folder that has moved.", metavar="[LABEL=]DIR"),
    ] = None,
    dry_run: Annotated[  # noqa: FBT002
        bool, typer.Option("--dry-run", help="Only say what would be encoded and deleted. Nothing is written.")
    ] = False,
    quiet: Quiet = False,  # noqa: FBT002
) -> None:
    """Index files, or update an index from them.

    Only new and changed passages are encoded.

    Example: late-interaction index README.md docs --index my-docs

    The encoder determines what is indexed: text (including the text of PDF pages), page images (PDF pages and image
    files), or both. The index remembers the folder that each file was read from. Passages of a removed file are
    deleted if the file was read from that folder and was below a PATH. A PATH that no longer has files is an error, and
    a folder that is now empty is skipped, because an unmounted disk looks the same; see --allow-empty. Passages of a
    file that exists and is left out, by --exclude for example, are kept.

    JSON lines are documents, such as {"id": "a", "text": "...", "metadata": {"year": 2020}}, as `export` writes them. A
    document with a known id replaces it; none is deleted.

    An interrupted run keeps what it has indexed, and the same command goes on from there.
    """
    if dry_run and moved:
        raise typer.BadParameter("cannot be combined with --root.", param_hint="--dry-run")
    files, streams = sorted_out(paths)
    check_paths(files)  # reports a mistyped path before the index is opened
    options: dict[str, Any] = {
        "glob": glob or None,
        "exclude": exclude or (),
        "gitignore": not no_gitignore,
        "encoding": encoding,
        "metadata": metadata,
        "passwords": password,
        "pages": pages,
        "fold_equal_pages": fold_equal_pages,
        "keep_images": keep_images,
    }
    if not files:
        _refuse_file_options(options, allow_empty=allow_empty)
    settings: dict[str, Any] = {"bits": bits_setting(bits), "pooling": pooling, "dim": dim}
    settings["language"] = {None: "default", "none": None}.get(language, language)
    given = {"query_length": query_length, "document_length": document_length}
    lengths = {name: length for name, length in given.items() if length is not None}
    with _opened(directory, encoder, lengths, settings, files, moved or (), dry_run=dry_run) as opened:
        for where in moved or ():
            Roots(opened.engine).move(where)
        keeps_roots = opened.engine.capabilities.sources or bool(files)  # without it, files are refused here
        known = {root.number for root in Roots(opened.engine)} if keeps_roots else set()
        run = Run(opened, progress=not quiet, dry_run=dry_run)
        with _what_is_kept(opened):
            if files:
                run.read_files(files, options, allow_empty=allow_empty)
            for stream in streams:
                run.read_stream(stream)
        if dry_run:
            show_plan(run)
        elif not quiet:
            show_changes(run)
            if keeps_roots:
                show_roots(run, known)


def _refuse_file_options(options: Mapping[str, Any], *, allow_empty: bool) -> None:
    """Raise if options of files were given although there are only JSON lines."""
    given = {**options, "no_gitignore": not options["gitignore"], "gitignore": False, "allow_empty": allow_empty}
    for name, value in given.items():
        if value:
            option = "--" + {"passwords": "password"}.get(name, name).replace("_", "-")
            raise typer.BadParameter(
                "applies to files and folders, and only JSON lines were given. Leave it out.", param_hint=option
            )


@contextmanager
def _what_is_kept(index: Index) -> Iterator[None]:
    """If the block is interrupted, say what the index contains and how to go on."""
    try:
        yield
    except KeyboardInterrupt:
        number = len(index)
        verb = "is" if number == 1 else "are"
        raise KeyboardInterrupt(
            f"Interrupted. {counted(number, noun_of(index))} {verb} kept. Run the same command again to go on."
        ) from None


@contextmanager
def _opened(
    directory: str,
    encoder: str | None,
    lengths: dict[str, int],
    settings: dict[str, Any],
    paths: list[Path],
    moved: Sequence[str],
    *,
    dry_run: bool,
) -> Iterator[Index]:
    """Open the index for writing, or for a dry run: for reading, or a new one in a temporary directory."""
    try:
        # Without ``dim``, which would create an index without an encoder.
        opened = Index.open(directory, read_only=dry_run, **{**settings, "dim": None})
    except IndexNotFoundError:
        if moved:
            raise
        loaded = as_encoder(MINILM if encoder is None else encoder, **lengths)
        check_paths(paths, suffixes_of(modalities(loaded)))  # before an index is created that cannot read these files
        if dry_run:
            with TemporaryDirectory() as folder, Index.open(folder, encoder=loaded, **settings) as opened:
                yield opened
        else:
            with Index.open(directory, encoder=loaded, **settings) as opened:
                yield opened
        return
    if encoder is not None or lengths or settings["dim"] is not None:
        name = opened.encoder_name if encoder is None else encoder
        opened.close()
        again = None if name is None else as_encoder(name, **lengths)  # None: the index does not name its encoder
        opened = Index.open(directory, encoder=again, read_only=dry_run, **settings)
    with opened:
        yield opened
