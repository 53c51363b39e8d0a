"""Retrieval over any engine: encoding, modes of search, fusion, diversity and reranking."""
