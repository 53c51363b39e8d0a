"""What users give to the classes of every framework: an index, its path or address; an encoder or its name."""

from __future__ import annotations

import os
from typing import TYPE_CHECKING

from late_interaction.cascades import Cascade
from late_interaction.encoders import reads_images
from late_interaction.errors import InvalidRequestError
from late_interaction.index import Index
from late_interaction.index_encoder import as_encoder
from late_interaction.validation import did_you_mean

if TYPE_CHECKING:
    from collections.abc import Iterable
    from typing import TypeAlias

    from late_interaction.encoders import Encoder

    IndexOrPath: TypeAlias = Index | str | os.PathLike[str]
    EncoderOrName: TypeAlias = Encoder | str | os.PathLike[str]

__all__ = [
    "as_index",
    "as_searchable",
    "as_store",
    "check_known",
    "encoder_name",
    "engine_name",
    "index_of",
    "location_of",
    "persist",
    "source_of",
    "takes_images",
]


def check_known(given: Iterable[str], known: Iterable[str], method: str) -> None:
    """Refuse keyword arguments that a method does not have: a misspelt filter must not become no filter.

    Args:
        given: Names of the arguments.
        known: Names that are allowed.
        method: The name of the method, for the error.

    Raises:
        InvalidRequestError: One is unknown.
    """
    known = sorted(known)
    for name in given:
        if name not in known:
            allowed = f"Allowed: {', '.join(known)}." if known else "It takes no other arguments."
            raise InvalidRequestError(f"{method} has no argument {name!r}.{did_you_mean(name, known)} {allowed}")


def as_index(index: object, *, read_only: bool = False, encoder: object = None) -> Index:
    """Return the index, opened if it is given by its path or address.

    Args:
        index: An `Index`, or the path or address of one.
        read_only: Open a path for reading; else for writing.
        encoder: For a path: the encoder of a new index.

    Raises:
        InvalidRequestError: It is neither, or an encoder is given with an index that has one.
    """
    if isinstance(index, (str, os.PathLike)):
        return Index.open(index, read_only=read_only, encoder=None if encoder is None else as_encoder(encoder))
    if not isinstance(index, Index):
        raise InvalidRequestError(f"index= takes an Index, or the path or address of one, not {type(index).__name__}.")
    if encoder is not None:
        raise InvalidRequestError("An Index has its encoder already; encoder= goes with a path.")
    return index


def as_searchable(index: object) -> Index | Cascade:
    """Return what a retriever searches: a cascade as it is, otherwise what `as_index` opens for reading.

    Raises:
        InvalidRequestError: It is neither a `Cascade` nor an `Index` nor the path or address of one.
    """
    return index if isinstance(index, Cascade) else as_index(index, read_only=True)


def index_of(searched: Index | Cascade) -> Index:
    """Return the index itself, or the one that a cascade searches."""
    return searched.index if isinstance(searched, Cascade) else searched


def as_store(index: object, *, read_only: bool, encoder: object = None) -> Index:
    """Return the index of a store that may write, opened if it is given by its path. See `as_index`.

    Raises:
        InvalidRequestError: As by `as_index`, or ``read_only`` is given with an index that is open.
    """
    if read_only and isinstance(index, Index):
        raise InvalidRequestError(
            "read_only=True goes with the path of an index. An Index is open already: open it with "
            "Index.open(path, read_only=True)."
        )
    return as_index(index, read_only=read_only, encoder=encoder)


def location_of(index: Index | None) -> str | None:
    """Return the path or address from which the index can be opened again; None if there is none."""
    reopening = None if index is None else index.engine.reopening
    return None if reopening is None else reopening[0]


def persist(index: Index, path: str | os.PathLike[str]) -> None:
    """Write a copy of the index into a directory, or over an earlier copy there; see `Index.copy`.

    An index of a server or database is not copied: it keeps everything itself, and a storage context its address.
    """
    if index.engine.capabilities.copy:
        index.copy(path, replace=True)


def takes_images(index: Index | None, encoder: Encoder | None = None) -> bool:
    """Return whether a page is encoded as its image; else the text on it is."""
    return reads_images(encoder) if index is None else "image" in index.modalities


def engine_name(index: Index) -> str:
    """Return the name of the engine for traces, for example ``LocalEngine``."""
    return type(index.engine).__name__


def source_of(encoder: object) -> str | None:
    """Return what `load_encoder` loads an encoder from; None for a custom encoder."""
    source = getattr(encoder, "source", None)
    return None if source is None else str(source)


def encoder_name(index: Index | None, encoder: Encoder | None = None) -> str:
    """Return the name of the encoder for events: what it is loaded from, or its class."""
    known = source_of(encoder) if index is None else index.encoder_name
    return known or type(encoder if index is None else index.encoder).__name__
