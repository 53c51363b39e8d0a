"""Encoders turn text into token vectors. Nothing here knows of an index or an engine."""

from late_interaction.encoders.loading import load_encoder
from late_interaction.encoders.protocol import Encoder, SpanEncoder
from late_interaction.encoders.reduced import ReducedEncoder
from late_interaction.encoders.text import TextEncoder

__all__ = ["Encoder", "ReducedEncoder", "SpanEncoder", "TextEncoder", "load_encoder"]
