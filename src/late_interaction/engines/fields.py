"""Check which fields of documents are to be read."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, get_args

from late_interaction.documents import FieldName
from late_interaction.errors import InvalidRequestError
from late_interaction.validation import did_you_mean

if TYPE_CHECKING:
    from collections.abc import Iterable

__all__ = ["check_fields"]


def check_fields(fields: Iterable[FieldName]) -> tuple[FieldName, ...]:
    """Return the fields to read besides the id, each once.

    Raises:
        InvalidRequestError: They are not a list of names of fields.
    """
    if isinstance(fields, str):
        raise InvalidRequestError(f"fields must be a list of names, got the string {fields!r}. Pass `[{fields!r}]`.")
    names: dict[Any, None] = dict.fromkeys(fields)
    names.pop("id", None)  # always read
    if unknown := [name for name in names if name not in get_args(FieldName)]:
        raise InvalidRequestError(
            f"fields must be among id, {', '.join(get_args(FieldName))}, got {', '.join(map(repr, unknown))}."
            f"{did_you_mean(unknown[0], get_args(FieldName))}"
        )
    return tuple(names)
