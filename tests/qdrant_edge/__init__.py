"""Qdrant's real Rust engine (qdrant-edge-py) behind the interface of the real client, for tests and benchmarks."""

from .client import EdgeClient

__all__ = ["EdgeClient"]
