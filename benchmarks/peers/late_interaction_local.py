"""The local engine of this package, with the calls that `Index` makes."""

from __future__ import annotations

from benchmarks.peers.protocol import Columns, K, Peer
from late_interaction import Document
from late_interaction.engines import LocalEngine, Record


class LateInteraction(Peer):
    """4 bits per dimension, like the PLAID engines."""

    packages = ("numpy", "torch")

    def build(self, columns: Columns, folder):
        records = (Record(Document("", id=str(at)), columns.document(at)) for at in range(columns.documents))
        engine = LocalEngine.open(folder, dim=columns.tokens.shape[1], bits=4)
        engine.upsert(records)
        engine.compact()
        size = engine.info()["vector_bytes"]
        engine.close()
        return size

    def open(self, columns, folder) -> None:
        self.engine = LocalEngine.open(folder, read_only=True)

    def search(self, query):
        return [int(match.id) for match in self.engine.search(query, K)]


PEER = LateInteraction()
