"""The index as a LlamaIndex index."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from llama_index.core.indices.base import BaseIndex
from llama_index.core.ingestion import run_transformations
from llama_index.core.schema import BaseNode, IndexNode
from llama_index.core.storage.docstore.types import RefDocInfo

from late_interaction.adapters.arguments import as_store, check_known, location_of, persist
from late_interaction.adapters.event_loop import async_write
from late_interaction.adapters.sources import delete_source, replace_sources
from late_interaction.errors import InvalidRequestError
from late_interaction.llama_index.answering import chat_engine, query_engine
from late_interaction.llama_index.loading import LateInteractionStruct, open_existing, open_named, register
from late_interaction.llama_index.nodes import REF_DOC_ID, check_nodes, from_nodes, written_node
from late_interaction.llama_index.retrievers import RETRIEVER_SETTINGS, LateInteractionRetriever, check_settings

if TYPE_CHECKING:
    import os
    from collections.abc import Collection, Mapping, Sequence

    from llama_index.core import Document
    from llama_index.core.base.base_query_engine import BaseQueryEngine
    from llama_index.core.chat_engine.types import BaseChatEngine
    from llama_index.core.llms.utils import LLMType

    from late_interaction.adapters.arguments import EncoderOrName, IndexOrPath

__all__ = ["LateInteractionIndex"]

_OF_BASE_INDEX = ("objects", "index_struct", "storage_context", "callback_manager", "transformations", "show_progress")
_OWN = ("index", "encoder", "read_only")


class LateInteractionIndex(BaseIndex[LateInteractionStruct]):
    """Nodes in an `Index`, behind LlamaIndex's index interface.

    The nodes live in the index and nowhere else, not in the docstore of the storage context. Open an existing index
    with ``LateInteractionIndex(index=path)``; fill one with `from_documents`.

    A path that this process has open already, with the same settings, is shared: a notebook cell may run twice. A
    pickled index is its path, opened for reading where it arrives.

    **Thread safety.** Any thread may call. Async writes run in asyncio's own threads.

    A storage context keeps the path or address of the index, from which LlamaIndex's ``load_index_from_storage`` opens
    it, once this module is imported; it passes ``index=`` and ``encoder=`` on.

    **Limits.** Objects inside nodes that are not nodes, such as query engines, are kept in memory and not stored.

    Args:
        nodes: Nodes to add.
        index: The index, or the path or address of one, which is opened for writing. Only with an ``index_struct`` of
            LlamaIndex, which has the path or address, may it be left out.
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

    index_struct_cls = LateInteractionStruct

    def __init__(
        self,
        nodes: Sequence[BaseNode] | None = None,
        *,
        index: IndexOrPath | None = None,
        encoder: EncoderOrName | None = None,
        read_only: bool = False,
        index_struct: LateInteractionStruct | None = None,
        **kwargs: Any,
    ) -> None:
        check_settings(kwargs, (*_OF_BASE_INDEX, *_OWN, "replaced_sources"), type(self).__name__)
        if index is not None:
            self.index = as_store(index, encoder=encoder, read_only=read_only)
        elif index_struct is not None:
            self.index = open_named(index_struct, encoder, read_only=read_only)
        else:
            raise InvalidRequestError("index= is missing: an Index, or the path of one.")
        try:
            super().__init__(nodes=list(nodes or []), index_struct=index_struct, **kwargs)
        except BaseException:
            if self.index is not index:  # opened here, and nobody else can close it
                self.index.close()
            raise

    @classmethod
    def from_documents(cls, documents: Sequence[Document], **kwargs: Any) -> LateInteractionIndex:  # type: ignore[override]
        """Return an index of source documents, split into nodes. Takes ``index=`` and ``encoder=`` too.

        A document of an id that the index holds replaces that one: its old nodes are deleted in the commit that adds
        the new ones. So give documents ids (``id_=``) if you will index them again. If this raises or is interrupted,
        nothing has changed.
        """
        check_settings(kwargs, (*_OF_BASE_INDEX, *_OWN), "from_documents")
        documents = check_nodes(documents, kind="document", example="Document(text=…)")
        return super().from_documents(documents, replaced_sources=[document.id_ for document in documents], **kwargs)

    @classmethod
    def load(
        cls, persist_dir: str | os.PathLike[str], *, encoder: EncoderOrName | None = None, **kwargs: Any
    ) -> LateInteractionIndex:
        """Open the index that is in a directory or at an address, by `persist` or because it was created there.

        It needs ``encoder`` only where the index does not remember its own.

        Raises:
            IndexNotFoundError: The directory has no index.
        """
        return cls(index=open_existing(persist_dir, encoder), **kwargs)

    def persist(self, persist_dir: str | os.PathLike[str]) -> None:
        """Write a copy of the index into another directory, or over an earlier copy there; see `Index.copy`.

        Its own directory is always up to date: `insert` is durable. An index of a server or database, such as
        ``qdrant:DIR``, keeps everything itself: nothing is done.

        Raises:
            InvalidRequestError: The directory has something else in it.
        """
        persist(self.index, persist_dir)

    def as_retriever(self, **kwargs: Any) -> LateInteractionRetriever:
        """Return a retriever over this index, with the arguments of `LateInteractionRetriever`."""
        check_settings(kwargs, RETRIEVER_SETTINGS, "as_retriever")
        own = {"object_map": self._object_map, "callback_manager": self._callback_manager}
        return LateInteractionRetriever(index=self.index, **{**own, **kwargs})

    def as_query_engine(
        self, llm: LLMType | None = None, *, multimodal: bool | None = None, **kwargs: Any
    ) -> BaseQueryEngine:
        """Return LlamaIndex's `RetrieverQueryEngine` over this index.

        Args:
            llm: The language model; by default that of LlamaIndex's `Settings`.
            multimodal: Show the images of pages to the model. By default they are shown if the encoder reads pages and
                the model is a chat model; pass False for a chat model that reads text alone, which is then given the
                text on the pages.
            **kwargs: Arguments of `LateInteractionRetriever`, and of `RetrieverQueryEngine.from_args`.

        Raises:
            InvalidRequestError: An argument that neither has.
        """
        return query_engine(self, llm, multimodal, kwargs)

    def as_chat_engine(
        self, chat_mode: str = "best", llm: LLMType | None = None, *, multimodal: bool | None = None, **kwargs: Any
    ) -> BaseChatEngine:
        """Return LlamaIndex's chat engine of a mode over this index.

        Args:
            chat_mode: ``context``, ``condense_plus_context`` (the same as ``best``), ``condense_question`` or
                ``simple``, which retrieves nothing.
            llm: The language model; by default that of LlamaIndex's `Settings`.
            multimodal: As for `as_query_engine`.
            **kwargs: Arguments of `LateInteractionRetriever`, and of ``from_defaults`` of the engine.

        Raises:
            InvalidRequestError: An argument that neither has.
        """
        return chat_engine(self, chat_mode, llm, multimodal, kwargs)

    def build_index_from_nodes(
        self, nodes: Sequence[BaseNode], *, replaced_sources: Collection[str] = (), **build_kwargs: Any
    ) -> LateInteractionStruct:
        """Add nodes, without a second copy in the docstore."""
        if replaced_sources:
            replaced_sources = {*replaced_sources, *_sources_of(nodes)}
        if nodes or replaced_sources:
            self._insert(nodes, replaced_sources=replaced_sources)
        return LateInteractionStruct(path=location_of(self.index))

    _build_index_from_nodes = build_index_from_nodes

    def insert_nodes(self, nodes: Sequence[BaseNode], *, replace_documents: bool = False, **insert_kwargs: Any) -> None:
        """Add nodes, replacing those of the same id.

        With ``replace_documents`` all other nodes of their source documents are deleted in the same commit. For the
        nodes that an `IngestionPipeline` makes of documents that have changed.
        """
        check_known(insert_kwargs, ("replace_documents",), "insert_nodes")
        with self._callback_manager.as_trace("insert_nodes"):
            self._insert(nodes, replaced_sources=_sources_of(nodes) if replace_documents else ())

    def delete_nodes(self, node_ids: list[str], delete_from_docstore: bool = False, **delete_kwargs: Any) -> None:
        """Delete nodes by id. Unknown ids are skipped."""
        check_known(delete_kwargs, ("delete_from_docstore",), "delete_nodes")
        self.index.delete(node_ids)

    def delete_ref_doc(self, ref_doc_id: str, delete_from_docstore: bool = False, **delete_kwargs: Any) -> None:
        """Delete the nodes of a source document, and the document itself where it was added whole."""
        check_known(delete_kwargs, ("delete_from_docstore",), "delete_ref_doc")
        delete_source(self.index, REF_DOC_ID, ref_doc_id)

    def update_ref_doc(self, document: Document, **update_kwargs: Any) -> None:
        """Replace the nodes of a source document, in one commit: if this raises, the old ones are still there.

        ``insert_kwargs=``, a dict, is passed to the transformations.
        """
        check_known(update_kwargs, ("insert_kwargs", "delete_kwargs"), "update_ref_doc")
        with self._callback_manager.as_trace("update_ref_doc"):
            self._replace(([document], update_kwargs.get("insert_kwargs", {})))

    def refresh_ref_docs(self, documents: Sequence[Document], **update_kwargs: Any) -> list[bool]:
        """Insert the source documents that are new and replace those that have changed, all of them in one commit.

        What is there is read from the index, so this also works after opening it again. Return for each document
        whether it was new or had changed. ``insert_kwargs=``, a dict, is passed to the transformations of documents
        that are new, and ``update_kwargs={"insert_kwargs": …}`` to those of documents that have changed. Of several
        documents of one id, the last one counts.
        """
        check_known(update_kwargs, ("insert_kwargs", "update_kwargs"), "refresh_ref_docs")
        of_changed = update_kwargs.get("update_kwargs", {})
        check_known(of_changed, ("insert_kwargs", "delete_kwargs"), "update_kwargs")
        with self._callback_manager.as_trace("refresh_ref_docs"):
            latest = {document.id_: document for document in documents}
            stored = {name: self._hash_of(name) for name in latest}
            known, refreshed = dict(stored), []
            for document in documents:
                refreshed.append(known[document.id_] != document.hash)
                known[document.id_] = document.hash
            new = [document for name, document in latest.items() if stored[name] is None]
            changed = [document for name, document in latest.items() if stored[name] not in (None, document.hash)]
            self._replace((new, update_kwargs.get("insert_kwargs", {})), (changed, of_changed.get("insert_kwargs", {})))
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

    def _replace(self, *parts: tuple[Sequence[Document], Mapping[str, Any]]) -> None:
        """Put the nodes of source documents in the place of those that the index holds, if it holds any.

        Args:
            *parts: Documents, and what to pass to the transformations of these.
        """
        documents = [document for part, _ in parts for document in part]
        nodes: list[BaseNode] = []
        for part, settings in parts:
            if part:
                show = self._show_progress
                nodes += run_transformations(part, self._transformations, show_progress=show, **settings)
        if documents:
            self._insert(nodes, replaced_sources=[document.id_ for document in documents])
        for document in documents:
            self.docstore.set_document_hash(document.id_, document.hash)  # as `insert` does

    def _insert(
        self, nodes: Sequence[BaseNode], *, replaced_sources: Collection[str] = (), **insert_kwargs: Any
    ) -> None:
        """Add nodes, and delete all others of these source documents in the same commit."""
        documents = from_nodes(nodes, self.index)
        for node in nodes:
            if isinstance(node, IndexNode) and node.obj is not None:  # kept here, where it cannot be stored
                self._object_map[node.index_id] = node.obj
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


register(LateInteractionIndex)


def _sources_of(nodes: Sequence[BaseNode]) -> set[str]:
    return {node.ref_doc_id for node in nodes if node.ref_doc_id is not None}
