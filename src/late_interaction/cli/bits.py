"""The option ``--bits``: what it may be, and the setting it stands for."""

from __future__ import annotations

import re
from typing import Literal

import typer

from late_interaction.errors import InvalidRequestError

__all__ = ["BITS_HELP", "bits_of", "bits_setting"]

BITS_HELP = (
    "For a new index: 1, 2, 3, 4 or 8 bits per dimension, codes for the nearest centroids alone, or none for float16. "
    "[default: 4]"
)

_WORDS = {"none": None, "codes": 0}
_ALLOWED = "1, 2, 3, 4, 8, codes (the nearest centroids alone) or none (float16)"


def bits_of(text: str) -> int | None:
    """Return the setting ``bits`` of an index, which may be a number that no index can have.

    Args:
        text: What was given on the command line.

    Raises:
        InvalidRequestError: It is 0, which could be taken for either word.
        typer.BadParameter: It is neither an integer nor one of the two words.
    """
    if text in _WORDS:
        return _WORDS[text]
    if re.fullmatch(r"-?[0-9]{1,9}", text) is None:
        raise typer.BadParameter(f"must be {_ALLOWED}, got {text!r}.", param_hint="--bits")
    if int(text) == 0:
        raise InvalidRequestError(f"bits must be {_ALLOWED} on the command line, got {text}.")
    return int(text)


def bits_setting(given: str | None) -> int | Literal["default"] | None:
    """Return the setting ``bits`` of an index; ``default`` if the option was not given."""
    return "default" if given is None else bits_of(given)
