"""The index as a LlamaIndex index."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from llama_index.core.data_structs import IndexDict
from llama_index.core.indices.base import BaseIndex
from llama_index.core.ingestion import run_transformations
from llama_index.core.schema import BaseNode, IndexNode
from llama_index.core.storage.docstore.types import RefDocInfo

from late_interaction.adapters.arguments import as_store, takes_images
from late_interaction.adapters.event_loop import async_write
from late_interaction.adapters.sources import delete_source, replace_sources
from late_interaction.index import Index
from late_interaction.llama_index.nodes import REF_DOC_ID, from_node, written_node
from late_interaction.llama_index.retrievers import RETRIEVER_SETTINGS, LateInteractionRetriever

if TYPE_CHECKING:
    import os
    from collections.abc import Collection, Sequence

    from llama_index.core import Document

    from late_interaction.adapters.arguments import EncoderOrName, IndexOrPath

__all__ = ["LateInteractionIndex"]


class LateInteractionIndex(BaseIndex[IndexDict]):
    """Nodes in an `Index`, behind LlamaIndex's index interface.

    The nodes live in the index and nowhere else, not in the docstore of the storage context. Open an existing index
    with ``LateInteractionIndex(index=path)``; fill one with `from_documents`.

    A path that this process has open already, with the same settings, is shared: a notebook cell may run twice. A
    pickled index is its path, opened for reading where it arrives.

    **Thread safety.** Any thread may call. Async writes run in asyncio's own threads.

    **Limits.** Objects inside nodes that are not nodes, such as query engines, are kept in memory and not stored.
    LlamaIndex's ``load_index_from_storage`` cannot load the index; `load` can.

    Args:
        nodes: Nodes to add.
        index: The index, or the path of one, which is opened for writing.
        encoder: For a path: the encoder of a new index.
        read_only: For a path: open it for reading. Any number of processes may read beside the one that writes.
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
        index: IndexOrPath,
        encoder: EncoderOrName | None = None,
        read_only: bool = False,
        **kwargs: Any,
    ) -> None:
        self.index = as_store(index, encoder=encoder, read_only=read_only)
        super().__init__(nodes=list(nodes or []), **kwargs)
        # Or LlamaIndex would persist what this is not: an index without nodes, which it loads as one of another class.
        self._storage_context.index_store.delete_index_struct(self.index_id)

    @classmethod
    def from_documents(cls, documents: Sequence[Document], **kwargs: Any) -> LateInteractionIndex:  # type: ignore[override]
        """Return an index of source documents, split into nodes. Takes ``index=`` and ``encoder=`` too.

        A document of an id that the index holds replaces that one: its old nodes are deleted in the commit that adds
        the new ones. So give documents ids (``id_=``) if you will index them again.
        """
        return super().from_documents(documents, replaced_sources=[document.id_ for document in documents], **kwargs)

    @classmethod
    def load(
        cls, persist_dir: str | os.PathLike[str], *, encoder: EncoderOrName | None = None, **kwargs: Any
    ) -> LateInteractionIndex:
        """Open the index that is in a directory, by `persist` or because it was created there.

        It needs ``encoder`` only where the index does not remember its own.

        Raises:
            IndexNotFoundError: The directory has no index.
        """
        return cls(index=Index.open(persist_dir, encoder=encoder), **kwargs)

    def persist(self, persist_dir: str | os.PathLike[str]) -> None:
        """Write a copy of the index into another directory. Its own is always up to date: `insert` is durable.

        Raises:
            InvalidRequestError: The directory has something in it, or the index is not in a directory.
        """
        self.index.copy(persist_dir)

    def as_retriever(self, **kwargs: Any) -> LateInteractionRetriever:
        """Return a retriever over this index, with the arguments of `LateInteractionRetriever`.

        Other arguments are ignored: LlamaIndex's `as_query_engine` and `as_chat_engine` pass theirs through here.
        """
        settings = {name: value for name, value in kwargs.items() if name in RETRIEVER_SETTINGS}
        return LateInteractionRetriever(
            index=self.index, object_map=self._object_map, callback_manager=self._callback_manager, **settings
        )

    def build_index_from_nodes(
        self, nodes: Sequence[BaseNode], *, replaced_sources: Collection[str] = (), **build_kwargs: Any
    ) -> IndexDict:
        """Add nodes, without a second copy in the docstore."""
        if replaced_sources:
            replaced_sources = {*replaced_sources, *_sources_of(nodes)}
        if nodes or replaced_sources:
            self._insert(nodes, replaced_sources=replaced_sources)
        return IndexDict()

    _build_index_from_nodes = build_index_from_nodes

    def insert_nodes(self, nodes: Sequence[BaseNode], *, replace_documents: bool = False, **insert_kwargs: Any) -> None:
        """Add nodes, replacing those of the same id.

        With ``replace_documents`` all other nodes of their source documents are deleted in the same commit. For the
        nodes that an `IngestionPipeline` makes of documents that have changed.
        """
        with self._callback_manager.as_trace("insert_nodes"):
            self._insert(nodes, replaced_sources=_sources_of(nodes) if replace_documents else ())

    def delete_nodes(self, node_ids: list[str], delete_from_docstore: bool = False, **delete_kwargs: Any) -> None:
        """Delete nodes by id. Unknown ids are skipped."""
        self.index.delete(node_ids)

    def delete_ref_doc(self, ref_doc_id: str, delete_from_docstore: bool = False, **delete_kwargs: Any) -> None:
        """Delete the nodes of a source document."""
        delete_source(self.index, REF_DOC_ID, ref_doc_id)

    def update_ref_doc(self, document: Document, **update_kwargs: Any) -> None:
        """Replace the nodes of a source document, in one commit: if this raises, the old ones are still there."""
        with self._callback_manager.as_trace("update_ref_doc"):
            self._replace(document, update_kwargs.get("insert_kwargs", {}))

    def refresh_ref_docs(self, documents: Sequence[Document], **update_kwargs: Any) -> list[bool]:
        """Insert the source documents that are new and replace those that have changed, each in one commit.

        What is there is read from the index, so this also works after opening it again. Return for each document
        whether it was new or had changed.
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

    ainsert_nodes = async_write(insert_nodes)
    adelete_nodes = async_write(delete_nodes)
    adelete_ref_doc = async_write(delete_ref_doc)
    aupdate_ref_doc = async_write(update_ref_doc)
    arefresh_ref_docs = async_write(refresh_ref_docs)

    @property
    def ref_doc_info(self) -> dict[str, RefDocInfo]:
        """The source documents, with the ids of their nodes and the metadata of the first."""
        found: dict[str, RefDocInfo] = {}
        for stored in self.index.scan(where={REF_DOC_ID: {"$exists": True}}, fields=["metadata"]):
            metadata = dict(stored.metadata or {})
            info = found.setdefault(str(metadata[REF_DOC_ID]), RefDocInfo())
            info.node_ids.append(stored.id)
            if not info.metadata:
                node = written_node(metadata)
                info.metadata = metadata if node is None else node.metadata
        return found

    def _replace(self, document: Document, settings: dict[str, Any]) -> None:
        """Put the nodes of a source document in the place of those that the index holds, if it holds any."""
        nodes = run_transformations([document], self._transformations, show_progress=self._show_progress, **settings)
        self._insert(nodes, replaced_sources=[document.id_])
        self.docstore.set_document_hash(document.id_, document.hash)  # as `insert` does

    def _insert(
        self, nodes: Sequence[BaseNode], *, replaced_sources: Collection[str] = (), **insert_kwargs: Any
    ) -> None:
        """Add nodes, and delete all others of these source documents in the same commit."""
        as_image = takes_images(self.index)
        for node in nodes:
            if isinstance(node, IndexNode) and node.obj is not None:  # kept here, where it cannot be stored
                self._object_map[node.index_id] = node.obj
        documents = [from_node(node, as_image=as_image) for node in nodes]
        replace_sources(self.index, REF_DOC_ID, replaced_sources, documents, progress=self._show_progress)

    def _delete_node(self, node_id: str, **delete_kwargs: Any) -> None:
        self.index.delete([node_id])

    def _hash_of(self, ref_doc_id: str) -> str | None:
        """Return the hash that a source document had when its nodes were added, which each of them carries."""
        for stored in self.index.scan(where={REF_DOC_ID: ref_doc_id}, fields=["metadata"]):
            node = written_node(stored.metadata or {})
            source = None if node is None else node.source_node
            return None if source is None else source.hash
        return None


def _sources_of(nodes: Sequence[BaseNode]) -> set[str]:
    return {node.ref_doc_id for node in nodes if node.ref_doc_id is not None}
