"""Which versions of the server have what this engine needs."""

from __future__ import annotations

import re
from typing import TYPE_CHECKING, Any

from late_interaction.engines.qdrant.failures import CLIENT_ERRORS
from late_interaction.errors import EngineRefusedError, InvalidFilterError
from late_interaction.filters import operators_of, parse

if TYPE_CHECKING:
    from late_interaction.engines.qdrant.addresses import Address
    from late_interaction.filters import Where

__all__ = ["check_operators", "check_version", "version_of"]

_MIN_VERSION = "1.16"
"""The first with ``update_filter``. Earlier ones ignore it, so a vector could get the text of another writer."""

_SUBSTRING_VERSION = "1.20"
"""The first with ``match.substring``. Earlier ones refuse such a filter, in words that say nothing of a version."""

_SUBSTRING_OPERATORS = frozenset({"$contains", "$text"})


def version_of(client: Any) -> str | None:
    """Return the version that a server says it has; None if it does not say."""
    try:
        version = str(client.info().version)
    except (*CLIENT_ERRORS, AttributeError, AssertionError):  # a proxy may not pass the request on
        return None
    return version if re.match(r"\d+\.\d+", version) else None


def check_version(version: str | None, address: Address) -> None:
    """Raise unless the server is new enough. One that does not say its version passes.

    Raises:
        EngineRefusedError: It is too old.
    """
    if _is_before(version, _MIN_VERSION):
        raise EngineRefusedError(
            f"The Qdrant server of {address} has version {version}. QdrantEngine needs {_MIN_VERSION} or later, whose "
            "updates can have a condition. Upgrade the server, one minor version after the other."
        )


def check_operators(where: Where, version: str | None) -> None:
    """Raise if a filter has an operator that the server does not know yet.

    Raises:
        InvalidFilterError: It has.
    """
    if not _is_before(version, _SUBSTRING_VERSION):
        return
    if unknown := sorted(operators_of(parse(where)) & _SUBSTRING_OPERATORS):
        raise InvalidFilterError(
            f"{', '.join(unknown)} needs a Qdrant server of version {_SUBSTRING_VERSION} or later, and this one has "
            f"{version}. Upgrade it, or use another filter."
        )


def _is_before(version: str | None, first: str) -> bool:
    return version is not None and _numbers(version) < _numbers(first)


def _numbers(version: str) -> tuple[int, ...]:
    return tuple(int(number) for number in re.findall(r"\d+", version)[:2])
