"""The notation of stages on the command line: ``lexical:200,late:20,cross-encoder:10``."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, get_args

from late_interaction.errors import InvalidRequestError
from late_interaction.retrieval.request import Mode
from late_interaction.validation import did_you_mean

if TYPE_CHECKING:
    from collections.abc import Mapping

__all__ = ["parse_stages"]


def parse_stages(notation: str, models: Mapping[str, Any] | None = None) -> list[tuple[Any, int]]:
    """Return the stages that a notation names, for `Cascade`.

    Args:
        notation: ``NAME:NUMBER`` of each stage, separated by commas. White space around them does not count.
        models: Rankers by name, besides ``late``, ``lexical`` and ``hybrid``.

    Raises:
        InvalidRequestError: The notation is malformed, a name is unknown, or a stage keeps more than the one before.

    Example:
        >>> parse_stages("lexical:200, late:20")
        [('lexical', 200), ('late', 20)]
    """
    known: dict[str, Any] = {**dict.fromkeys(get_args(Mode)), **(models or {})}
    if not isinstance(notation, str) or not notation.strip():
        raise InvalidRequestError(f"Stages are written as lexical:200,late:20, got {notation!r}.")
    stages: list[tuple[Any, int]] = []
    for part in notation.split(","):
        name, colon, number = (piece.strip() for piece in part.rpartition(":"))
        if not colon or not name or not (number.isascii() and number.isdecimal()) or not 0 < int(number) < 2**31:
            raise InvalidRequestError(
                f"A stage is written as NAME:NUMBER with a positive number, for example late:20, got {part.strip()!r} "
                f"in {notation!r}."
            )
        if name not in known:
            raise InvalidRequestError(
                f"Unknown stage {name!r} in {notation!r}.{did_you_mean(name, known)} Known: {', '.join(known)}."
            )
        if stages and int(number) > stages[-1][1]:
            raise InvalidRequestError(
                f"{part.strip()!r} in {notation!r} must keep at most the {stages[-1][1]} documents that the stage "
                "before keeps."
            )
        stages.append((name if name in get_args(Mode) else known[name], int(number)))
    return stages
