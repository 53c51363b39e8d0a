"""What users give to the classes of every framework: an index or its path, an encoder or its name."""

from __future__ import annotations

import os

from late_interaction.errors import InvalidRequestError
from late_interaction.index import Index
from late_interaction.index_encoder import as_encoder

__all__ = ["as_index"]


def as_index(index: object, *, read_only: bool = False, encoder: object = None) -> Index:
    """Return the index, opened if it is given by its path.

    Raises:
        InvalidRequestError: It is neither, or an encoder is given with an index that has one.
    """
    if isinstance(index, (str, os.PathLike)):
        return Index.open(index, read_only=read_only, encoder=None if encoder is None else as_encoder(encoder))
    if not isinstance(index, Index):
        raise InvalidRequestError(f"index= takes an Index or the path of one, not {type(index).__name__}.")
    if encoder is not None:
        raise InvalidRequestError("An Index has its encoder already; encoder= goes with a path.")
    return index
