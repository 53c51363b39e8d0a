"""Check texts before they are tokenized, and map tokens back to spans of the text."""

from __future__ import annotations

import unicodedata
from typing import TYPE_CHECKING

from late_interaction.errors import InvalidRequestError

if TYPE_CHECKING:
    from collections.abc import Iterable

    from late_interaction.encoders.protocol import Span

__all__ = ["checked", "fits_in_bytes", "spans", "without_marker"]


def checked(text: object) -> str:
    """Return the text if it is a string that UTF-8 can encode.

    Raises:
        InvalidRequestError: It is not.
    """
    if not isinstance(text, str):
        raise InvalidRequestError(f"A text must be a string, got {type(text).__name__}.")
    try:
        text.encode()
    except UnicodeEncodeError as error:
        raise InvalidRequestError(
            f"A text is not valid Unicode ({error.reason}). Remove or replace the surrogates."
        ) from None
    return text


def fits_in_bytes(text: str, limit: int) -> bool:
    """Return whether a text has at most this many bytes in UTF-8, also after any normalization of a tokenizer.

    Example:
        >>> fits_in_bytes("café", 5), fits_in_bytes("café", 6)  # é is decomposed
        (False, True)
    """
    if len(text) > limit:
        return False
    return text.isascii() or len(unicodedata.normalize("NFKD", text).encode()) <= limit


def spans(text: str, offsets: Iterable[Span], before: int) -> list[Span | None]:
    """Return the span of each token in the text, in characters; None for tokens of a prompt or marker around it.

    Args:
        text: The text. The model was given it without white space at either end.
        offsets: Start and end of each token in the model's input, in characters.
        before: Number of characters in front of the text in the model's input.

    Example:
        >>> spans(" two words", [(0, 1), (1, 4), (4, 10), (10, 12)], before=1)
        [None, (1, 4), (5, 10), None]
    """
    first = len(text) - len(text.lstrip())
    last = len(text.rstrip())
    shift = first - before
    found = ((max(start + shift, first), min(end + shift, last)) for start, end in offsets)
    return [_trimmed(text, start, end) if start < end else None for start, end in found]


def without_marker(text: str, marker: str) -> str:
    """Return the text without the marker of an image, for which a processor would expect an image.

    The length does not change, so spans stay valid.

    Example:
        >>> without_marker("what is <image>?", "<image>")
        'what is (image)?'
    """
    return text.replace(marker, f"({marker[1:-1]})") if marker else text


def _trimmed(text: str, start: int, end: int) -> Span:
    """Return the span without white space at its ends, which byte-level tokenizers include in a token."""
    while start < end - 1 and text[start].isspace():
        start += 1
    while start < end - 1 and text[end - 1].isspace():
        end -= 1
    return start, end
