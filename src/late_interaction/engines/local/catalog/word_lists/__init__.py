"""Read the lists of documents that FTS5 stores for each word, and rank documents by BM25 without ranking them all."""
