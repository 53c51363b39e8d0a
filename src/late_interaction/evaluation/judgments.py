"""Read relevance judgments: qrels of TREC, with 4 columns, and of BEIR, with 3."""

from __future__ import annotations

import math
from typing import TYPE_CHECKING

from late_interaction.evaluation.lines import read_lines

if TYPE_CHECKING:
    from pathlib import Path

__all__ = ["Qrels", "read_qrels"]

Qrels = dict[str, dict[str, float]]
"""Grades by query id and document id."""


def read_qrels(path: Path) -> Qrels:
    """Return the judgments of a file.

    Columns are query id, iteration (not used), document id and grade, between white space (TREC); or query id,
    document id and grade, between tabs (BEIR), with or without a header.

    Raises:
        InvalidRequestError: A line is not a judgment, or contradicts another. The message names the file and line.
    """
    qrels: Qrels = {}
    is_first = True
    for line in read_lines(path):
        columns = [column.strip() for column in line.text.split("\t")]
        if len(columns) != 3:
            columns = line.text.split()
        grade = _number(columns[-1])
        if is_first and grade is None and len(columns) == 3:
            is_first = False
            continue  # the header
        is_first = False
        if len(columns) not in (3, 4) or grade is None or not columns[0] or not columns[-2]:
            raise line.error(
                f"expected query id, iteration, document id and grade (TREC), or query id, document id and grade "
                f"between tabs (BEIR), got {line.shown()}."
            )
        grades = qrels.setdefault(columns[0], {})
        if grades.setdefault(columns[-2], grade) != grade:
            raise line.error(f"document {columns[-2]!r} has two grades for query {columns[0]!r}.")
    return qrels


def _number(text: str) -> float | None:
    try:
        value = float(text)
    except ValueError:
        return None
    return value if math.isfinite(value) else None
