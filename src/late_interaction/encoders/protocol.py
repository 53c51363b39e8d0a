"""What an encoder is. Anything of this shape is accepted as ``encoder=``, so users can bring their own vectors."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, Literal, Protocol, TypeAlias, runtime_checkable

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    import numpy as np
    from numpy.typing import NDArray

__all__ = ["Encoder", "Span", "SpanEncoder", "Task"]

Task: TypeAlias = Literal["query", "document"]
Span: TypeAlias = tuple[int, int]
"""Begin and end of a token in its text, in characters."""


@runtime_checkable
class Encoder(Protocol):
    """Turns texts into token vectors.

    Calls may come from any thread, also at the same time.

    Attributes:
        dim: Dimension of the token vectors.
        fingerprint: JSON values that tell this encoder from another; see `late_interaction.encoders.fingerprint`.
    """

    @property
    def dim(self) -> int: ...  # noqa: D102

    @property
    def fingerprint(self) -> Mapping[str, Any]: ...  # noqa: D102

    def encode_queries(self, texts: list[str]) -> Sequence[NDArray[np.floating[Any]]]:
        """Token vectors of each query, (query tokens, dim), L2-normalised float32."""
        ...

    def encode_documents(self, texts: list[str]) -> Sequence[NDArray[np.floating[Any]]]:
        """Token vectors of each passage, (tokens, dim), L2-normalised float32. No tokens is a valid answer."""
        ...


@runtime_checkable
class SpanEncoder(Encoder, Protocol):
    """An encoder that knows which characters each vector stands for, which is what explanations need."""

    def token_spans(self, text: str, task: Task) -> list[Span | None]:
        """For each vector of the text, in order, its span in the text; None for markers and query expansion."""
        ...
