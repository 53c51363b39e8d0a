"""Encoders turn text and page images into token vectors. They know neither the index nor the engines.

The protocol is imported at once, the encoders at their first use.
"""

from __future__ import annotations

from importlib import import_module
from typing import TYPE_CHECKING, Any

from late_interaction.encoders.protocol import (
    Box,
    Encoder,
    LimitedEncoder,
    PageEncoder,
    SpanEncoder,
    has_limits,
    has_spans,
    reads_images,
    reads_text,
)

if TYPE_CHECKING:
    from late_interaction.encoders.loading import load_encoder
    from late_interaction.encoders.pages import ColVisionEncoder
    from late_interaction.encoders.reduced import ReducedEncoder
    from late_interaction.encoders.single_vector import PooledEncoder, SingleVectorEncoder
    from late_interaction.encoders.text import TextEncoder
    from late_interaction.encoders.text_image import TextImageEncoder

__all__ = [
    "Box",
    "ColVisionEncoder",
    "Encoder",
    "LimitedEncoder",
    "PageEncoder",
    "PooledEncoder",
    "ReducedEncoder",
    "SingleVectorEncoder",
    "SpanEncoder",
    "TextEncoder",
    "TextImageEncoder",
    "has_limits",
    "has_spans",
    "load_encoder",
    "reads_images",
    "reads_text",
]

_MODULES = {
    "ColVisionEncoder": "pages",
    "PooledEncoder": "single_vector",
    "ReducedEncoder": "reduced",
    "SingleVectorEncoder": "single_vector",
    "TextEncoder": "text",
    "TextImageEncoder": "text_image",
    "load_encoder": "loading",
}


def __getattr__(name: str) -> Any:
    if name not in _MODULES:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    return getattr(import_module(f"{__name__}.{_MODULES[name]}"), name)


def __dir__() -> list[str]:
    return __all__
