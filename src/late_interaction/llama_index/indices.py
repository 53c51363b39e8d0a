"""The index as a LlamaIndex index."""

from __future__ import annotations

import asyncio
import os
from typing import TYPE_CHECKING, Any

from llama_index.core.data_structs import IndexDict
from llama_index.core.indices.base import BaseIndex
from llama_index.core.ingestion import run_transformations
from llama_index.core.schema import BaseNode, IndexNode

from late_interaction.adapters.arguments import as_index
from late_interaction.errors import InvalidRequestError
from late_interaction.index import Index, Mode
from late_interaction.llama_index.nodes import REF_DOC_ID, from_node, to_node, without_object
from late_interaction.llama_index.retrievers import LateInteractionRetriever

if TYPE_CHECKING:
    from collections.abc import Collection, Iterator, Sequence

    from llama_index.core import Document
    from llama_index.core.storage.docstore.types import RefDocInfo
    from llama_index.core.vector_stores.types import MetadataFilters

    from late_interaction.documents import Document as StoredDocument
    from late_interaction.encoders import Encoder
    from late_interaction.filters import Where

__all__ = ["LateInteractionIndex"]

_SOURCES_OF_A_COMMIT = 5_000  # half of the operands that a filter may have


class LateInteractionIndex(BaseIndex[IndexDict]):
    """Nodes in an `Index`, behind LlamaIndex's index interface.

    The nodes live in the index and nowhere else, not in the docstore of the storage context. Open an existing index
    with ``LateInteractionIndex(index=path)``; fill one with `from_documents`.

    Args:
        nodes: Nodes to add.
        index: The index, or the path of one, which is opened for writing.
        encoder: For a path: the encoder of a new index.
        **kwargs: Passed to LlamaIndex's `BaseIndex`.

    Example:
        >>> from llama_index.core import Document
        >>> from late_interaction.llama_index import LateInteractionIndex
        >>> texts = ["Paris is the capital of France.", "The Nile is a river."]
        >>> nodes = LateInteractionIndex.from_documents(
        ...     [Document(text=text) for text in texts], index=tmp / "nodes", encoder="minilm")
        >>> nodes.as_retriever(similarity_top_k=1).retrieve("African rivers")[0].node.text
        'The Nile is a river.'
        >>> nodes.index.close()
    """

    index_struct_cls = IndexDict

    def __init__(
        self,
        nodes: Sequence[BaseNode] | None = None,
        *,
        index: Index | str | os.PathLike[str],
        encoder: Encoder | str | os.PathLike[str] | None = None,
        **kwargs: Any,
    ) -> None:
        self.index = as_index(index, encoder=encoder)
        super().__init__(nodes=list(nodes or []), **kwargs)
        # Or LlamaIndex would persist what this is not: an index without nodes, which it loads as one of another class.
        self._storage_context.index_store.delete_index_struct(self.index_id)

    @classmethod
    def from_documents(cls, documents: Sequence[Document], **kwargs: Any) -> LateInteractionIndex:  # type: ignore[override]
        """Make an index of source documents, split into nodes.

        A document of an id that the index holds replaces that one: its old nodes are deleted in the commit that adds
        the new ones.

        Args:
            documents: LlamaIndex documents. Give them ids (``id_=``) if you will index them again.
            **kwargs: ``index=`` and ``encoder=`` as above, and what LlamaIndex's `BaseIndex.from_documents` takes.
        """
        return super().from_documents(documents, replaced_sources=[document.id_ for document in documents], **kwargs)

    @classmethod
    def load(
        cls,
        persist_dir: str | os.PathLike[str],
        *,
        encoder: Encoder | str | os.PathLike[str] | None = None,
        **kwargs: Any,
    ) -> LateInteractionIndex:
        """The index that is in a directory, by `persist` or simply because it was made there.

        Args:
            persist_dir: The directory.
            encoder: Only where the index does not remember its own.
            **kwargs: Passed to LlamaIndex's `BaseIndex`.

        Raises:
            IndexNotFoundError: There is none.
        """
        return cls(index=Index.open(persist_dir, encoder=encoder), **kwargs)

    def persist(self, persist_dir: str | os.PathLike[str]) -> None:
        """Write a copy of the index into another directory. Its own is always up to date: `insert` is durable.

        Raises:
            InvalidRequestError: The directory has something in it, or the engine is no local one.
        """
        self.index.copy(persist_dir)

    def as_retriever(
        self,
        *,
        similarity_top_k: int = 2,
        where: Where | None = None,
        filters: MetadataFilters | None = None,
        node_ids: Sequence[str] | None = None,
        doc_ids: Sequence[str] | None = None,
        mode: Mode = "late",
        explain: bool = False,
        **kwargs: Any,
    ) -> LateInteractionRetriever:
        """A retriever over this index. See `LateInteractionRetriever`.

        Other arguments are ignored: LlamaIndex's `as_query_engine` and `as_chat_engine` pass theirs through here.
        """
        return LateInteractionRetriever(
            index=self.index,
            similarity_top_k=similarity_top_k,
            where=where,
            filters=filters,
            node_ids=node_ids,
            doc_ids=doc_ids,
            mode=mode,
            explain=explain,
            object_map=self._object_map,
            callback_manager=self._callback_manager,
        )

    def build_index_from_nodes(self, nodes: Sequence[BaseNode], **build_kwargs: Any) -> IndexDict:
        """Add nodes, without a second copy in the docstore."""
        return self._build_index_from_nodes(nodes, **build_kwargs)

    def insert_nodes(self, nodes: Sequence[BaseNode], *, replace_documents: bool = False, **insert_kwargs: Any) -> None:
        """Add nodes, replacing those of the same id.

        Args:
            nodes: The nodes.
            replace_documents: Delete all other nodes of their source documents in the same commit. For the nodes that
                an `IngestionPipeline` makes of documents that have changed.
            **insert_kwargs: Ignored.
        """
        sources = {node.ref_doc_id for node in nodes if node.ref_doc_id is not None} if replace_documents else ()
        with self._callback_manager.as_trace("insert_nodes"):
            self._insert(nodes, replaced_sources=sources)

    async def ainsert_nodes(
        self, nodes: Sequence[BaseNode], *, replace_documents: bool = False, **insert_kwargs: Any
    ) -> None:
        """Add nodes without blocking the loop."""
        await asyncio.to_thread(self.insert_nodes, nodes, replace_documents=replace_documents)

    def delete_nodes(self, node_ids: list[str], delete_from_docstore: bool = False, **delete_kwargs: Any) -> None:
        """Delete nodes by id. Unknown ids are no error."""
        self.index.delete(node_ids)

    async def adelete_nodes(
        self, node_ids: list[str], delete_from_docstore: bool = False, **delete_kwargs: Any
    ) -> None:
        """Delete nodes without blocking the loop."""
        await asyncio.to_thread(self.delete_nodes, node_ids)

    def delete_ref_doc(self, ref_doc_id: str, delete_from_docstore: bool = False, **delete_kwargs: Any) -> None:
        """Delete the nodes of a source document."""
        if not isinstance(ref_doc_id, str):  # None would stand for the nodes that have no source document
            raise InvalidRequestError(f"ref_doc_id must be a string, got {ref_doc_id!r}.")
        self.index.delete(where={REF_DOC_ID: ref_doc_id})

    async def adelete_ref_doc(self, ref_doc_id: str, delete_from_docstore: bool = False, **delete_kwargs: Any) -> None:
        """Delete the nodes of a source document without blocking the loop."""
        await asyncio.to_thread(self.delete_ref_doc, ref_doc_id)

    def update_ref_doc(self, document: Document, **update_kwargs: Any) -> None:
        """Replace the nodes of a source document, in one commit: if this raises, the old ones are still there."""
        with self._callback_manager.as_trace("update_ref_doc"):
            self._replace(document, update_kwargs.get("insert_kwargs", {}))

    async def aupdate_ref_doc(self, document: Document, **update_kwargs: Any) -> None:
        """Replace the nodes of a source document without blocking the loop."""
        await asyncio.to_thread(self.update_ref_doc, document, **update_kwargs)

    def refresh_ref_docs(self, documents: Sequence[Document], **update_kwargs: Any) -> list[bool]:
        """Insert the source documents that are new and replace those that have changed, each in one commit.

        What is there is read from the index, so this also works after opening it again.

        Returns:
            For each document, whether it was new or had changed.
        """
        refreshed = []
        with self._callback_manager.as_trace("refresh_ref_docs"):
            for document in documents:
                known = self._hash_of(document.id_)
                if known != document.hash:
                    settings = update_kwargs if known is None else update_kwargs.get("update_kwargs", {})
                    self._replace(document, settings.get("insert_kwargs", {}))
                refreshed.append(known != document.hash)
        return refreshed

    async def arefresh_ref_docs(self, documents: Sequence[Document], **update_kwargs: Any) -> list[bool]:
        """The same without blocking the loop."""
        return await asyncio.to_thread(self.refresh_ref_docs, documents, **update_kwargs)

    @property
    def ref_doc_info(self) -> dict[str, RefDocInfo]:
        """The source documents, with the ids of their nodes."""
        from llama_index.core.storage.docstore.types import RefDocInfo

        found: dict[str, RefDocInfo] = {}
        for document in self.index.scan(where={REF_DOC_ID: {"$exists": True}}):
            info = found.setdefault(str(document.metadata[REF_DOC_ID]), RefDocInfo())
            info.node_ids.append(document.id)
            info.metadata = info.metadata or to_node(document).metadata
        return found

    def _build_index_from_nodes(
        self, nodes: Sequence[BaseNode], *, replaced_sources: Collection[str] = (), **build_kwargs: Any
    ) -> IndexDict:
        if replaced_sources:
            replaced_sources = {*replaced_sources, *(node.ref_doc_id for node in nodes if node.ref_doc_id is not None)}
        if nodes or replaced_sources:
            self._insert(nodes, replaced_sources=replaced_sources)
        return IndexDict()

    def _replace(self, document: Document, settings: dict[str, Any]) -> None:
        """Put the nodes of a source document in the place of those that the index holds, if it holds any."""
        nodes = run_transformations(
            [document],
            self._transformations,
            show_progress=self._show_progress,
            **settings,
        )
        self._insert(nodes, replaced_sources=[document.id_])
        self.docstore.set_document_hash(document.id_, document.hash)  # as `insert` does

    def _insert(
        self, nodes: Sequence[BaseNode], *, replaced_sources: Collection[str] = (), **insert_kwargs: Any
    ) -> None:
        """Add nodes, and delete all others of these source documents in the same commit."""
        as_image = "image" in self.index.modalities
        for node in nodes:
            if isinstance(node, IndexNode) and node.obj is not None:  # kept here, where it cannot be stored
                self._object_map[node.index_id] = node.obj
        documents = [from_node(without_object(node), as_image=as_image) for node in nodes]
        if not replaced_sources:
            self.index.add(documents, progress=self._show_progress)
            return
        for sources, of_sources in _commits(documents, replaced_sources):
            self.index.add(of_sources, replacing={REF_DOC_ID: {"$in": sources}}, progress=self._show_progress)

    def _delete_node(self, node_id: str, **delete_kwargs: Any) -> None:
        self.index.delete([node_id])

    def _hash_of(self, ref_doc_id: str) -> str | None:
        """The hash of a source document when its nodes were added, which each of them carries."""
        for document in self.index.scan(where={REF_DOC_ID: ref_doc_id}):
            source = to_node(document).source_node
            return source.hash if source is not None else None
        return None


def _commits(
    documents: list[StoredDocument], sources: Collection[str]
) -> Iterator[tuple[list[str], list[StoredDocument]]]:
    """The sources that each commit replaces with their documents: as many as a filter can name, so nearly always all.

    Documents of other sources are added with the last.
    """
    names = list(dict.fromkeys(sources))
    groups = [names[start : start + _SOURCES_OF_A_COMMIT] for start in range(0, len(names), _SOURCES_OF_A_COMMIT)]
    group_of = {name: number for number, group in enumerate(groups) for name in group}
    of_groups: list[list[StoredDocument]] = [[] for _ in groups]
    for document in documents:
        of_groups[group_of.get(str(document.metadata.get(REF_DOC_ID)), -1)].append(document)
    yield from zip(groups, of_groups, strict=True)
