"""Read parquet files in rows, with bounded memory and errors that name the file."""

from __future__ import annotations

from contextlib import contextmanager
from typing import TYPE_CHECKING, Any

from late_interaction.errors import InvalidRequestError
from late_interaction.evaluation.reading.lines import check_expansion
from late_interaction.optional import require

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence
    from pathlib import Path

__all__ = ["Row", "columns_of", "read_rows"]

_BUFFER_BYTES = 1 << 20


class Row:
    """A row of a table.

    Attributes:
        values: By column.
        path: The file.
        number: In the file, from 1.
    """

    __slots__ = ("number", "path", "values")

    def __init__(self, values: dict[str, Any], path: Path, number: int) -> None:
        self.values = values
        self.path = path
        self.number = number

    def where(self) -> str:
        """Return the file and the row, for messages."""
        return f"{self.path}, row {self.number}"


def columns_of(path: Path) -> dict[str, str]:
    """Return the names of the columns of a file, each with its type.

    Raises:
        InvalidRequestError: The file cannot be read, is damaged, or expands more than 200-fold.
        OptionalDependencyError: pyarrow is not installed.
    """
    with _opened(path) as file:
        return {field.name: str(field.type) for field in file.schema_arrow}


def read_rows(path: Path, columns: Sequence[str], *, at_a_time: int) -> Iterator[Row]:
    """Yield the rows of a file with some columns. Memory is bounded by the rows that are read at a time.

    Raises:
        InvalidRequestError: As for `columns_of`.
        OptionalDependencyError: As for `columns_of`.
    """
    number = 0
    with _opened(path) as file:
        batches = file.iter_batches(at_a_time, columns=list(columns), use_threads=False)
        while True:
            with _explained(path):
                batch = next(batches, None)
                rows = [] if batch is None else batch.to_pylist()
            if batch is None:
                return
            for values in rows:
                number += 1
                yield Row(values, path, number)


@contextmanager
def _opened(path: Path) -> Iterator[Any]:
    require("pyarrow", package="pyarrow", feature="Reading parquet files", extra="evaluation")
    import pyarrow.parquet as pq

    with _explained(path):
        file = pq.ParquetFile(path, buffer_size=_BUFFER_BYTES, pre_buffer=False)
    with file:
        for group in range(file.metadata.num_row_groups):
            check_expansion(path, path.stat().st_size, file.metadata.row_group(group).total_byte_size)
        yield file


@contextmanager
def _explained(path: Path) -> Iterator[None]:
    """Raise `InvalidRequestError` for errors of pyarrow inside the block."""
    import pyarrow as pa

    try:
        yield
    except (pa.ArrowException, OSError, ValueError, OverflowError) as error:
        if isinstance(error, InvalidRequestError):
            raise
        reason = str(error).splitlines()[0] if str(error) else type(error).__name__
        raise InvalidRequestError(f"{path} cannot be read as parquet: {reason}") from None
