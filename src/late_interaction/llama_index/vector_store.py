"""The index as a LlamaIndex vector store."""

from __future__ import annotations

from collections.abc import Sequence
from itertools import islice
from pathlib import Path
from typing import TYPE_CHECKING, Any

from llama_index.core.bridge.pydantic import Field, field_serializer
from llama_index.core.schema import BaseNode
from llama_index.core.vector_stores.simple import DEFAULT_VECTOR_STORE, NAMESPACE_SEP
from llama_index.core.vector_stores.types import (
    DEFAULT_PERSIST_DIR,
    DEFAULT_PERSIST_FNAME,
    BasePydanticVectorStore,
    MetadataFilters,
    VectorStoreQuery,
    VectorStoreQueryResult,
)

from late_interaction.adapters.arguments import as_store, check_known, location_of, persist
from late_interaction.adapters.event_loop import async_search, async_write
from late_interaction.adapters.sources import delete_source
from late_interaction.errors import InvalidRequestError, UnsupportedError
from late_interaction.llama_index.filters import to_filter
from late_interaction.llama_index.no_embedding import NoEmbedding
from late_interaction.llama_index.nodes import REF_DOC_ID, from_nodes, to_node
from late_interaction.llama_index.pickling import PickledWhole
from late_interaction.llama_index.queries import QUERY_SETTINGS, search_arguments
from late_interaction.validation import check_k

if TYPE_CHECKING:
    import os
    from collections.abc import Iterable

    from late_interaction.adapters.arguments import EncoderOrName, IndexOrPath
    from late_interaction.documents import Document
    from late_interaction.index import Index

__all__ = ["LateInteractionVectorStore"]


