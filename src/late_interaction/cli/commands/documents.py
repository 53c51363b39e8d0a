"""Commands about the documents of an index: `list`, `get`, `export`, `delete`."""

from __future__ import annotations

import sys
from collections import Counter
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from late_interaction.cli.opening import open_index
from late_interaction.cli.options import AsJson, IndexDirectory, Where, parsed_where
from late_interaction.cli.output import console, note, show, show_json
from late_interaction.cli.printable import printable, to_json
from late_interaction.cli.rows import document_row
from late_interaction.cli.terminal import show_document
from late_interaction.errors import InvalidRequestError, UnknownIdError
from late_interaction.validation import did_you_mean
from late_interaction.wording import counted

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator

    from late_interaction.documents import Document
    from late_interaction.filters import Where as Filter
    from late_interaction.index import Index

__all__ = ["delete", "export", "get", "list_sources"]

_ESCAPED = "Names with control characters are shown with escapes, which no command reads. --json prints exact names."


def list_sources(
    directory: IndexDirectory,
    where: Where = None,
    ids: Annotated[bool, typer.Option("--ids", help="List the id of each document, one per line.")] = False,  # noqa: FBT002
    as_json: AsJson = False,  # noqa: FBT002
) -> None:
    """List the sources of an index, or its ids.

    Sources are the files that were indexed. With each comes its number of documents.

    Example: late-interaction list my-docs --where '{"year": 2020}'
    """
    filtered = parsed_where(where)
    with open_index(directory) as opened:
        if ids:
            found = (document.id for document in opened.scan(where=filtered, fields=()))
            if as_json:
                show_json(list(found))
            else:
                _write_ids(found)
            return
        counts = _sources(opened, filtered)
    if as_json:
        show_json([{"source": source, "documents": number} for source, number in counts.items()])
        return
    width = max((len(f"{number:,}") for number in counts.values()), default=0)
    for source, number in counts.items():
        show(f"{number:>{width},}  {'(without a source)' if source is None else source}")
    if not counts:
        show("No documents.")
    if any(source is not None and _is_escaped(source) for source in counts):
        note(_ESCAPED)


def get(
    directory: IndexDirectory,
    ids: Annotated[list[str], typer.Argument(help="Ids of documents.", metavar="ID")],
    as_json: AsJson = False,  # noqa: FBT002
) -> None:
    """Show documents by their ids.

    The exit status is 1 if the index does not contain one of them.

    Example: late-interaction get my-docs "README.md#0" "README.md#1"
    """
    with open_index(directory) as opened:
        found = opened.get(ids)
        if as_json:
            show_json([document_row(document) for document in found])
        else:
            for document in found:
                show_document(console, document)
        _check_known(opened, ids, found)


def export(
    directory: IndexDirectory,
    output: Annotated[
        Path | None, typer.Option("--output", "-o", help="Write to this new file.", metavar="FILE")
    ] = None,
    where: Where = None,
) -> None:
    """Write documents as JSON lines, which `index` reads.

    Each line is {"id": ..., "text": ..., "metadata": {...}}, with "encoded_text" if the encoder reads another text, and
    with "image" for a page: a reference to its file. Vectors are not exported.

    Example: late-interaction export my-docs | gzip > my-docs.jsonl.gz
    """
    with open_index(directory) as opened:
        documents = opened.scan(where=parsed_where(where))
        if output is None:
            _write_lines(to_json(document_row(document), sys.stdout.encoding, indent=None) for document in documents)
            return
        show(f"{counted(_write_file(output, documents), 'document')} written to {output}.")


def delete(
    directory: IndexDirectory,
    ids: Annotated[list[str] | None, typer.Argument(help="Ids of documents.", metavar="ID")] = None,
    sources: Annotated[
        list[str] | None,
        typer.Option("--source", help="Delete the documents of this source, as `list` shows it.", metavar="SOURCE"),
    ] = None,
    where: Where = None,
    yes: Annotated[bool, typer.Option("--yes", "-y", help="Do not ask.")] = False,  # noqa: FBT002
    dry_run: Annotated[bool, typer.Option("--dry-run", help="Only say how many documents would be deleted.")] = False,  # noqa: FBT002
) -> None:
    """Delete documents by id, source or filter.

    Asks before deleting by source or filter. A file that still exists is added again when `index` reads it.

    Example: late-interaction delete my-docs --source docs/old.md
    """
    if [bool(ids), bool(sources), where is not None].count(True) != 1:
        raise typer.BadParameter("Give either ids, or --source, or --where.", param_hint="ID, --source, --where")
    filtered: Filter | None = {"source": {"$in": sources}} if sources else parsed_where(where)
    with open_index(directory, read_only=dry_run) as opened:
        if ids:
            found = opened.get(ids)
            _check_known(opened, ids, found)
            number = len({document.id for document in found})
        else:
            number = _matching(opened, filtered, sources or [])
        if dry_run:
            show(f"{counted(number, 'document')} would be deleted.")
            return
        if number and not ids and not yes:
            _ask(number)
        number = opened.delete(ids or None, where=filtered) if number else 0
        show(f"{counted(number, 'document')} deleted. The index contains {counted(len(opened), 'document')}.")


