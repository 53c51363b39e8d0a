"""Bring an index up to date with a stream of passages, as the command line does with folders."""

from late_interaction.ingestion.updating import Changes, update

__all__ = ["Changes", "update"]
