"""An engine beside which others work: between any two calls they may write, it may be slow, and calls are counted."""

from __future__ import annotations

import threading
from collections import Counter
from concurrent.futures import ThreadPoolExecutor

READS = ("search", "search_lexical", "score", "fetch", "get", "scan", "count", "records", "vectors", "roots_of")
"""The methods that read documents."""


class Interrupted:
    """Everything is passed on to an engine, after something else was done.

    Args:
        engine: The engine.
        before: Called with the name of the method or property that is about to be used.

    Attributes:
        calls: How many times each was used.
        documents: How many documents, whole or in part, came out of each.
    """

    def __init__(self, engine, before=lambda name: None):
        self._engine = engine
        self._before = before
        self._mutex = threading.Lock()
        self.calls = Counter()
        self.documents = Counter()

    @property
    def encoder_record(self):
        self._begin("encoder_record")
        return self._engine.encoder_record

    def record_encoder(self, record):
        self._begin("record_encoder")
        self._engine.record_encoder(record)

    def scan(self, **options):
        self._begin("scan")
        for document in self._engine.scan(**options):
            self._count("scan", 1)
            yield document

    def __getattr__(self, name):
        value = getattr(self._engine, name)
        if name not in READS:
            return value

        def call(*arguments, **options):
            self._begin(name)
            found = value(*arguments, **options)
            if name in ("fetch", "get", "records"):
                self._count(name, len(found))
            return found

        return call

    def _begin(self, name):
        with self._mutex:
            self.calls[name] += 1
        self._before(name)

    def _count(self, name, documents):
        with self._mutex:
            self.documents[name] += documents

    @property
    def reads(self):
        """How many reading calls there were."""
        return sum(self.calls[name] for name in READS)


def from_another_thread(write):
    """Write as another process would: not inside a snapshot that this thread reads."""
    with ThreadPoolExecutor(1) as pool:
        pool.submit(write).result()
