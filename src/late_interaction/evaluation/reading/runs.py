"""Read and write runs in the format of TREC: what a system found for each query."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np

from late_interaction.errors import InvalidRequestError
from late_interaction.evaluation.reading.judgments import finite_number, trec_columns
from late_interaction.evaluation.reading.lines import read_lines
from late_interaction.readers.decoding import describe

if TYPE_CHECKING:
    import os
    from collections.abc import Iterator, Mapping, Sequence

__all__ = ["read_run", "write_run"]


def read_run(path: str | os.PathLike[str]) -> dict[str, list[str]]:
    """Return the document ids of a run for each query id, best first.

    Lines have six columns between white space: query id, ``Q0``, document id, rank, score, and the name of the run. The
    order is that of trec_eval: by score, rounded to float32, descending; documents with equal scores by id, descending
    in the order of characters. The rank is not used.

    Args:
        path: The file, plain or compressed by gzip.

    Raises:
        InvalidRequestError: The file cannot be read, a line is malformed, or a query has a document twice. The message
            names the file and line.
    """
    scores: dict[str, dict[str, float]] = {}
    for line in read_lines(Path(path)):
        columns = trec_columns(line)
        score = finite_number(columns[4]) if len(columns) == 6 else None
        if score is None:
            raise line.error(
                f"expected query id, Q0, document id, rank, score and the name of the run, got {line.shown()}."
            )
        found = scores.setdefault(columns[0], {})
        if columns[2] in found:
            raise line.error(f"document {columns[2]!r} occurs twice for query {columns[0]!r}.")
        found[columns[2]] = score
    return {query: _ranked(found) for query, found in scores.items()}


def write_run(
    path: str | os.PathLike[str], rankings: Mapping[str, Sequence[str]], *, name: str = "late-interaction"
) -> None:
    """Write a run, replacing the file.

    The score of a document is the number of documents from it to the end of its ranking. So the order is the same for
    every tool that reads the file, also if documents had equal scores.

    Args:
        path: The file.
        rankings: Document ids for each query id, best first.
        name: Of the run, in the last column.

    Raises:
        InvalidRequestError: An id or the name is empty or has white space, which separates columns; a query has a
            document twice; or the file cannot be written. Nothing is written unless it is the latter.

    Example:
        >>> write_run(tmp / "run.txt", {"1": ["paris", "rome"]})
        >>> print((tmp / "run.txt").read_text(), end="")
        1 Q0 paris 1 2 late-interaction
        1 Q0 rome 2 1 late-interaction
        >>> read_run(tmp / "run.txt")
        {'1': ['paris', 'rome']}
    """
    text = "".join(_lines(rankings, _word(name, "The name of the run")))
    try:
        Path(path).write_text(text, encoding="utf-8", newline="\n")
    except OSError as error:
        raise InvalidRequestError(f"{path} cannot be written: {describe(error)}.") from None


def _ranked(scores: Mapping[str, float]) -> list[str]:
    with np.errstate(over="ignore"):  # what is too great for float32 becomes infinity, as in trec_eval
        rounded = dict(zip(scores, np.array(list(scores.values())).astype(np.float32).tolist(), strict=True))
    return sorted(rounded, key=lambda document: (rounded[document], document), reverse=True)


def _lines(rankings: Mapping[str, Sequence[str]], name: str) -> Iterator[str]:
    for query, ranking in rankings.items():
        if len(set(ranking)) < len(ranking):
            raise InvalidRequestError(f"The ranking of query {query!r} has a document twice.")
        _word(query, "A query id")
        for rank, document in enumerate(ranking, start=1):
            score = len(ranking) - rank + 1
            yield f"{query} Q0 {_word(document, 'A document id')} {rank} {score} {name}\n"


def _word(value: str, what: str) -> str:
    if not isinstance(value, str) or value.split() != [value]:
        raise InvalidRequestError(f"{what} must be a string without white space, for TREC's format, got {value!r}.")
    return value
