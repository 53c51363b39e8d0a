"""Bring an index up to date with the passages of files, or with a stream of documents, as the command line does."""

from late_interaction.ingestion.streaming import add_stream
from late_interaction.ingestion.updating import Changes, update

__all__ = ["Changes", "add_stream", "update"]
