"""The engine over Qdrant: documents and token vectors in a collection of a Qdrant server."""

from late_interaction.optional import require

require("qdrant_client", package="qdrant-client", feature="QdrantEngine", extra="qdrant")

from late_interaction.engines.qdrant.engine import QdrantEngine  # noqa: E402  # needs the package

__all__ = ["QdrantEngine"]
