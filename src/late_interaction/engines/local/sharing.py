"""Share one engine among the openings of a directory in this process.

A notebook cell that is run twice opens its index twice, and so do two chains of one server. Only one object can hold
the writer lock, and the segments need to be mapped only once. So openings with equal settings share an engine, which is
closed with the last of them. An opening that is garbage-collected counts as closed: the engine refers to it weakly.
"""

from __future__ import annotations

import os
import threading
from contextlib import suppress
from typing import TYPE_CHECKING, Any, Literal, TypedDict
from weakref import WeakSet, WeakValueDictionary

from late_interaction.engines.local.opening import resolve_root
from late_interaction.engines.local.storage.location import identity_of
from late_interaction.errors import InvalidRequestError, InvalidVectorsError
from late_interaction.forking import renew_in_child

if TYPE_CHECKING:
    from contextlib import AbstractContextManager
    from typing import TypeAlias

    from late_interaction.engines.local.engine import LocalEngine
    from late_interaction.engines.local.opening import Opened
    from late_interaction.engines.local.storage.location import Identity

    _Key: TypeAlias = tuple[Identity, str | None, bool]

__all__ = ["OpenSettings", "Sharing", "check_settings", "opening", "shared", "without_links"]


class OpenSettings(TypedDict, total=False):
    """The keyword arguments of `LocalEngine.open`, which explains them."""

    dim: int | None
    bits: int | Literal["default"] | None
    language: str | None
    device: str | None
    read_only: bool


def check_settings(engine: LocalEngine, settings: OpenSettings) -> None:
    """Raise unless an engine that was opened has these settings."""
    if (dim := settings.get("dim")) not in (None, engine.dim):
        raise InvalidVectorsError(f"The index at {engine.path} holds vectors of dimension {engine.dim}, not {dim}.")
    if (bits := settings.get("bits", "default")) not in ("default", engine.bits):
        raise InvalidRequestError(f"The index at {engine.path} was created with bits={engine.bits}, not {bits}.")
    if (language := settings.get("language", "default")) not in ("default", engine.language):
        raise InvalidRequestError(
            f"The index at {engine.path} was created with language={engine.language!r}, not {language!r}."
        )


class Sharing:
    """An engine, and its openings that are not closed.

    Args:
        engine: The engine that they share.
        opened: Its directory.
        settings: What it was opened with.

    Attributes:
        engine: The engine that they share.
        opened: Its directory.
        openings: The engines that were opened beside it, one for each opening.
    """

    def __init__(self, engine: LocalEngine, opened: Opened, settings: OpenSettings) -> None:
        self.engine = engine
        self.opened = opened
        self.openings: WeakSet[LocalEngine] = WeakSet()
        self._key = _key(opened.location.identity, settings)
        _known.engines[self._key] = self

    def close(self, closed: LocalEngine) -> None:
        """Note that an opening is closed, and close the engine if it was the last."""
        # In this order: a commit holds the first mutex, and a signal handler that interrupts it may open an index.
        with self.engine.hold(), _known.mutex:
            self.openings.discard(closed)
            if not self.openings:
                if _known.engines.get(self._key) is self:
                    del _known.engines[self._key]
                self.engine.close()


class _Known:
    """The shared engines of this process. A forked child has none: it may not write where its parent does.

    Attributes:
        engines: By the identity of the directory and the settings.
        mutex: Held while an engine is opened or closed.
    """

    def __init__(self) -> None:
        self.renew()
        renew_in_child(self.renew)

    def renew(self) -> None:
        self.engines: WeakValueDictionary[_Key, Sharing] = WeakValueDictionary()
        self.mutex = threading.RLock()  # reentrant: a signal handler may open another index


_known = _Known()


def opening() -> AbstractContextManager[Any]:
    """Return the mutex to hold from looking for a shared engine until it has another opening."""
    return _known.mutex


def shared(path: str | os.PathLike[str], settings: OpenSettings) -> Sharing | None:
    """Return the engine that an opening of this directory with these settings can share; None if there is none.

    Args:
        path: The directory, by any path.
        settings: ``device`` must be equal. Readers do not share the engine of the writer.
    """
    with suppress(OSError):  # no index there
        found = _known.engines.get(_key(identity_of(resolve_root(path)), settings))
        if found is not None and found.opened.is_in_place:
            return found
    return None


def without_links(path: str | os.PathLike[str]) -> str | os.PathLike[str]:
    """Return a path of the same directory for an engine that is shared, since a link may be switched later."""
    root = resolve_root(path)
    if os.name == "nt" or not os.path.isdir(root):  # noqa: PTH112  # Path.is_dir raises for names that are too long
        return path
    real = os.path.realpath(root)
    return path if real == str(root) else real


def _key(identity: Identity, settings: OpenSettings) -> _Key:
    device = settings.get("device")
    return identity, None if device == "cpu" else device, settings.get("read_only", False)
