"""The part of `LanceDBEngine` that changes documents without their vectors, and remembers where they were read from."""

from __future__ import annotations

from functools import partial
from typing import TYPE_CHECKING, Any

import pyarrow as pa

from late_interaction.engines.lancedb.incoming import add_pictures
from late_interaction.engines.lancedb.keeping import IS_CURRENT, VECTOR_COLUMNS, blob_keys
from late_interaction.engines.lancedb.rows import FRESH, changed_metadata, document_columns, new_version
from late_interaction.engines.lancedb.schema import DOCUMENTS, documents_schema
from late_interaction.engines.lancedb.settings import ROOTS
from late_interaction.engines.lancedb.sql import conditions_of_ids, conditions_of_numbers
from late_interaction.engines.lancedb.writing import Writing
from late_interaction.errors import EngineUnavailableError, InvalidRequestError, UnknownIdError
from late_interaction.validation import check_ids

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping, Sequence

    from late_interaction.documents import Document
    from late_interaction.engines.lancedb.snapshot import Snapshot

__all__ = ["Sources"]

_MAX_ATTEMPTS = 8


class Sources(Writing):
    """The part of `LanceDBEngine` that changes documents without their vectors. See `Writing`."""

    @property
    def roots(self) -> dict[str, Any]:
        """What `record_roots` wrote, or an empty dict."""
        return self._settings.read(ROOTS) or {}

    def record_roots(self, roots: Mapping[str, Any]) -> None:
        """Store, as JSON, the roots that documents are read from, by number (see `Record`)."""
        self._check_writable()
        self._settings.write(ROOTS, dict(roots))

    def roots_of(self, ids: Sequence[str]) -> dict[str, int | None]:
        """Return the root of each of these documents, or None; unknown ids are left out."""
        rows = self._states.current().find(check_ids(ids), ("root",))
        return {key: row["root"] for key, row in rows.items()}

    def set_root(self, ids: Sequence[str], root: int | None) -> None:
        """Record that stored documents were read from this root."""
        ids = check_ids(ids)
        self._check_writable()
        documents = self._database.table(DOCUMENTS)
        value = "CAST(NULL AS BIGINT)" if root is None else str(int(root))
        for condition in conditions_of_ids(ids):
            self._database.retrying(
                partial(documents.update, where=condition, updates_sql={"root": value, "version": str(new_version())})
            )
        self._maintenance.tidy(len(ids))

    def update_metadata(self, ids: Iterable[str], metadata: Mapping[str, Any]) -> int:
        """Set these keys in the metadata of documents, in one commit; return the number of documents."""
        ids = list(dict.fromkeys(check_ids(ids)))
        self._check_writable()
        schema = documents_schema(self._database.format)
        updated: set[str] = set()
        documents = self._database.table(DOCUMENTS)
        merge = documents.merge_insert("id").use_index(False).when_matched_update_all(where=IS_CURRENT)
        for _ in range(_MAX_ATTEMPTS):
            stored = self._states.last().find(ids, schema.names)
            changed = {key: changed_metadata(row, metadata) for key, row in stored.items()}
            if changed:
                source = pa.Table.from_pylist(list(changed.values()), schema=schema)
                done = self._database.retrying(partial(merge.execute, source)).num_updated_rows
                updated |= changed.keys()
                if done < len(changed):  # others changed some of them since they were read
                    found = self._states.last().find(ids, ("version",))
                    written = {key: row["version"] for key, row in changed.items()}
                    ids = [key for key, row in found.items() if row["version"] != written.get(key)]
                    updated -= changed.keys() - found.keys()
                    continue
            self._maintenance.tidy(len(updated))
            return len(updated)
        raise self._contention()

    def update_documents(
        self, documents: Iterable[Document], root: int | None, *, stored_ids: Mapping[str, str] | None = None
    ) -> int:
        """Replace text, metadata and page image of stored documents, keep their vectors, and return their number.

        All or nothing. See `Engine.update_documents`.

        Args:
            documents: The documents, each id once.
            root: The root.
            stored_ids: The stored ids of documents that get another one, by the new id.

        Raises:
            UnknownIdError: The index holds no document of an id. Nothing is changed.
            EngineUnavailableError: Others replaced the documents at the same time, again and again.
        """
        self._check_writable()
        documents = list(documents)
        renamed = dict(stored_ids or {})
        if not renamed.keys() <= {document.id for document in documents}:
            raise InvalidRequestError("stored_ids has the id of a document that is not given.")
        if not documents:
            return 0
        pictures = add_pictures(self._database, documents)
        try:
            for _ in range(_MAX_ATTEMPTS):
                if self._replace(documents, root, renamed, pictures):
                    self._maintenance.tidy(len(documents))
                    return len(documents)
        except UnknownIdError:
            self._delete_blobs(pictures.values())
            raise
        raise self._contention()

    def _replace(
        self, documents: list[Document], root: int | None, renamed: dict[str, str], pictures: Mapping[str, int]
    ) -> bool:
        """Replace all but the vectors of documents; return whether no other writer came in between."""
        snapshot = self._states.last()
        schema = documents_schema(self._database.format)
        sources = {document.id: renamed.get(document.id, document.id) for document in documents}
        stored = snapshot.find([*sources, *sources.values()], (*VECTOR_COLUMNS, "picture", "order", "version"))
        for stored_id in sources.values():
            if stored_id not in stored:
                raise UnknownIdError(f"The index does not contain {stored_id!r}.")
        rows = []
        for document in documents:
            old = stored[sources[document.id]]
            rows.append(
                {name: old[name] for name in (*VECTOR_COLUMNS, "order")}
                | document_columns(document, self._database.format.language)
                | {"picture": pictures.get(document.id), "root": root}
                | {"version": new_version(), "previous": FRESH if renamed else old["version"]}
            )
        table = self._database.table(DOCUMENTS)
        merge = table.merge_insert("id").use_index(False)
        if renamed:
            gone = [row["version"] for key, row in stored.items() if key not in sources]
            merge = merge.when_matched_update_all().when_not_matched_insert_all()
            merge = merge.when_not_matched_by_source_delete(
                next(conditions_of_numbers("version", gone, limit=None), "false")
            )
        else:
            merge = merge.when_matched_update_all(where=IS_CURRENT)
        source = pa.Table.from_pylist(rows, schema=schema)
        result = self._database.retrying(lambda: merge.execute(source))
        if not renamed and result.num_updated_rows < len(rows):
            return False
        if renamed:
            self._check_renamed(self._states.before(result.version, snapshot), sources, stored, rows)
        self._delete_blobs(blob_keys(stored.values()) - blob_keys(rows))
        return True

    def _check_renamed(
        self, before: Snapshot, sources: Mapping[str, str], stored: Mapping[str, Any], rows: list[dict[str, Any]]
    ) -> None:
        """Delete documents whose vectors another writer deleted while they got another id.

        Raises:
            EngineUnavailableError: There are such documents.
        """
        found = before.find(list(sources.values()), ("version",))
        versions = {key: row["version"] for key, row in found.items()}
        lost = [row for row in rows if versions.get(sources[row["id"]]) != stored[sources[row["id"]]]["version"]]
        for condition in conditions_of_numbers("version", [row["version"] for row in lost]):
            self._database.retrying(partial(self._database.table(DOCUMENTS).delete, condition))
        if lost:
            raise self._contention()

    def _contention(self) -> EngineUnavailableError:
        return EngineUnavailableError(
            f"Other writers changed the same documents of {self._database.address} at the same time. Try again."
        )
