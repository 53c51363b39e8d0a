"""Compiles a filter to SQL over the catalog's ``fields`` table: one indexed range per condition."""

from __future__ import annotations

from typing import Any

from late_interaction.errors import InvalidFilterError
from late_interaction.filters import AllOf, AnyOf, Compare, Contains, Exists, FieldValue, Filter, In, Not

__all__ = ["KINDS", "LOWERED", "compile_filter", "sql_value"]

KINDS = {"null": 0, "bool": 1, "number": 2, "string": 3, "json": 4}
"""How the kinds of `FieldValue` are written in the table. Part of the format on disk."""

LOWERED = "lowered"
"""The SQL function for lower case as Python knows it; SQLite's own knows that of ASCII alone."""

_ALONE = {True: "", False: " AND is_element = 0"}
_OPERATOR_SQL = {"$gt": ">", "$gte": ">=", "$lt": "<", "$lte": "<="}
_MAX_OPERANDS = 10_000  # SQLite's own limit on parameters is 32,766 in its default build


def sql_value(value: FieldValue) -> Any:
    """The value as SQLite holds it. A null is 0: its kind says what it is, and SQL's NULL equals nothing."""
    return 0 if value.value is None else value.value


def compile_filter(clause: Filter) -> tuple[str, list[Any]]:
    """The clause as a boolean SQL expression over ``documents.row``, with its parameters.

    Raises:
        InvalidFilterError: More operands than one SQL statement takes.
    """
    parameters: list[Any] = []
    expression = _compile(clause, parameters)
    if len(parameters) > _MAX_OPERANDS:
        raise InvalidFilterError(
            f"The filter has more than {_MAX_OPERANDS} operands. Split it, or pass ids as candidates."
        )
    return expression, parameters


def _compile(clause: Filter, parameters: list[Any]) -> str:
    match clause:
        case AllOf(clauses):
            return _join("AND", [_compile(part, parameters) for part in clauses], empty="1")
        case AnyOf(clauses):
            return _join("OR", [_compile(part, parameters) for part in clauses], empty="0")
        case Not(part):
            return f"NOT {_compile(part, parameters)}"
        case Exists(field):
            return _rows(field, "1", [], parameters)
        case In():
            return _compile_in(clause, parameters)
        case Compare(field, operator, operand, elements):
            condition = f"kind = ? AND value {_OPERATOR_SQL[operator]} ?{_ALONE[elements]}"
            return _rows(field, condition, [KINDS[operand.kind], sql_value(operand)], parameters)
        case Contains(field, operand, elements, ignore_case):
            branches = ["is_element = 1 AND kind = ? AND value = ?"] if elements else []
            if operand.kind == "string":
                text = f"{LOWERED}(value)" if ignore_case else "value"
                branches.append(f"is_element = 0 AND kind = ? AND instr({text}, ?) > 0")
            values = [KINDS[operand.kind], sql_value(operand)] * len(branches)
            return _rows(field, _join("OR", branches, empty="0"), values, parameters)


def _compile_in(clause: In, parameters: list[Any]) -> str:
    field = clause.field
    by_kind: dict[str, list[Any]] = {}
    for operand in clause.values:
        by_kind.setdefault(operand.kind, []).append(sql_value(operand))
    branches = []
    for kind, values in by_kind.items():
        condition = f"kind = ? AND value IN ({', '.join('?' * len(values))}){_ALONE[clause.elements]}"
        branches.append(_rows(field, condition, [KINDS[kind], *values], parameters))
    if "null" in by_kind:
        branches.append("NOT " + _rows(field, "1", [], parameters))
    return _join("OR", branches, empty="0")


def _join(operator: str, expressions: list[str], *, empty: str) -> str:
    """The expressions joined as a balanced tree: SQLite limits the depth of a tree, and a plain chain is all depth."""
    if len(expressions) <= 1:
        return expressions[0] if expressions else empty
    middle = len(expressions) // 2
    left = _join(operator, expressions[:middle], empty=empty)
    right = _join(operator, expressions[middle:], empty=empty)
    return f"({left} {operator} {right})"


def _rows(field: str, condition: str, values: list[Any], parameters: list[Any]) -> str:
    parameters += [field, *values]
    return f"(documents.row IN (SELECT document FROM fields WHERE path = ? AND ({condition})))"
