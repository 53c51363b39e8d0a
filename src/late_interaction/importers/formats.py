"""Which kinds of sources can be imported, and how they are recognized."""

from __future__ import annotations

from typing import TYPE_CHECKING

from late_interaction.errors import InvalidRequestError
from late_interaction.importers.byaldi import BYALDI
from late_interaction.importers.files import has_file
from late_interaction.importers.ragatouille import RAGATOUILLE
from late_interaction.importers.stanford import STANFORD
from late_interaction.importers.vectors import VECTORS

if TYPE_CHECKING:
    from pathlib import Path

    from late_interaction.importers.foreign import ForeignFormat

__all__ = ["FORMATS", "recognized"]

FORMATS: tuple[ForeignFormat, ...] = (RAGATOUILLE, STANFORD, BYALDI, VECTORS)
"""The first that matches a folder opens it, so the more specific ones come first."""

_SHOWN_NAMES = 12


def recognized(folder: Path) -> ForeignFormat:
    """Return the kind of a source.

    Raises:
        InvalidRequestError: It is not a folder, or of no known kind. The message lists what is known and what is there.
        CorruptIndexError: A file that tells the kind is damaged.
    """
    if not folder.is_dir():
        what = "is not a folder" if folder.exists() else "does not exist"
        raise InvalidRequestError(f"{folder} {what}. Pass the folder of an index, or of token vectors.")
    if has_file(folder, "catalog.sqlite"):
        raise InvalidRequestError(
            f"{folder} is an index of late-interaction. Copy it with `late-interaction transfer`, or open it."
        )
    for one in FORMATS:
        if one.matches(folder):
            return one
    known = "; ".join(f"{one.name} ({one.layout})" for one in FORMATS)
    raise InvalidRequestError(f"{folder} is of no known kind. It contains {_contents(folder)}. Known are: {known}.")


def _contents(folder: Path) -> str:
    names = sorted(f"{path.name}/" if path.is_dir() else path.name for path in folder.iterdir())
    more = f" and {len(names) - _SHOWN_NAMES:,} others" if len(names) > _SHOWN_NAMES else ""
    return ", ".join(ascii(name)[1:-1] for name in names[:_SHOWN_NAMES]) + more if names else "nothing"