class LateInteractionVectorStore(PickledWhole, BasePydanticVectorStore):
    """Nodes in an `Index`, behind LlamaIndex's interface of vector stores.

    For code that is written for one: `VectorStoreIndex`, `StorageContext`, `IngestionPipeline`. `LateInteractionIndex`
    needs less and does more: it replaces documents in one commit, and shows pages to models.

    `VectorStoreIndex` and `IngestionPipeline` compute an embedding of each node, which is not needed here. So give
    them ``embed_model=store.embed_model``, which computes nothing, or set ``Settings.embed_model`` to it once: without
    it, LlamaIndex asks for a key of OpenAI. A pipeline needs it as its last transformation: LlamaIndex passes nodes
    without an embedding to no store.

    Query modes: ``default`` is MaxSim, ``sparse`` and ``text_search`` are BM25, ``hybrid`` fuses both, ``mmr`` chooses
    hits that differ (``mmr_threshold``: 1 counts relevance alone). Similarities are `Hit.relevance`, in [0, 1].

    ``to_dict`` writes the path or address of the index, from which ``from_dict`` opens it again. A custom encoder has
    no name: ``from_dict(data, encoder=…)``.

    **Thread safety.** Any thread may call, and so may any event loop.

    **Limits.** `VectorStoreIndex` drops nodes without text and metadata, such as bare page images, and once it has
    inserted `ImageNode`s or `IndexNode`s, its retriever finds these alone until it is made anew. The strings of a
    `QueryBundle` (HyDE) are searched for, as `LateInteractionIndex` does, but not in the modes ``sparse`` and
    ``text_search``, nor with another ``embed_model``: LlamaIndex does not pass them on. It keeps the empty embedding in
    the bundle: a retriever of another model that is given the same bundle after it cannot use it.
    `LateInteractionIndex` has none of these limits.

    Args:
        index: An `Index`, or the path or address of one, which is opened for writing.
        encoder: For a path: the encoder of a new index.
        read_only: For a path: open it for reading.

    Example:
        >>> from llama_index.core import StorageContext, VectorStoreIndex
        >>> from llama_index.core.schema import TextNode
        >>> from late_interaction.llama_index import LateInteractionVectorStore
        >>> store = LateInteractionVectorStore(index=tmp / "store", encoder="minilm")
        >>> nodes = [TextNode(text="Paris is the capital of France."), TextNode(text="The Nile is a river.")]
        >>> index = VectorStoreIndex(
        ...     nodes, storage_context=StorageContext.from_defaults(vector_store=store), embed_model=store.embed_model)
        >>> index.as_retriever(similarity_top_k=1).retrieve("African rivers")[0].node.text
        'The Nile is a river.'
        >>> store.index.close()
    """

    stores_text: bool = Field(default=True, exclude=True)
    is_embedding_query: bool = Field(default=True, exclude=True)  # so that `NoEmbedding` is given the texts
    index: Any = Field(description="An index, or the path or address of one.")
    read_only: bool = Field(default=False, description="Open a path for reading.")

    def __init__(self, *, index: IndexOrPath, encoder: EncoderOrName | None = None, read_only: bool = False) -> None:
        opened = as_store(index, read_only=read_only, encoder=encoder)
        super().__init__(index=opened, read_only=read_only)  # type: ignore[call-arg]  # its fields

    @field_serializer("index")
    def _location_of(self, index: Index) -> str | None:
        return location_of(index)

    @classmethod
    def class_name(cls) -> str:
        """Return the name LlamaIndex knows the class by."""
        return "LateInteractionVectorStore"

    @classmethod
    def from_persist_path(
        cls, persist_path: str | os.PathLike[str], *, encoder: EncoderOrName | None = None
    ) -> LateInteractionVectorStore:
        """Open a copy that `persist` wrote. It needs ``encoder`` only where the index does not remember its own."""
        return cls(index=persist_path, encoder=encoder)

    @classmethod
    def from_persist_dir(
        cls,
        persist_dir: str = DEFAULT_PERSIST_DIR,
        namespace: str = DEFAULT_VECTOR_STORE,
        *,
        encoder: EncoderOrName | None = None,
    ) -> LateInteractionVectorStore:
        """Open the copy that `StorageContext.persist` wrote, under the name that the store has there."""
        name = f"{namespace}{NAMESPACE_SEP}{DEFAULT_PERSIST_FNAME}"
        return cls.from_persist_path(Path(persist_dir) / name, encoder=encoder)

    def persist(self, persist_path: str, fs: Any = None) -> None:
        """Write a copy of the index into a directory of this path, replacing an earlier copy (see `Index.copy`).

        The index itself is always up to date: `add` is durable. One of a server or database, such as ``qdrant:DIR``,
        keeps everything itself: nothing is done. To load a storage context that has the copy, give it
        the store that `from_persist_dir` opens: ``StorageContext.from_defaults(vector_store=store, persist_dir=…)``.

        Raises:
            InvalidRequestError: The directory has something else in it.
            UnsupportedError: ``fs`` is given: the copy is on the local disk.
        """
        if fs is not None:
            raise UnsupportedError("fs= cannot be used: an index is copied to the local disk.")
        persist(self.index, persist_path)

    @property
    def client(self) -> Index:
        """The index."""
        index: Index = self.index
        return index

    @property
    def embed_model(self) -> NoEmbedding:
        """The embedding model for LlamaIndex's classes that need one. It computes nothing."""
        return NoEmbedding()

    def add(self, nodes: Sequence[BaseNode], **add_kwargs: Any) -> list[str]:
        """Add nodes, replacing those of the same id, in one commit; return their ids."""
        check_known(add_kwargs, (), "add")
        return self.client.add(from_nodes(nodes, self.client))

    def delete(self, ref_doc_id: str, **delete_kwargs: Any) -> None:
        """Delete the nodes of a source document, and the document itself where it was added whole."""
        check_known(delete_kwargs, (), "delete")
        delete_source(self.client, REF_DOC_ID, ref_doc_id)

    def get_nodes(
        self,
        node_ids: list[str] | None = None,
        filters: MetadataFilters | None = None,
        limit: int | None = None,
    ) -> list[BaseNode]:
        """Return the nodes of these ids, in this order, that pass the filters; without both, all nodes.

        Unknown ids are left out. With ``limit``, at most this many are returned.
        """
        stop = None if limit is None else check_k(limit, "limit")
        return [to_node(document) for document in islice(self._chosen(node_ids, filters), stop)]

    def delete_nodes(
        self, node_ids: list[str] | None = None, filters: MetadataFilters | None = None, **delete_kwargs: Any
    ) -> None:
        """Delete nodes by ids, by filters, or those of these ids that pass the filters. Unknown ids are skipped.

        Raises:
            InvalidRequestError: Neither is given, or every node passes the filters. `clear` deletes everything.
        """
        check_known(delete_kwargs, (), "delete_nodes")
        if node_ids is None and filters is None:
            raise InvalidRequestError("delete_nodes needs node_ids= or filters=. clear() deletes everything.")
        if node_ids is None:
            self.client.delete(where=to_filter(filters))  # type: ignore[arg-type]  # not None
        elif filters is None:
            self.client.delete(node_ids)
        else:
            self.client.delete([document.id for document in self._chosen(node_ids, filters)])

    def clear(self) -> None:
        """Delete all nodes."""
        self.client.clear()

    def query(self, query: VectorStoreQuery, **kwargs: Any) -> VectorStoreQueryResult:
        """Return the best nodes for a query, best first.

        Args:
            query: The query. Its text is used, and not its single-vector embedding.
            **kwargs: What a retriever has as ``vector_store_kwargs``: ``where``, a filter in the language of
                `late_interaction.filters`; ``mmr_threshold``; and ``mmr_prefetch_k``, among how many of the best nodes
                the mode ``mmr`` chooses.

        Raises:
            UnsupportedError: A mode or setting that the index does not have; nothing is ignored.
        """
        check_known(kwargs, QUERY_SETTINGS, "query")
        hits = self.client.search(**search_arguments(query, kwargs))
        return VectorStoreQueryResult(
            nodes=[to_node(hit.document) for hit in hits],
            similarities=[hit.relevance for hit in hits],
            ids=[hit.id for hit in hits],
        )

    aquery = async_search(query)
    aget_nodes = async_search(get_nodes)
    async_add = async_write(add)
    adelete = async_write(delete)
    adelete_nodes = async_write(delete_nodes)
    aclear = async_write(clear)

    def _chosen(self, node_ids: list[str] | None, filters: MetadataFilters | None) -> Iterable[Document]:
        clause = None if filters is None else to_filter(filters)
        if node_ids is None:
            return self.client.scan(where=clause)
        with self.client.one_state():
            found = self.client.get(node_ids)
            if clause is None:
                return found
            passing = {row.id for row in self.client.scan(where=clause, fields=[])}
        return [document for document in found if document.id in passing]
