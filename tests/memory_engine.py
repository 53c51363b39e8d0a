"""An engine with addresses, `memory:NAME`, that can do what every engine must, and return vectors."""

from __future__ import annotations

from late_interaction.errors import ReadOnlyIndexError
from tests.conformance.weak_engines import ServerEngine


class MemoryEngine(ServerEngine):
    """A `ServerEngine` that is opened by its address. It remembers no folders and cannot be copied or compacted."""

    read_only = False

    @classmethod
    def open(cls, location, *, dim=None, read_only=False, bits="default", language="default", device=None):
        del bits, language, device  # settings that it does not have
        engine = super().open(location, dim=dim)
        engine.read_only = read_only
        engine.location = location
        return engine

    @property
    def reopening(self):
        return self.location, {}

    def upsert(self, records, *, replacing=None):
        if self.read_only:
            raise ReadOnlyIndexError("It is only read.")
        return super().upsert(records, replacing=replacing)
