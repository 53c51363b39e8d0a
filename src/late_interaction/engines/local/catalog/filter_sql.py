"""Compile a filter to SQL over the catalog's table ``fields``: one indexed range per condition.

Conditions on the text of documents read all texts.
"""

from __future__ import annotations

import hashlib
from typing import Any

from late_interaction.errors import InvalidFilterError
from late_interaction.filters import AllOf, AnyOf, Compare, Contains, Exists, FieldValue, Filter, In, Not, TextContains

__all__ = [
    "KINDS",
    "LOWERED",
    "MAX_JSON_BYTES",
    "MAX_PATH_BYTES",
    "compile_filter",
    "sql_path",
    "sql_value",
    "whole_value",
]

KINDS = {"null": 0, "bool": 1, "number": 2, "string": 3, "json": 4}
"""The numbers of the kinds of `FieldValue` in the table. Part of the format on disk."""

LOWERED = "lowered"
"""The SQL function that applies `str.lower`; SQLite's own function converts ASCII letters only."""

MAX_PATH_BYTES = 64
MAX_JSON_BYTES = 32
"""Longer paths, and longer JSON of lists and dicts, are digests in the table: blobs of 16 bytes, which equal no text.

They are only compared for equality, and nested metadata repeats them at each level: without a limit, 100 kB of metadata
made a catalog of 100 MB. Part of the format on disk, since version 4.
"""

_ALONE = {True: "", False: " AND is_element = 0"}
_OPERATOR_SQL = {"$gt": ">", "$gte": ">=", "$lt": "<", "$lte": "<="}
_MAX_OPERANDS = 10_000  # SQLite's own limit on parameters is 32,766 in its default build


def sql_value(value: FieldValue) -> Any:
    """Return the value as it is in the table. A null is 0: its kind identifies it, and NULL in SQL equals nothing."""
    return _shortened(str(value.value), MAX_JSON_BYTES) if value.kind == "json" else whole_value(value)


def sql_path(path: str) -> str | bytes:
    """Return the path of a field as it is in the table."""
    return _shortened(path, MAX_PATH_BYTES)


def whole_value(value: FieldValue) -> Any:
    """Return the value as it is in the table of older formats."""
    return 0 if value.value is None else value.value


def _shortened(text: str, limit: int) -> str | bytes:
    if 4 * len(text) <= limit:  # UTF-8 takes at most four bytes per character
        return text
    encoded = text.encode()
    return text if len(encoded) <= limit else hashlib.sha256(encoded).digest()[:16]


def compile_filter(clause: Filter, *, shortened: bool = True) -> tuple[str, list[Any]]:
    """Return the clause as a boolean SQL expression over ``documents.row``, with its parameters.

    Args:
        clause: The filter.
        shortened: Whether the catalog has digests instead of long paths and values, as all but older formats have.

    Raises:
        InvalidFilterError: The filter has more operands than one SQL statement may have.
    """
    compiler = _Compiler(shortened=shortened)
    expression = compiler.compile(clause)
    if len(compiler.parameters) > _MAX_OPERANDS:
        raise InvalidFilterError(
            f"The filter has {len(compiler.parameters)} fields and operands, at most {_MAX_OPERANDS} are allowed. "
            "Split it, or pass ids as candidates."
        )
    return expression, compiler.parameters


class _Compiler:
    """Compiles one filter.

    Attributes:
        parameters: The parameters of the expressions compiled so far.
    """

    def __init__(self, *, shortened: bool) -> None:
        self.parameters: list[Any] = []
        self._path = sql_path if shortened else str
        self._value = sql_value if shortened else whole_value

    def compile(self, clause: Filter) -> str:
        """Return a clause as an SQL expression."""
        match clause:
            case AllOf(clauses):
                return _join("AND", [self.compile(part) for part in clauses], empty="1")
            case AnyOf(clauses):
                return _join("OR", [self.compile(part) for part in clauses], empty="0")
            case Not(part):
                return f"NOT {self.compile(part)}"
            case TextContains(substring):
                self.parameters.append(substring)
                return "(instr(documents.text, ?) > 0)"
            case Exists(field):
                return self._rows(field, "1", [])
            case In():
                return self._in(clause)
            case Compare(field, operator, operand, elements):
                condition = f"kind = ? AND value {_OPERATOR_SQL[operator]} ?{_ALONE[elements]}"
                return self._rows(field, condition, [KINDS[operand.kind], self._value(operand)])
            case Contains(field, operand, elements, ignore_case):
                branches = ["is_element = 1 AND kind = ? AND value = ?"] if elements else []
                if operand.kind == "string":
                    text = f"{LOWERED}(value)" if ignore_case else "value"
                    branches.append(f"is_element = 0 AND kind = ? AND instr({text}, ?) > 0")
                values = [KINDS[operand.kind], self._value(operand)] * len(branches)
                return self._rows(field, _join("OR", branches, empty="0"), values)

    def _in(self, clause: In) -> str:
        field = clause.field
        by_kind: dict[str, list[Any]] = {}
        for operand in clause.values:
            by_kind.setdefault(operand.kind, []).append(self._value(operand))
        branches = []
        for kind, values in by_kind.items():
            condition = f"kind = ? AND value IN ({', '.join('?' * len(values))}){_ALONE[clause.elements]}"
            branches.append(self._rows(field, condition, [KINDS[kind], *values]))
        if "null" in by_kind:
            branches.append("NOT " + self._rows(field, "1", []))
        return _join("OR", branches, empty="0")

    def _rows(self, field: str, condition: str, values: list[Any]) -> str:
        self.parameters += [self._path(field), *values]
        return f"(documents.row IN (SELECT document FROM fields WHERE path = ? AND ({condition})))"


def _join(operator: str, expressions: list[str], *, empty: str) -> str:
    """Join expressions as a balanced tree: SQLite limits the depth of an expression, which a chain would exceed."""
    if len(expressions) <= 1:
        return expressions[0] if expressions else empty
    middle = len(expressions) // 2
    left = _join(operator, expressions[:middle], empty=empty)
    right = _join(operator, expressions[middle:], empty=empty)
    return f"({left} {operator} {right})"
