"""Engines keep token vectors and documents, and search them. They never see an encoder: vectors go in and out."""

from late_interaction.engines.base import Engine, Match, Record, Verification
from late_interaction.engines.local import LocalEngine

__all__ = ["Engine", "LocalEngine", "Match", "Record", "Verification"]
