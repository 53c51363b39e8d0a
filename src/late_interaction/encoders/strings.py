"""Texts on their way into a tokenizer, and its tokens on their way back to the text."""

from __future__ import annotations

from typing import TYPE_CHECKING

from late_interaction.errors import InvalidRequestError

if TYPE_CHECKING:
    from collections.abc import Iterable

    from late_interaction.encoders.protocol import Span

__all__ = ["checked", "spans"]


def checked(text: object) -> str:
    """The text, if it is one.

    Raises:
        InvalidRequestError: It is no string, or no UTF-8 can hold it.
    """
    if not isinstance(text, str):
        raise InvalidRequestError(f"Only strings can be encoded as text, not {type(text).__name__}.")
    try:
        text.encode()
    except UnicodeEncodeError as error:
        raise InvalidRequestError(f"A text is not valid Unicode and cannot be encoded ({error.reason}).") from None
    return text


def spans(text: str, offsets: Iterable[Span], before: int) -> list[Span | None]:
    """The part of the text that each token stands for; None for tokens of what was put around it.

    Args:
        text: The text, of which the model read what is left without white space around it.
        offsets: Begin and end of each token in what the model read, in characters.
        before: How many characters were put in front.

    Example:
        >>> spans(" two words", [(0, 1), (1, 4), (4, 10), (10, 12)], before=1)
        [None, (1, 4), (5, 10), None]
    """
    first = len(text) - len(text.lstrip())
    last = len(text.rstrip())
    shift = first - before
    found = ((max(start + shift, first), min(end + shift, last)) for start, end in offsets)
    return [_trimmed(text, start, end) if start < end else None for start, end in found]


def _trimmed(text: str, start: int, end: int) -> Span:
    """The span without white space at its ends, which byte-level tokenizers count to the token."""
    while start < end - 1 and text[start].isspace():
        start += 1
    while start < end - 1 and text[end - 1].isspace():
        end -= 1
    return start, end
