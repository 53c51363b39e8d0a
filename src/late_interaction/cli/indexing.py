"""One run of the command `index`, and what it prints."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from late_interaction.cli.output import is_watched, show, show_skipped
from late_interaction.ingestion import Changes, add_stream, update
from late_interaction.ingestion.roots import Roots, is_folder, real_path
from late_interaction.ingestion.unselected import unselected_files
from late_interaction.readers import expected_documents, read_paths
from late_interaction.readers.folders import find_files
from late_interaction.readers.kinds import suffixes_of
from late_interaction.readers.patterns import Selection
from late_interaction.wording import counted

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping
    from pathlib import Path

    from late_interaction.cli.sources import JsonLines
    from late_interaction.documents import Document
    from late_interaction.index import Index

__all__ = ["Run", "noun_of", "show_changes", "show_plan", "show_roots"]


class Run:
    """One run of the command.

    Args:
        index: The index.
        progress: Show a progress bar if standard error is a terminal.
        dry_run: Change nothing.

    Attributes:
        index: The index.
        changes: What was changed so far, or what would be.
        skipped: Files and folders that could not be read.
        unselected: Indexed files that exist and were left out.
    """

    def __init__(self, index: Index, *, progress: bool, dry_run: bool) -> None:
        self.index = index
        self.changes = Changes(0, 0, 0)
        self.skipped: set[Path] = set()
        self.unselected: set[Path] = set()
        self._keep: set[Path] = set()
        self._progress = progress and is_watched()
        self._dry_run = dry_run

    def read_files(self, paths: list[Path], options: Mapping[str, Any], *, allow_empty: bool) -> None:
        """Update the index from files and folders.

        Args:
            paths: The files and folders.
            options: Options of `read_paths`.
            allow_empty: See `late_interaction.ingestion.update`.
        """
        places = [real_path(path) for path in paths]
        reads = self.index.modalities
        selection = Selection(options["glob"], options["exclude"], gitignore=options["gitignore"])
        documents = read_paths(places, modalities=reads, on_skip=self._skip, **options)
        files = list(find_files(places, suffixes_of(reads), lambda *_: None, selection))  # read_paths reports
        expected = expected_documents(files, password=options["passwords"], pages=options["pages"])
        self.changes += update(
            self.index,
            self._until_read(documents, places, files),
            roots=places,
            keep=self._keep,
            allow_empty=allow_empty,
            progress=self._progress,
            expected=expected if self._progress else {},
            dry_run=self._dry_run,
            on_skip=self._skip,
        )

    def read_stream(self, stream: JsonLines) -> None:
        """Add the documents of JSON lines."""
        self.changes += add_stream(
            self.index,
            stream.documents(),
            name=stream.name,
            progress=self._progress,
            expected=stream.expected() if self._progress else None,
            dry_run=self._dry_run,
        )

    def _until_read(self, documents: Iterator[Document], places: list[Path], files: list[Path]) -> Iterator[Document]:
        """Yield the documents; then let `update` keep the passages of files that were left out."""
        yield from documents
        self.unselected = unselected_files(self.index, places, files)
        self._keep |= self.unselected

    def _skip(self, path: Path, reason: str) -> None:
        self.skipped.add(path)
        self._keep.add(path)
        show_skipped(path, reason)


def noun_of(index: Index) -> str:
    """Return what the documents of an index are called."""
    return "page" if index.modalities == ("image",) else "passage"


def show_changes(run: Run) -> None:
    """Print what was changed."""
    changes, noun = run.changes, noun_of(run.index)
    show(
        f"{counted(changes.added, noun)} added or replaced, {changes.unchanged:,} unchanged, {changes.deleted:,} "
        f"deleted; {counted(len(run.skipped), 'file')} skipped. "
        f"The index contains {counted(len(run.index), 'document')}."
    )
    if changes.updated:
        show(f"Names, metadata or page image paths of {counted(changes.updated, noun)} updated.")
    _show_unselected(run)
    if changes.unknown_root:
        show(
            f"{counted(changes.unknown_root, noun)} indexed by an earlier release, which did not record the folder. "
            "This command never deletes them."
        )


def show_plan(run: Run) -> None:
    """Print what a dry run found, by file."""
    changes = run.changes
    for verb, sources in (("encode", changes.added_by_source), ("delete", changes.deleted_by_source)):
        for source, number in sources.items():
            show(f"{verb} {number:,}  {source}")
    _show_unselected(run)
    show(
        f"Dry run: {changes.added:,} to encode, {changes.unchanged + changes.updated:,} unchanged, "
        f"{changes.deleted:,} to delete; {counted(len(run.skipped), 'file')} skipped. Nothing was written."
    )


def show_roots(run: Run, known: set[int]) -> None:
    """Print how files of new folders are named, and which folders do not exist.

    Args:
        run: The run.
        known: Numbers of the roots that the index had before.
    """
    for root in Roots(run.index.engine):
        if root.label and root.number not in known:
            show(f"Files in {root.path} are named {root.name_of(root.path / 'PATH')}.")
        if not is_folder(root.path):
            show(f"The indexed folder {root.path} does not exist. If it has moved, pass its location with --root.")


def _show_unselected(run: Run) -> None:
    if run.unselected:
        which = "exists and was" if len(run.unselected) == 1 else "exist and were"
        show(
            f"Passages of {counted(len(run.unselected), 'indexed file')} that {which} left out are kept. "
            "`delete --source` deletes them."
        )
