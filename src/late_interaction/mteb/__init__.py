"""Evaluate an index with MTEB: `IndexedSearch` implements its search protocol."""

from late_interaction.mteb.searching import IndexedSearch

__all__ = ["IndexedSearch"]
