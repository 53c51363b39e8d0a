"""The local engine: one directory, no server. See `docs/architecture.md` for the layout on disk."""

from late_interaction.engines.local.engine import LocalEngine

__all__ = ["LocalEngine"]
