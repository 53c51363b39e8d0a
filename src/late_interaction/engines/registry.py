"""The table of engines: which class opens which location. Engines are imported when they are first used."""

from __future__ import annotations

import os
import re
from importlib import import_module
from typing import TYPE_CHECKING, Any, NamedTuple

from late_interaction.errors import InvalidRequestError

if TYPE_CHECKING:
    from late_interaction.engines.base import Engine

__all__ = ["ENGINES", "engine_class", "open_engine"]


class EngineEntry(NamedTuple):
    """Where the class of an engine is, and which locations it opens.

    Attributes:
        module: The module of the class.
        schemes: What stands before the first ``:`` of a location. None for a path.
    """

    module: str
    schemes: tuple[str, ...] | None


ENGINES: dict[str, EngineEntry] = {
    "LocalEngine": EngineEntry("late_interaction.engines.local", None),
}
"""By the name of the class."""

_SCHEME = re.compile(r"([a-z][a-z0-9+.-]*)://")


def engine_class(name: str) -> type[Any]:
    """Return an engine's class by its name in `ENGINES`, importing its module."""
    engine: type[Any] = getattr(import_module(ENGINES[name].module), name)
    return engine


def open_engine(location: str | os.PathLike[str], **settings: Any) -> Engine:
    """Open the engine of a location.

    Args:
        location: The path of a directory, or the address of a server.
        **settings: Passed to the ``open`` of the engine's class.

    Raises:
        InvalidRequestError: No engine has the scheme of the address.
    """
    scheme = _SCHEME.match(location) if isinstance(location, str) else None
    for name, entry in ENGINES.items():
        if scheme is None if entry.schemes is None else scheme is not None and scheme[1] in entry.schemes:
            engine: Engine = engine_class(name).open(location, **settings)
            return engine
    known = sorted(f"{one}://" for entry in ENGINES.values() for one in entry.schemes or ())
    raise InvalidRequestError(
        f"No engine opens {os.fspath(location)!r}. Give the path of a directory"
        f"{''.join(f', or an address with {one}' for one in known)}."
    )
