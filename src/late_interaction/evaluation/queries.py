"""Judged queries from what users have: dicts, JSONL and tab-separated files."""

from __future__ import annotations

import math
import os
from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any

from late_interaction.documents import Document
from late_interaction.errors import InvalidRequestError
from late_interaction.evaluation.dataset import JudgedQuery
from late_interaction.evaluation.lines import json_lines, read_lines
from late_interaction.validation import check_query, did_you_mean, is_id

if TYPE_CHECKING:
    from collections.abc import Iterator

__all__ = ["as_id", "as_queries", "grades_of", "read_queries"]

_KEYS = ("query", "relevant", "id")


def as_queries(queries: Iterable[JudgedQuery | Mapping[str, Any]] | str | os.PathLike[str]) -> list[JudgedQuery]:
    """Return judged queries.

    Args:
        queries: `JudgedQuery` objects; dicts with ``query`` (a text, or a document with an image), ``relevant`` (the id
            of the relevant document, a list of ids, or a dict of grades by id) and, if wanted, ``id``; or the path of a
            JSONL file with such dicts, which may be compressed by gzip. Queries without an id are numbered from 1.

    Raises:
        InvalidRequestError: One is not such a query, or two have the same id.

    Example:
        >>> as_queries([{"query": "capital of France", "relevant": "paris"}])
        [JudgedQuery(id='1', query='capital of France', relevant={'paris': 1.0})]
    """
    if isinstance(queries, (str, os.PathLike)):
        return [query for query, _ in read_queries(Path(queries))]
    if isinstance(queries, Mapping) or not isinstance(queries, Iterable):
        raise InvalidRequestError(
            f"queries must be a list of dicts or of JudgedQuery objects, or a path, not {type(queries).__name__}."
        )
    found: dict[str, JudgedQuery] = {}
    for number, given in enumerate(queries, start=1):
        try:
            query = given if isinstance(given, JudgedQuery) else _from_dict(given, str(number))
        except InvalidRequestError as error:
            raise InvalidRequestError(f"Query {number}: {error}") from None
        if found.setdefault(query.id, query) is not query:
            raise InvalidRequestError(f"Query {number} has the id {query.id!r} of an earlier query.")
    return list(found.values())


def read_queries(path: Path) -> Iterator[tuple[JudgedQuery, bool]]:
    """Yield the queries of a file, each with whether the file has its judgments.

    Lines are JSON objects with ``query`` or ``text``, ``id`` or ``_id`` (as in BEIR) and perhaps ``relevant``; or, in
    files of other kinds, an id, a tab and the text.

    Raises:
        InvalidRequestError: A line is not a query, or two have the same id. The message names the file and line.
    """
    seen: set[str] = set()
    is_json = any(suffix in (".jsonl", ".json", ".ndjson") for suffix in path.suffixes)
    for line, query, is_judged in _json_queries(path) if is_json else _tab_queries(path):
        if query.id in seen:
            raise line.error(f"the query id {query.id!r} occurs twice.")
        seen.add(query.id)
        yield query, is_judged


def _json_queries(path: Path) -> Iterator[tuple[Any, JudgedQuery, bool]]:
    for line, values in json_lines(path):
        try:
            text = values.get("query", values.get("text"))
            name = values.get("id", values.get("_id", line.number))
            relevant = values.get("relevant")
            query = JudgedQuery(
                as_id(name, "id"), check_query(text), grades_of(relevant) if relevant is not None else {}
            )
        except InvalidRequestError as error:
            raise line.error(
                f'{error} Expected {{"query": text, "relevant": id, list of ids or {{id: grade}}}}.'
            ) from None
        yield line, query, relevant is not None


def _tab_queries(path: Path) -> Iterator[tuple[Any, JudgedQuery, bool]]:
    for line in read_lines(path):
        name, tab, text = line.text.partition("\t")
        if not tab or not name.strip() or not text.strip():
            raise line.error(f"expected an id, a tab and the text of a query, got {line.shown()}.")
        yield line, JudgedQuery(name.strip(), text.strip()), False


def _from_dict(given: object, number: str) -> JudgedQuery:
    if not isinstance(given, Mapping):
        raise InvalidRequestError(f"must be a dict or a JudgedQuery, not {type(given).__name__}.")
    if unknown := [key for key in given if key not in _KEYS]:
        raise InvalidRequestError(
            f"unknown key {unknown[0]!r}. Known are {', '.join(_KEYS)}.{did_you_mean(unknown[0], _KEYS)}"
        )
    if "query" not in given or "relevant" not in given:
        raise InvalidRequestError(f"must have the keys 'query' and 'relevant', got {', '.join(map(repr, given))}.")
    query = given["query"]
    return JudgedQuery(
        as_id(given.get("id", number), "id"),
        query if isinstance(query, Document) else check_query(query),
        grades_of(given["relevant"]),
    )


def as_id(value: object, what: str) -> str:
    """Return an id. Integers, which some files have, become their decimal digits.

    Raises:
        InvalidRequestError: It is neither an integer nor a string that can be an id.
    """
    if isinstance(value, int) and not isinstance(value, bool):
        return str(value)
    if not is_id(value):
        raise InvalidRequestError(f"{what} must be a string that is not empty, or an integer, got {value!r:.80}.")
    return value


def grades_of(relevant: object) -> dict[str, float]:
    """Return grades by document id, of an id, a list of ids or a dict of grades.

    Raises:
        InvalidRequestError: It is none of them, or a grade is not a finite number.
    """
    if isinstance(relevant, Mapping):
        return {as_id(name, "relevant"): _grade(grade) for name, grade in relevant.items()}
    if isinstance(relevant, (str, int)):
        return {as_id(relevant, "relevant"): 1.0}
    if isinstance(relevant, Iterable) and not isinstance(relevant, bytes):
        return dict.fromkeys((as_id(name, "relevant") for name in relevant), 1.0)
    raise InvalidRequestError(
        f"relevant must be a document id, a list of ids, or a dict of grades by id, got {relevant!r:.80}."
    )


def _grade(value: object) -> float:
    if isinstance(value, bool) or not isinstance(value, (int, float)) or not math.isfinite(value):
        raise InvalidRequestError(f"A grade must be a finite number, got {value!r:.80}.")
    return float(value)
