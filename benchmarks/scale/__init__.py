"""Latency against the number of tokens, up to 100 million."""
