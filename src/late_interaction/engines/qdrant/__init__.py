"""The engine over Qdrant: documents and token vectors in a collection of a Qdrant server."""

from late_interaction.engines.qdrant.engine import QdrantEngine

__all__ = ["QdrantEngine"]
