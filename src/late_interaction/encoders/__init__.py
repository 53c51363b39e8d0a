"""Encoders turn text and images of pages into token vectors. Nothing here knows of an index or an engine."""

from late_interaction.encoders.loading import load_encoder
from late_interaction.encoders.pages import ColVisionEncoder
from late_interaction.encoders.protocol import (
    Box,
    Encoder,
    PageEncoder,
    SpanEncoder,
    has_spans,
    reads_images,
    reads_text,
)
from late_interaction.encoders.reduced import ReducedEncoder
from late_interaction.encoders.text import TextEncoder
from late_interaction.encoders.text_image import TextImageEncoder

__all__ = [
    "Box",
    "ColVisionEncoder",
    "Encoder",
    "PageEncoder",
    "ReducedEncoder",
    "SpanEncoder",
    "TextEncoder",
    "TextImageEncoder",
    "has_spans",
    "load_encoder",
    "reads_images",
    "reads_text",
]
