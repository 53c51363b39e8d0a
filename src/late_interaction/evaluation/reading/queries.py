"""Judged queries from what users have: dicts, JSONL and tab-separated files."""

from __future__ import annotations

import os
import reprlib
from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any

from late_interaction.documents import Document
from late_interaction.errors import InvalidRequestError
from late_interaction.evaluation.dataset import JudgedQuery
from late_interaction.evaluation.reading.lines import json_lines, read_lines
from late_interaction.validation import check_query, is_id, is_invisible

if TYPE_CHECKING:
    from collections.abc import Iterator

    from late_interaction.evaluation.reading.lines import Line

__all__ = ["as_grade", "as_id", "as_queries", "as_text", "grades_of", "read_queries"]

_EXPECTED = 'Expected {"query": text, "relevant": id, list of ids or {id: grade}, "id": optional}.'
_MAX_NUMBER = 1 << 64  # of integers that are ids, and of grades
_JSON_SUFFIXES = (".jsonl", ".ndjson", ".json")


def as_queries(queries: Iterable[JudgedQuery | Mapping[str, Any]] | str | os.PathLike[str]) -> list[JudgedQuery]:
    """Return judged queries.

    Args:
        queries: `JudgedQuery` objects; or dicts with ``query`` (a text, or a document with an image), ``relevant`` (the
            id of the relevant document, a list of ids, or a dict of grades by id) and, if wanted, ``id``; or the path
            of a JSONL file of such objects, plain or compressed by gzip. Queries without an id are numbered from 1.
            Ids that are integers become their decimal digits. Other keys are not used.

    Raises:
        InvalidRequestError: One is not such a query, or two have the same id. For a file the message has the line.

    Example:
        >>> as_queries([{"query": "capital of France", "relevant": "paris"}])
        [JudgedQuery(id='1', query='capital of France', relevant={'paris': 1.0})]
    """
    if isinstance(queries, (str, os.PathLike)):
        return list(_judged_queries(Path(queries)))
    if isinstance(queries, Mapping) or not isinstance(queries, Iterable):
        raise InvalidRequestError(
            f"queries must be a list of dicts or JudgedQuery objects, or a path, not {type(queries).__name__}."
        )
    found: dict[str, JudgedQuery] = {}
    for number, given in enumerate(queries, start=1):
        try:
            query = _checked(given) if isinstance(given, JudgedQuery) else _from_dict(given, number)
        except InvalidRequestError as error:
            raise InvalidRequestError(f"Query {number}: {error}") from None
        if query.id in found:
            raise InvalidRequestError(f"Query {number}: an earlier query has the id {query.id!r} too.")
        found[query.id] = query
    return list(found.values())


def read_queries(path: Path) -> Iterator[tuple[Line, JudgedQuery, bool]]:
    """Yield the queries of a file, each with its line, and with whether the file has its judgments.

    Files whose suffix is that of JSON have objects with ``query`` or ``text``, ``id`` or ``_id`` (as in BEIR), and
    perhaps ``relevant``. Lines of other files are an id, a tab and the text.

    Raises:
        InvalidRequestError: A line is not a query, or two have the same id. The message names the file and line.
    """
    seen: set[str] = set()
    is_json = path.name.lower().removesuffix(".gz").endswith(_JSON_SUFFIXES)
    for line, query, is_judged in _json_queries(path) if is_json else _tab_queries(path):
        if query.id in seen:
            raise line.error(f"the query id {query.id!r} occurs twice.")
        seen.add(query.id)
        yield line, query, is_judged


def _judged_queries(path: Path) -> Iterator[JudgedQuery]:
    for line, query, is_judged in read_queries(path):
        if not is_judged:
            raise line.error(
                f"has no relevant documents. {_EXPECTED} If the judgments are in another file, use read_dataset."
            )
        yield query


def _json_queries(path: Path) -> Iterator[tuple[Line, JudgedQuery, bool]]:
    for number, (line, values) in enumerate(json_lines(path), start=1):
        try:
            name = as_id(values.get("id", values.get("_id", number)), "id")
            relevant = values.get("relevant")
            grades = {} if relevant is None else grades_of(relevant)
            query = JudgedQuery(name, as_text(values.get("query", values.get("text"))), grades)
        except InvalidRequestError as error:
            raise line.error(f"{error} {_EXPECTED}") from None
        yield line, query, relevant is not None


def _tab_queries(path: Path) -> Iterator[tuple[Line, JudgedQuery, bool]]:
    for line in read_lines(path):
        name, tab, text = line.text.partition("\t")
        if not (tab and name.strip() and text.strip()):
            raise line.error(f"expected an id, a tab and the text of a query, got {line.shown()}.")
        yield line, JudgedQuery(name, text), False


def _from_dict(given: object, number: int) -> JudgedQuery:
    if not isinstance(given, Mapping):
        raise InvalidRequestError(f"must be a dict or a JudgedQuery, not {type(given).__name__}.")
    if "query" not in given or "relevant" not in given:
        raise InvalidRequestError(f"has the keys {', '.join(map(repr, given)) or 'of an empty dict'}. {_EXPECTED}")
    return _checked(JudgedQuery(given.get("id", number), given["query"], grades_of(given["relevant"])))


def _checked(query: JudgedQuery) -> JudgedQuery:
    text = query.query if isinstance(query.query, Document) else as_text(query.query)
    return JudgedQuery(as_id(query.id, "id"), text, grades_of(query.relevant))


def as_text(value: object) -> str:
    """Return the text of a query.

    Raises:
        InvalidRequestError: It is not a string that UTF-8 can hold, or it is blank, so that nothing can be found.
    """
    text = check_query(value)
    if is_invisible(text):
        raise InvalidRequestError(f"A query must not be blank, got {reprlib.repr(text)}.")
    return text


def as_id(value: object, what: str) -> str:
    """Return an id. Integers, which some files have, become their decimal digits.

    Raises:
        InvalidRequestError: It is neither an integer nor a string that can be an id.
    """
    if isinstance(value, int) and not isinstance(value, bool) and abs(value) < _MAX_NUMBER:
        return str(value)
    if not is_id(value):
        raise InvalidRequestError(
            f"{what} must be a string that is not empty, or an integer of 64 bits, got {reprlib.repr(value)}."
        )
    return value


def grades_of(relevant: object) -> dict[str, float]:
    """Return grades by document id, of an id, a list of ids or a dict of grades.

    Raises:
        InvalidRequestError: It is none of them, or a grade is not a finite number.
    """
    if isinstance(relevant, Mapping):
        return {as_id(name, "relevant"): as_grade(grade) for name, grade in relevant.items()}
    if isinstance(relevant, (str, int)):
        return {as_id(relevant, "relevant"): 1.0}
    if isinstance(relevant, Iterable) and not isinstance(relevant, bytes):
        return dict.fromkeys((as_id(name, "relevant") for name in relevant), 1.0)
    raise InvalidRequestError(
        f"relevant must be a document id, a list of ids or a dict of grades by id, got {reprlib.repr(relevant)}."
    )


def as_grade(value: object) -> float:
    """Return a grade as a float.

    Raises:
        InvalidRequestError: It is not a finite number.
    """
    if isinstance(value, bool) or not isinstance(value, (int, float)) or not abs(value) < _MAX_NUMBER:
        raise InvalidRequestError(f"A grade must be a finite number, got {reprlib.repr(value)}.")
    return float(value)
