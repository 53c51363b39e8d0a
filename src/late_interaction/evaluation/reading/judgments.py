"""Read relevance judgments: qrels of TREC, with 4 columns, and of BEIR, with 3."""

from __future__ import annotations

import math
import re
from typing import TYPE_CHECKING

from late_interaction.evaluation.reading.lines import read_lines

if TYPE_CHECKING:
    from collections.abc import Sequence
    from pathlib import Path

    from late_interaction.evaluation.reading.lines import Line

__all__ = ["Qrels", "finite_number", "read_qrels", "trec_columns"]

Qrels = dict[str, dict[str, float]]
"""Grades by query id and document id."""

_MAX_GRADE = 1 << 64  # sums of larger ones may be infinite
_SPACE = re.compile(r"[ \t\v\f\r]+")  # as in C: ids may have other white space of Unicode


def read_qrels(path: Path) -> Qrels:
    """Return the judgments of a file, plain or compressed by gzip.

    Columns are query id, document id and grade between tabs, with or without a header (BEIR); or query id, iteration
    (not used), document id and grade between white space (TREC).

    Raises:
        InvalidRequestError: A line is not a judgment, or a document has two grades. The message names the file and
            line.
    """
    qrels: Qrels = {}
    for place, line in enumerate(read_lines(path)):
        columns = line.text.split("\t")
        if len(columns) not in (3, 4):
            columns = trec_columns(line)
        if place == 0 and len(columns) == 3 and finite_number(columns[2]) is None:
            continue  # the header
        query, document, grade = _judgment(columns, line)
        if qrels.setdefault(query, {}).setdefault(document, grade) != grade:
            raise line.error(f"document {document!r} has another grade for query {query!r} in an earlier line.")
    return qrels


def trec_columns(line: Line) -> list[str]:
    """Return what is between spaces and tabs in a line."""
    return _SPACE.split(line.text.strip(" \t\v\f\r"))


def finite_number(text: str) -> float | None:
    """Return the number that a text is, or None."""
    try:
        value = float(text)
    except ValueError:
        return None
    return value if math.isfinite(value) else None


def _judgment(columns: Sequence[str], line: Line) -> tuple[str, str, float]:
    grade = finite_number(columns[-1])
    is_judgment = len(columns) == 4 or (len(columns) == 3 and "\t" in line.text)
    if (
        not is_judgment
        or grade is None
        or abs(grade) >= _MAX_GRADE
        or not columns[0].strip()
        or not columns[-2].strip()
    ):
        raise line.error(
            "expected query id, document id and grade between tabs (BEIR), or query id, iteration, document id and "
            f"grade (TREC), got {line.shown()}."
        )
    return columns[0], columns[-2], grade
