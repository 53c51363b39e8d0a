"""The encoder protocols. Any object that implements `Encoder` is accepted as ``encoder=``."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, Literal, Protocol, TypeAlias, TypeGuard, runtime_checkable

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    import numpy as np
    from numpy.typing import NDArray
    from PIL import Image

__all__ = [
    "Box",
    "Encoder",
    "LimitedEncoder",
    "LoadedEncoder",
    "PageEncoder",
    "Span",
    "SpanEncoder",
    "Task",
    "has_limits",
    "has_spans",
    "reads_images",
    "reads_text",
]

Task: TypeAlias = Literal["query", "document"]
Span: TypeAlias = tuple[int, int]
"""Start and end of a token in its text, in characters; the end is exclusive."""
Box: TypeAlias = tuple[float, float, float, float]
"""Left, top, right and bottom of a patch, as fractions of the image's width and height."""


@runtime_checkable
class Encoder(Protocol):
    """Encodes texts as token vectors.

    Methods may be called from any thread, also concurrently.

    An encoder may have an attribute ``modalities``, a set of ``"text"`` and ``"image"``: the documents it encodes. An
    encoder without it encodes texts, and images too if it has ``encode_images``. Queries are always texts.

    Attributes:
        dim: Dimension of the token vectors.
        fingerprint: JSON values that identify the encoder; see `late_interaction.encoders.fingerprint`.
    """

    @property
    def dim(self) -> int: ...  # noqa: D102

    @property
    def fingerprint(self) -> Mapping[str, Any]: ...  # noqa: D102

    def encode_queries(self, texts: list[str]) -> Sequence[NDArray[np.floating[Any]]]:
        """Return the token vectors of each query, (query tokens, dim) float32, L2-normalized, in the order given."""
        ...

    def encode_documents(self, texts: list[str]) -> Sequence[NDArray[np.floating[Any]]]:
        """Return the token vectors of each passage, (tokens, dim) float32, L2-normalized, in the order given.

        A passage may have no tokens.
        """
        ...


@runtime_checkable
class SpanEncoder(Encoder, Protocol):
    """An encoder that maps each vector to the characters it stands for, which explanations need."""

    def token_spans(self, text: str, task: Task) -> list[Span | None]:
        """Return the span of each vector in the text, in order; None for markers and query expansion."""
        ...


class LimitedEncoder(Encoder, Protocol):
    """An encoder that can tell which texts it does not read to the end; `has_limits` tests whether it can.

    It may also have the attributes ``query_length`` and ``document_length``, the numbers of tokens that it reads, which
    warnings name.
    """

    def truncated(self, texts: list[str], task: Task) -> list[int]:
        """Return the positions of the texts whose ends are not encoded, in order.

        White space at the end is no loss. The texts are encoded next, so what was counted may be kept until then.
        """
        ...


class LoadedEncoder(SpanEncoder, Protocol):
    """An encoder that `load_encoder` has loaded.

    Attributes:
        source: The name or path to load it from again; None if it cannot be loaded without the caller.
        revision: Branch, tag or commit of ``source``.
    """

    @property
    def source(self) -> str | None: ...  # noqa: D102

    @property
    def revision(self) -> str | None: ...  # noqa: D102


class PageEncoder(Encoder, Protocol):
    """An encoder that reads page images; `reads_images` tests whether an encoder does."""

    def encode_images(self, images: list[Image.Image]) -> Sequence[NDArray[np.floating[Any]]]:
        """Return the vectors of each image, (vectors, dim) float32, L2-normalized: one for each patch."""
        ...

    def viewed_size(self, width: float, height: float) -> tuple[int, int]:
        """Return the width and height in pixels that an image of this shape is resized to, if at least that large.

        A page need not be rendered at a higher resolution.

        Args:
            width: Width of the image, in any unit.
            height: Height, in the same unit.
        """
        ...

    def patch_boxes(self, size: tuple[int, int]) -> list[Box | None]:
        """Return the part of the image that each vector stands for, in order; None for markers and the prompt.

        Args:
            size: Width and height of the image as displayed, in pixels.
        """
        ...


def reads_text(encoder: object) -> bool:
    """Return whether the encoder encodes text documents."""
    modalities = getattr(encoder, "modalities", None)
    return modalities is None or "text" in modalities


# With hasattr, because since Python 3.12 isinstance with a protocol does not find attributes that come from
# __getattr__, such as those of a ReducedEncoder.


def reads_images(encoder: object) -> TypeGuard[PageEncoder]:
    """Return whether the encoder encodes images."""
    modalities = getattr(encoder, "modalities", None)
    return hasattr(encoder, "encode_images") and (modalities is None or "image" in modalities)


def has_limits(encoder: object) -> TypeGuard[LimitedEncoder]:
    """Return whether the encoder can tell which texts it truncates."""
    return hasattr(encoder, "truncated")


def has_spans(encoder: object) -> TypeGuard[SpanEncoder]:
    """Return whether the encoder maps vectors to characters of the text."""
    return hasattr(encoder, "token_spans")
