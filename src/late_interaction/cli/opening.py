"""Open the index that a command names."""

from __future__ import annotations

import shlex

from late_interaction.errors import IndexNotFoundError
from late_interaction.index import Index

__all__ = ["open_index"]


def open_index(directory: str, *, read_only: bool = True) -> Index:
    """Open an index.

    Raises:
        IndexNotFoundError: There is none. The message says how to create one on the command line.
    """
    try:
        return Index.open(directory, read_only=read_only)
    except IndexNotFoundError:
        raise IndexNotFoundError(
            f"There is no index at {directory}. Create one with `late-interaction index PATH --index "
            f"{shlex.quote(directory)}`."
        ) from None
