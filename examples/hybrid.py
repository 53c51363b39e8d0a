"""Hybrid search: reciprocal rank fusion of BM25 and late interaction, and the matched words."""

from __future__ import annotations

import tempfile
from pydoc_data.topics import topics

from late_interaction import Document, Index

QUERY = "raise an exception with __cause__"


def main() -> None:
    """Query the Python language reference in each mode."""
    with tempfile.TemporaryDirectory() as folder, Index.open(folder, encoder="minilm") as index:
        index.add([Document(body[:600], id=topic) for topic, body in topics.items()])
        for mode in ("lexical", "late", "hybrid"):
            print(f"{mode:8}", [hit.id for hit in index.search(QUERY, 4, mode=mode)])
        best = index.search(QUERY, 1, mode="hybrid")[0]
        for span in index.explain(QUERY, best.id).spans:
            print(f"{span.query_word:>10} - {span.document_word} ({span.similarity:.2f})")


if __name__ == "__main__":
    main()
