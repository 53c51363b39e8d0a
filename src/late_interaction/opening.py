"""Open an index, or create one: its engine, its settings and its encoder."""

from __future__ import annotations

import pickle
from typing import TYPE_CHECKING, Any, TypeVar

from late_interaction.engines.registry import open_engine
from late_interaction.errors import IndexNotFoundError, InvalidRequestError
from late_interaction.index_encoder import as_encoder, fingerprint_of, read_record, reduced

if TYPE_CHECKING:
    import os
    from collections.abc import Callable, Mapping

    from late_interaction.encoders.protocol import Encoder
    from late_interaction.engines.base import Engine

__all__ = ["check_picklable", "open_index", "reopen", "reopening"]

_Index = TypeVar("_Index")


def open_index(
    make: Callable[..., _Index],
    location: str | os.PathLike[str],
    encoder: Encoder | str | os.PathLike[str] | None,
    engine_settings: Mapping[str, Any],
    *,
    pooling: int | None,
    dim: int | None,
    read_only: bool,
) -> _Index:
    """Open the engine of an index; close it if anything fails.

    It is created if there is none, and an encoder or a dimension is given.

    Args:
        make: Makes the index, from ``engine=`` and ``encoder=``.
        location: A path or address.
        encoder: As for `Index.open`.
        engine_settings: Keyword arguments of the engine's ``open``.
        pooling: Vectors of a document that become one.
        dim: Leading dimensions that are kept; without an encoder, the dimension of a new index.
        read_only: Only read.
    """
    try:
        engine = open_engine(location, read_only=read_only, **engine_settings)
    except IndexNotFoundError:
        if read_only or (encoder is None and dim is None):
            raise
        if encoder is None:
            _refuse_pooling(pooling)
        else:
            encoder = as_encoder(encoder)
            fingerprint_of(encoder)  # an encoder that cannot be used is an error before there is an index
            encoder = reduced(encoder, pooling, dim)
            dim = encoder.dim
        engine = open_engine(location, dim=dim, read_only=False, **engine_settings)
    try:
        if encoder is not None and engine.encoder_record is None:
            encoder = reduced(as_encoder(encoder), pooling, dim)
        _check_settings(engine, pooling=pooling, dim=dim, has_encoder=encoder is not None)
        return make(engine=engine, encoder=encoder)
    except BaseException:
        engine.close()
        raise


def reopen(
    make: Callable[..., _Index], location: str, encoder: Encoder | None, settings: Mapping[str, Any], *, read_only: bool
) -> _Index:
    """Open an index once more, with what `reopening` gave. The arguments are those of `open_index`."""
    return open_index(make, location, encoder, settings, pooling=None, dim=None, read_only=read_only)


def reopening(engine: Engine) -> tuple[str, dict[str, Any]]:
    """Return the location and the settings with which an index that is pickled or copied is opened again.

    Raises:
        TypeError: It cannot be opened again.
    """
    if engine.reopening is None:
        raise TypeError(
            f"An index over {type(engine).__name__} cannot be pickled or copied, since it is not in a directory from "
            "which it could be opened again. Create it in each process."
        )
    return engine.reopening


class _Nowhere:
    """A file that keeps nothing."""

    def write(self, data: bytes) -> int:
        return len(data)


def check_picklable(encoder: Encoder | None) -> None:
    """Refuse to pickle an index with an encoder of the caller that holds what no pickle can, such as a mutex.

    Other problems are left to the pickler: that of cloudpickle, for example, takes local classes.

    Raises:
        TypeError: The encoder cannot be pickled; the message says why.
    """
    try:
        pickle.Pickler(_Nowhere()).dump(encoder)
    except TypeError as error:
        raise TypeError(
            f"The encoder of the index, {type(encoder).__name__}, cannot be pickled: {error}. Leave this out in its "
            "__getstate__, or create the index in each process."
        ) from None
    except (pickle.PicklingError, AttributeError):
        return


def _check_settings(engine: Engine, *, pooling: int | None, dim: int | None, has_encoder: bool) -> None:
    """Refuse other settings than those the index was created with.

    Raises:
        InvalidRequestError: They differ, or the index has no encoder yet that they could be settings of.
    """
    if dim not in (None, engine.dim):
        raise InvalidRequestError(
            f"The index was created with dim={engine.dim}, which cannot be changed (got dim={dim!r})."
        )
    if pooling is None:
        return
    record = read_record(engine)
    if record is None and not has_encoder:
        _refuse_pooling(pooling)
    made_with = 1 if record is None or record.reduction is None else record.reduction["pooling"]
    if record is not None and pooling != made_with:
        raise InvalidRequestError(
            f"The index was created with pooling={made_with}, which cannot be changed (got pooling={pooling!r})."
        )


def _refuse_pooling(pooling: int | None) -> None:
    if pooling is not None:
        raise InvalidRequestError(f"The index has no encoder yet: pass pooling={pooling!r} together with encoder=.")
