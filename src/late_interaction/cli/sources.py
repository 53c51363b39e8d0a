"""What the command `index` reads: files and folders, and documents as JSON lines."""

from __future__ import annotations

from contextlib import nullcontext
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

from late_interaction.cli.stdin import STDIN, stdin_lines
from late_interaction.errors import InvalidDocumentError, InvalidRequestError
from late_interaction.readers import read_jsonl

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator

    from late_interaction.documents import Document

__all__ = ["JsonLines", "sorted_out"]

_SUFFIXES = (".jsonl", ".ndjson")


@dataclass(frozen=True)
class JsonLines:
    """Documents as JSON lines, from a file or from standard input.

    Attributes:
        path: The file; None for standard input.
    """

    path: Path | None

    @property
    def name(self) -> str:
        """The name in messages."""
        return "standard input" if self.path is None else str(self.path)

    def expected(self) -> int | None:
        """Return how many documents there are; None if that is not known."""
        if self.path is None:
            return None
        with self.path.open("rb") as file:
            return sum(1 for line in file if not line.isspace())

    def documents(self) -> Iterator[Document]:
        """Yield the documents.

        Raises:
            InvalidDocumentError: A line is not a document.
        """
        with nullcontext(stdin_lines()) if self.path is None else self.path.open(encoding="utf-8-sig") as lines:
            try:
                yield from read_jsonl(lines)
            except InvalidDocumentError as error:
                raise InvalidDocumentError(f"{self.name}: {error}") from None


def sorted_out(paths: Iterable[str]) -> tuple[list[Path], list[JsonLines]]:
    """Return the files and folders, and the sources of JSON lines among the paths.

    Raises:
        InvalidRequestError: A file of JSON lines does not exist.
    """
    files: list[Path] = []
    streams: list[JsonLines] = []
    for given in paths:
        path = Path(given)
        if given == STDIN:
            streams.append(JsonLines(None))
        elif path.suffix.lower() in _SUFFIXES and not path.is_dir():
            if not path.is_file():
                raise InvalidRequestError(f"{path} does not exist.")
            streams.append(JsonLines(path))
        else:
            files.append(path)
    return files, streams
