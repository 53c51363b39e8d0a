"""Keep the tables fast: merge small fragments, index words, delete what crashes left over."""

from __future__ import annotations

import time
from contextlib import suppress
from datetime import timedelta
from functools import partial
from typing import TYPE_CHECKING, Any

import numpy as np

from late_interaction.engines.lancedb.schema import BLOBS, DOCUMENTS
from late_interaction.engines.lancedb.sql import conditions_of_numbers
from late_interaction.engines.lancedb.words import WORDS, words_index
from late_interaction.errors import LateInteractionError

if TYPE_CHECKING:
    from late_interaction.engines.lancedb.codebooks import Codebooks
    from late_interaction.engines.lancedb.database import Database
    from late_interaction.engines.lancedb.states import States

__all__ = ["Maintenance"]

_WRITES_BETWEEN_CHECKS = 16
_LARGE_WRITE = 1024  # documents
_MAX_FRAGMENTS = 32
_MIN_BLOBS_PER_FRAGMENT = 64
"""Fragments of token vectors are merged only while they are this small: merging rewrites all of them."""

_MAX_UNINDEXED = 4096  # documents whose words are searched one after another
_KEPT_VERSIONS = timedelta(minutes=10)
"""How long others may still read a state before the one that `compact` leaves."""

_MIN_ORPHAN_AGE_SECONDS = 24 * 3600.0
"""Token vectors without a document may be those of an upsert that is being written."""


class Maintenance:
    """Keeps the tables of an index fast.

    Args:
        database: The database.
        states: Its states.
        codebooks: Its codebook.
    """

    def __init__(self, database: Database, states: States, codebooks: Codebooks) -> None:
        self._database = database
        self._states = states
        self._codebooks = codebooks
        self._writes = 0

    def tidy(self, documents: int) -> None:
        """Merge fragments and index words if it is time to. Called after each write.

        Args:
            documents: How many documents were written.
        """
        self._writes += 1
        if self._writes < _WRITES_BETWEEN_CHECKS and documents < _LARGE_WRITE:
            return
        self._writes = 0
        with suppress(LateInteractionError):  # another process may be at it; the documents are written
            table = self._database.table(DOCUMENTS)
            if self._needs_words_index(table):
                self._index_words(table)
            elif self._fragments(table)[0] > _MAX_FRAGMENTS:
                self._optimize(table)
            blobs = self._database.table(BLOBS)
            fragments, rows = self._fragments(blobs)
            if fragments > _MAX_FRAGMENTS and rows < _MIN_BLOBS_PER_FRAGMENT * fragments:
                self._optimize(blobs)

    def compact(self) -> None:
        """Merge all fragments, remove deleted rows and old versions, and find missing centroids."""
        self._codebooks.keep_up(1)
        self._codebooks.assign()
        self._delete_orphans()
        documents = self._database.table(DOCUMENTS)
        if self._needs_words_index(documents):
            self._index_words(documents)
        for table in (documents, self._database.table(BLOBS)):
            self._optimize(table, cleanup_older_than=_KEPT_VERSIONS)

    def _fragments(self, table: Any) -> tuple[int, int]:
        stats = self._database.call(table.stats)
        return int(stats["fragment_stats"]["num_fragments"]), int(stats["num_rows"])

    def _needs_words_index(self, table: Any) -> bool:
        """Return whether so many documents have words that are not indexed.

        Fewer than `_MAX_UNINDEXED` are too many if they are as many as the indexed ones: when there are some of these,
        LanceDB takes the frequencies of words from them alone.
        """
        name = self._words_index(table)
        if name is None:  # the process that created the table ended before it created the index
            return True
        stats = self._database.call(lambda: table.index_stats(name))
        return int(stats.num_unindexed_rows) >= min(_MAX_UNINDEXED, int(stats.num_indexed_rows) or _MAX_UNINDEXED)

    def _words_index(self, table: Any) -> str | None:
        """Return the name of the index of words; None if there is none."""
        found = self._database.call(table.list_indices)
        return next((str(index.name) for index in found if index.columns == [WORDS]), None)

    def _index_words(self, table: Any) -> None:
        if self._words_index(table) is None:
            self._database.retrying(lambda: table.create_index(WORDS, config=words_index()))
        else:
            self._optimize(table)

    def _optimize(self, table: Any, **options: Any) -> None:
        self._database.retrying(lambda: table.optimize(**options))

    def _delete_orphans(self) -> None:
        """Delete token vectors and thumbnails of upserts that crashed before their documents were written."""
        snapshot = self._states.last()
        table = snapshot.scan(["key", "picture"])
        used = np.concatenate([table["key"].to_numpy(), table["picture"].drop_null().to_numpy()])
        blobs = self._database.table(BLOBS)
        oldest = int((time.time() - _MIN_ORPHAN_AGE_SECONDS) * 1e6)
        request = blobs.query().where(f"written < {oldest}").select(["key"])
        old = self._database.call(request.to_arrow)["key"].to_numpy()
        for condition in conditions_of_numbers("key", np.setdiff1d(old, used)):
            self._database.retrying(partial(blobs.delete, condition))
