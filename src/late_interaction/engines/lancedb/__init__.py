"""The engine over LanceDB: tables in a directory or an object store, read and written by this process."""

from late_interaction.forking import imports
from late_interaction.optional import require

for _module in ("lancedb", "pyarrow"):
    require(_module, package=_module, feature="An index in LanceDB", extra="lancedb")

with imports:
    from late_interaction.engines.lancedb.engine import LanceDBEngine

__all__ = ["LanceDBEngine"]
