"""Open the index that a command names."""

from __future__ import annotations

import shlex

from late_interaction.errors import IndexNotFoundError
from late_interaction.index import Index
from late_interaction.wording import shown_location

__all__ = ["open_index"]


def open_index(directory: str, *, read_only: bool = True) -> Index:
    """Open an index in a directory or at an address.

    Raises:
        IndexNotFoundError: There is none. The message says how to create one on the command line.
    """
    try:
        return Index.open(directory, read_only=read_only)
    except IndexNotFoundError:
        shown = shown_location(directory)
        raise IndexNotFoundError(
            f"There is no index at {shown}. Create one with `late-interaction index PATH --index {shlex.quote(shown)}`."
        ) from None
