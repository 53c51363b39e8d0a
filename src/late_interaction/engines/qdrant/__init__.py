"""The engine over Qdrant: documents and token vectors in a collection of a Qdrant server."""
