"""The command `index`: bring an index up to date with files."""

from __future__ import annotations

from contextlib import contextmanager
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import TYPE_CHECKING, Annotated, Any

import typer

from late_interaction import Index
from late_interaction.cli.options import Quiet
from late_interaction.cli.output import show, show_skipped
from late_interaction.encoders.minilm_package import MINILM
from late_interaction.errors import IndexNotFoundError
from late_interaction.index_encoder import as_encoder, modalities
from late_interaction.ingestion import update
from late_interaction.ingestion.roots import Roots, is_folder, real_path
from late_interaction.readers import expected_documents, read_paths
from late_interaction.readers.folders import check_paths, find_files
from late_interaction.readers.kinds import suffixes_of
from late_interaction.wording import counted

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence

    from late_interaction.ingestion import Changes

__all__ = ["index"]


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
    dry_run: Annotated[  # noqa: FBT002
        bool, typer.Option("--dry-run", help="Only say what would be encoded and deleted. Nothing is written.")
    ] = False,
    quiet: Quiet = False,  # noqa: FBT002
) -> None:
    """Index files, or update an index from them. Only new and changed passages are encoded.

    The encoder determines what is indexed: text (including the text of PDF pages), page images (PDF pages and image
    files), or both. The index remembers the folder that each file was read from. Passages of a removed file are
    deleted if the file was read from that folder and was below a PATH. A PATH that no longer has files is an error, and
    a folder that is now empty is skipped, because an unmounted disk looks the same; see --allow-empty.

    An interrupted run keeps what it has indexed; the same command goes on from there.
    """
    if dry_run and moved:
        raise typer.BadParameter("cannot be combined with --root.", param_hint="--dry-run")
    skipped: set[Path] = set()

    def report(path: Path, reason: str) -> None:
        skipped.add(path)
        show_skipped(path, reason)

    check_paths(paths)  # reports a mistyped path before the index is opened
    settings: dict[str, Any] = {"bits": "default" if bits is None else bits, "pooling": pooling, "dim": dim}
    settings["language"] = {None: "default", "none": None}.get(language, language)
    with _opened(directory, encoder, settings, paths, moved or (), dry_run=dry_run) as opened:
        for where in moved or ():
            Roots(opened.engine).move(where)
        known = {root.number for root in Roots(opened.engine)}
        places = [real_path(path) for path in paths]
        with _what_is_kept(opened):
            changes = update(
                opened,
                read_paths(places, modalities=opened.modalities, keep_images=keep_images, on_skip=report),
                roots=places,
                keep=skipped,
                allow_empty=allow_empty,
                progress=not quiet,
                expected={} if quiet else expected_documents(_files(places, opened.modalities)),
                dry_run=dry_run,
                on_skip=report,
            )
        if dry_run:
            _show_plan(changes, len(skipped))
        elif not quiet:
            _show_changes(opened, changes, len(skipped))
            _show_roots(opened, known)


def _show_changes(index: Index, changes: Changes, skipped: int) -> None:
    noun = _noun(index)
    show(
        f"{counted(changes.added, noun)} added or replaced, {changes.unchanged:,} unchanged, {changes.deleted:,} "
        f"deleted; {counted(skipped, 'file')} skipped. The index contains {counted(len(index), 'document')}."
    )
    if changes.updated:
        show(f"Metadata or page image paths of {counted(changes.updated, noun)} updated.")
    if changes.unknown_root:
        show(
            f"{counted(changes.unknown_root, noun)} indexed by an earlier release, which did not record the folder. "
            "This command never deletes them."
        )


def _show_plan(changes: Changes, skipped: int) -> None:
    for verb, sources in (("encode", changes.added_by_source), ("delete", changes.deleted_by_source)):
        for source, number in sources.items():
            show(f"{verb} {number:,}  {source}")
    show(
        f"Dry run: {changes.added:,} to encode, {changes.unchanged + changes.updated:,} unchanged, "
        f"{changes.deleted:,} to delete; {counted(skipped, 'file')} skipped. Nothing was written."
    )


def _show_roots(index: Index, known: set[int]) -> None:
    for root in Roots(index.engine):
        if root.label and root.number not in known:
            show(f"Files in {root.path} are named {root.name_of(root.path / 'PATH')}.")
        if not is_folder(root.path):
            show(f"The indexed folder {root.path} does not exist. If it has moved, pass its location with --root.")


def _noun(index: Index) -> str:
    return "page" if index.modalities == ("image",) else "passage"


def _files(places: list[Path], reads: tuple[str, ...]) -> Iterator[Path]:
    return find_files(places, suffixes_of(reads), lambda *_: None)  # the reader reports folders it cannot list


@contextmanager
def _what_is_kept(index: Index) -> Iterator[None]:
    """If the block is interrupted, say what the index contains and how to go on."""
    try:
        yield
    except KeyboardInterrupt:
        number = len(index)
        verb = "is" if number == 1 else "are"
        raise KeyboardInterrupt(
            f"Interrupted. {counted(number, _noun(index))} {verb} kept. Run the same command again to go on."
        ) from None


@contextmanager
def _opened(
    directory: Path,
    encoder: str | None,
    settings: dict[str, Any],
    paths: list[Path],
    moved: Sequence[str],
    *,
    dry_run: bool,
) -> Iterator[Index]:
    """Open the index for writing, or for a dry run: for reading, or a new one in a temporary directory."""
    try:
        opened = Index.open(directory, read_only=dry_run, **settings)
    except IndexNotFoundError:
        if moved:
            raise
        loaded = as_encoder(MINILM if encoder is None else encoder)
        check_paths(paths, suffixes_of(modalities(loaded)))  # before an index is created that cannot read these files
        if dry_run:
            with TemporaryDirectory() as folder, Index.open(folder, encoder=loaded, **settings) as opened:
                yield opened
        else:
            with Index.open(directory, encoder=loaded, **settings) as opened:
                yield opened
        return
    if encoder is not None:
        opened.close()
        opened = Index.open(directory, encoder=encoder, read_only=dry_run, **settings)
    with opened:
        yield opened
