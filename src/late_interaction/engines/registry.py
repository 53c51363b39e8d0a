"""The table of engines: which class opens which location. Engines are imported when they are first used."""

from __future__ import annotations

import os
import re
from importlib import import_module
from typing import TYPE_CHECKING, Any, NamedTuple

from late_interaction.errors import InvalidRequestError
from late_interaction.wording import shown_location

if TYPE_CHECKING:
    from late_interaction.engines.base import Engine

__all__ = ["ENGINES", "engine_class", "open_engine"]


class EngineEntry(NamedTuple):
    """Where the class of an engine is, and which locations it opens.

    Attributes:
        module: The module of the class.
        schemes: What stands before the first ``:`` of a location. None for a path.
        method: The class method that opens a location.
    """

    module: str
    schemes: tuple[str, ...] | None
    method: str = "open"


ENGINES: dict[str, EngineEntry] = {
    "LocalEngine": EngineEntry("late_interaction.engines.local", None, "open_shared"),
    "QdrantEngine": EngineEntry("late_interaction.engines.qdrant", ("qdrant", "qdrant+http", "qdrant+https")),
    "LanceDBEngine": EngineEntry(
        "late_interaction.engines.lancedb", ("lancedb", "lancedb+s3", "lancedb+gs", "lancedb+az")
    ),
}
"""By the name of the class."""

_SCHEME = re.compile(r"([A-Za-z][A-Za-z0-9+.-]+):")  # of two characters at least: one is a drive of Windows
_SCHEME_IN_PATH = re.compile(_SCHEME.pattern + r"([\\/]|$)")  # what `Path` makes of an address


def engine_class(name: str) -> type[Any]:
    """Return an engine's class by its name in `ENGINES`, importing its module."""
    engine: type[Any] = getattr(import_module(ENGINES[name].module), name)
    return engine


def open_engine(location: str | os.PathLike[str], **settings: Any) -> Engine:
    """Open the engine of a location.

    Args:
        location: The path of a directory, or the address of a server, which has a scheme before its first colon.
        **settings: Passed to the method that opens it.

    Raises:
        InvalidRequestError: No engine has the scheme of the address.
    """
    scheme = _scheme_of(location)
    for name, entry in ENGINES.items():
        if scheme is None if entry.schemes is None else scheme in entry.schemes:
            engine: Engine = getattr(engine_class(name), entry.method)(location, **settings)
            return engine
    known = sorted(f"{one}:" for entry in ENGINES.values() for one in entry.schemes or ())
    name = shown_location(location)
    raise InvalidRequestError(
        f"No engine opens {name!r}: it begins with {f'{scheme}:'!r}, as an address. Give the path of a directory"
        f", or an address that begins with {', '.join(known[:-1])} or {known[-1]}. For a directory of this name: "
        f"{f'./{name}'!r}."
    )


def _scheme_of(location: object) -> str | None:
    """Return what stands before the first colon of an address, in lower case; None for a path."""
    if isinstance(location, str):
        found = _SCHEME.match(location)
    else:  # not an address, unless `Path` was given one
        name = os.fspath(location) if isinstance(location, os.PathLike) else None
        found = _SCHEME_IN_PATH.match(name) if isinstance(name, str) else None
    return None if found is None else found[1].lower()