def _sources(index: Index, where: Filter | None) -> dict[str | None, int]:
    """Return the number of documents of each source, by name; last of those without one, under None."""
    counts: Counter[str | None] = Counter()
    for fields in index.scan(where=where, fields=("metadata",)):
        source = (fields.metadata or {}).get("source")
        counts[source if isinstance(source, str) else None] += 1
    return dict(sorted(counts.items(), key=lambda item: (item[0] is None, item[0] or "")))


def _check_known(index: Index, ids: list[str], found: list[Document]) -> None:
    known = {document.id for document in found}
    unknown = [document_id for document_id in ids if document_id not in known]
    if unknown:
        near = _nearest(unknown[0], [fields.id for fields in index.scan(fields=())])
        names = ", ".join(map(repr, unknown))
        raise UnknownIdError(f"The index does not contain {names}.{near} `list INDEX --ids` shows the ids.")


def _matching(index: Index, where: Filter | None, sources: list[str]) -> int:
    """Return how many documents match, unless those are all, or a source is unknown.

    Raises:
        InvalidRequestError: One of these.
    """
    if unknown := [source for source in sources if not index.count(where={"source": source})]:
        near = _nearest(unknown[0], [source for source in _sources(index, None) if source is not None])
        names = " or ".join(map(repr, unknown))
        raise InvalidRequestError(
            f"No document has the source {names}.{near} `list INDEX` shows the sources. Nothing was deleted."
        )
    number = index.count(where=where)
    if number and number == len(index):
        whole = "delete its directory" if index.path is not None else "use Index.clear()"
        raise InvalidRequestError(
            f"This would delete everything: {counted(number, 'document')}. Nothing was deleted. To delete the whole "
            f"index, {whole}."
        )
    return number


def _nearest(given: str, known: list[str]) -> str:
    """Return a sentence about the known name that was perhaps meant; empty if there is none."""
    if any(name != given and printable(name, one_line=True) == given for name in known):
        return " One that is shown like this has control characters, which `list --json` prints as JSON escapes."
    return did_you_mean(given, known)


def _is_escaped(name: str) -> bool:
    return printable(name, one_line=True) != name


def _ask(number: int) -> None:
    if not sys.stdin.isatty():
        raise InvalidRequestError(
            f"{counted(number, 'document')} would be deleted, and nobody can be asked. Nothing was deleted. Pass --yes."
        )
    typer.confirm(f"Delete {counted(number, 'document')}?", abort=True, err=True)


def _write_ids(ids: Iterable[str]) -> None:
    """Print ids, one per line, and say so if control characters in them are escaped."""
    escaped = False

    def lines() -> Iterator[str]:
        nonlocal escaped
        for document_id in ids:
            escaped = escaped or _is_escaped(document_id)
            yield printable(document_id, one_line=True)

    _write_lines(lines())
    if escaped:
        note(_ESCAPED)


def _write_lines(lines: Iterable[str]) -> None:
    for line in lines:
        sys.stdout.write(f"{line}\n")
    sys.stdout.flush()  # here, so that a closed pipe is noticed before the program ends


def _write_file(path: Path, documents: Iterator[Document]) -> int:
    """Write the documents to a new file and return their number. A file that is not complete is removed."""
    number = 0
    try:
        file = path.open("x", encoding="utf-8")
    except FileExistsError:
        raise InvalidRequestError(f"{path} exists already. Remove it, or choose another name.") from None
    with file:
        try:
            for document in documents:
                file.write(f"{to_json(document_row(document), indent=None)}\n")
                number += 1
        except BaseException:
            path.unlink(missing_ok=True)
            raise
    return number
