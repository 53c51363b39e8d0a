"""What an encoder is. Anything of this shape is accepted as ``encoder=``, so users can bring their own vectors."""

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
    "LoadedEncoder",
    "PageEncoder",
    "Span",
    "SpanEncoder",
    "Task",
    "has_spans",
    "reads_images",
    "reads_text",
]

Task: TypeAlias = Literal["query", "document"]
Span: TypeAlias = tuple[int, int]
"""Begin and end of a token in its text, in characters."""
Box: TypeAlias = tuple[float, float, float, float]
"""Left, top, right and bottom of a patch, as fractions of the image's width and height."""


@runtime_checkable
class Encoder(Protocol):
    """Turns texts into token vectors.

    Calls may come from any thread, also at the same time.

    An encoder may have an attribute ``modalities``, a set of ``"text"`` and ``"image"``: what documents it encodes. One
    without it encodes texts, and images too if it has ``encode_images``. Queries are always texts.

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
    """An encoder that reads images of pages. Ask `reads_images` whether an encoder is one."""

    def encode_images(self, images: list[Image.Image]) -> Sequence[NDArray[np.floating[Any]]]:
        """Vectors of each image, (vectors, dim), L2-normalised float32: one for each patch the model sees."""
        ...

    def viewed_size(self, width: float, height: float) -> tuple[int, int]:
        """Width and height in pixels to which the model brings an image of this shape, if it is at least that large.

        What a page is rendered at beyond that is thrown away.

        Args:
            width: Width of the image, in any unit.
            height: Height, in the same unit.
        """
        ...

    def patch_boxes(self, size: tuple[int, int]) -> list[Box | None]:
        """For each vector of an image of this size, in order, the part of the image it stands for.

        None for markers and the tokens of a prompt.

        Args:
            size: Width and height of the image as it is shown, in pixels.
        """
        ...


def reads_text(encoder: object) -> bool:
    """Whether it encodes documents that are text."""
    modalities = getattr(encoder, "modalities", None)
    return modalities is None or "text" in modalities


# Attributes are looked up as a call would: since Python 3.12, isinstance with a protocol does not see those that come
# by __getattr__, as an encoder around another has them.


def reads_images(encoder: object) -> TypeGuard[PageEncoder]:
    """Whether it encodes documents that are images."""
    modalities = getattr(encoder, "modalities", None)
    return hasattr(encoder, "encode_images") and (modalities is None or "image" in modalities)


def has_spans(encoder: object) -> TypeGuard[SpanEncoder]:
    """Whether it knows which characters each vector stands for."""
    return hasattr(encoder, "token_spans")
