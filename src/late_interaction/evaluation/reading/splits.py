"""Which of the splits of a folder is read."""

from __future__ import annotations

from typing import TYPE_CHECKING, TypeVar

from late_interaction.errors import InvalidRequestError

if TYPE_CHECKING:
    from collections.abc import Mapping
    from pathlib import Path

__all__ = ["chosen_split"]

_Value = TypeVar("_Value")


def chosen_split(splits: Mapping[str, _Value], split: str | None, folder: Path) -> _Value:
    """Return the value of a split: the one that was asked for, otherwise ``test``, otherwise the only one.

    Raises:
        InvalidRequestError: The split does not exist, or there are several and none was asked for.
    """
    name = next(iter(splits)) if split is None and "test" not in splits and len(splits) == 1 else split or "test"
    if name in splits:
        return splits[name]
    known = f"It has {', '.join(splits)}: pass one of them as split." if splits else "It has none."
    raise InvalidRequestError(f"{folder} has no split {name!r}. {known}")
