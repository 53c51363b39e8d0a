"""`QdrantEngine` against Qdrant's real engine: what only this engine has, and what happens when its server fails."""
