"""The index as a LangChain vector store."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from typing import TYPE_CHECKING, Any

from langchain_core.documents import Document as LangChainDocument
from langchain_core.embeddings import Embeddings

from late_interaction.adapters.arguments import as_store, check_known, takes_images
from late_interaction.adapters.documents import as_documents, at_position, column
from late_interaction.adapters.event_loop import async_search, async_write
from late_interaction.adapters.pages import image_documents
from late_interaction.adapters.results import scan
from late_interaction.errors import InvalidFilterError, InvalidRequestError, UnknownIdError
from late_interaction.langchain.documents import from_langchain, to_langchain
from late_interaction.langchain.searching import StoreFilter, one_filter, restriction
from late_interaction.langchain.store_search import StoreSearch

if TYPE_CHECKING:
    from late_interaction.adapters.arguments import EncoderOrName, IndexOrPath
    from late_interaction.documents import Document
    from late_interaction.filters import Where

__all__ = ["LateInteractionVectorStore"]

# `langchain_core.indexing.index` passes batch_size. Memory is bounded and a call is one commit without it.
_NEEDLESS = ("batch_size",)


class LateInteractionVectorStore(StoreSearch):
    """Documents in an `Index`, behind LangChain's store interface.

    A keyword argument that a method does not have is an error: a misspelt filter must not become no filter.

    **Thread safety.** Any thread may call, and so may any event loop.

    **Limits.** There is no search by one vector: a query has one vector for each token.

    Args:
        index: The index, or the path or address of one, which is opened for writing.
        encoder: For a path: the encoder of a new index.
        read_only: For a path: open it for reading. Any number of readers may share an index with the one writer.

    Example:
        >>> from late_interaction.langchain import LateInteractionVectorStore
        >>> store = LateInteractionVectorStore(index=tmp / "store2", encoder="minilm")
        >>> store.add_texts(["Paris is the capital of France.", "The Nile is a river."], ids=["paris", "nile"])
        ['paris', 'nile']
        >>> [document.id for document in store.similarity_search("African rivers", k=1)]
        ['nile']
        >>> store.index.close()
    """

    def __init__(
        self, *, index: IndexOrPath | None, encoder: EncoderOrName | None = None, read_only: bool = False
    ) -> None:
        _check_encoder(encoder)
        self.index = as_store(index, read_only=read_only, encoder=encoder)

    @classmethod
    def from_texts(
        cls,
        texts: Iterable[str],
        embedding: Any = None,
        metadatas: Iterable[dict[str, Any]] | None = None,
        ids: Iterable[str | None] | None = None,
        *,
        index: IndexOrPath | None = None,
        encoder: EncoderOrName | None = None,
        **kwargs: Any,
    ) -> LateInteractionVectorStore:
        """Return a store with these texts, added by `add_texts`.

        ``index`` is an index, or the path or address of one, and ``encoder`` the encoder of a new one: an `Encoder`, or
        what `load_encoder` takes. ``embedding`` is another name of ``encoder``, where LangChain's callers expect it;
        its single-vector embeddings cannot be used.
        """
        check_known(kwargs, (*_NEEDLESS, "ids", "index", "encoder", "embedding", "metadatas"), "from_texts")
        store = cls(index=index, encoder=_one_encoder(embedding, encoder))
        store.add_texts(texts, metadatas, ids=ids)
        return store

    @classmethod
    def from_documents(
        cls,
        documents: Iterable[LangChainDocument],
        embedding: Any = None,
        *,
        ids: Iterable[str | None] | None = None,
        index: IndexOrPath | None = None,
        encoder: EncoderOrName | None = None,
        **kwargs: Any,
    ) -> LateInteractionVectorStore:
        """Return a store with these documents, added by `add_documents`. See `from_texts` for the other arguments."""
        check_known(kwargs, (*_NEEDLESS, "ids", "index", "encoder", "embedding"), "from_documents")
        store = cls(index=index, encoder=_one_encoder(embedding, encoder))
        store.add_documents(documents, ids=ids)
        return store

    afrom_documents = classmethod(async_write(from_documents))

    def add_texts(
        self,
        texts: Iterable[str],
        metadatas: Iterable[dict[str, Any]] | None = None,
        ids: Iterable[str | None] | None = None,
        **kwargs: Any,
    ) -> list[str]:
        """Add texts, replacing those of the same id; return their ids.

        Args:
            texts: The texts.
            metadatas: The metadata of each.
            ids: The id of each; by default, or where it is None, a hash of the content.
            **kwargs: ``batch_size``, which LangChain's `index` passes, is not needed: a call is one commit in bounded
                memory. Any other is an error.
        """
        check_known(kwargs, (*_NEEDLESS, "ids", "metadatas"), "add_texts")
        return self.index.add(as_documents(texts, metadatas, ids, as_image=takes_images(self.index)))

    def add_documents(
        self, documents: Iterable[LangChainDocument], *, ids: Iterable[str | None] | None = None, **kwargs: Any
    ) -> list[str]:
        """Add documents, replacing those of the same id; return their ids.

        The id of a document is that of ``ids=``, or its own, or a hash of the content. Other arguments are those of
        `add_texts`.
        """
        # `TimeWeightedVectorStoreRetriever` passes current_time, which it has written to the metadata already.
        check_known(kwargs.keys() - {"current_time"}, (*_NEEDLESS, "ids"), "add_documents")
        return self.index.add(self._converted(documents, ids))

    def add_images(
        self,
        uris: Iterable[Any],
        metadatas: Iterable[dict[str, Any]] | None = None,
        ids: Iterable[str | None] | None = None,
        **kwargs: Any,
    ) -> list[str]:
        """Add page images, replacing documents of the same id; return their ids. The encoder must read images.

        Args:
            uris: Paths of image files, or PIL images. Files are referred to, not copied, and URLs are an error. Of a
                PIL image the index keeps a thumbnail of at most 1,024 pixels a side.
            metadatas: The metadata of each.
            ids: The id of each; by default, or where it is None, a hash of the content.
            **kwargs: As for `add_texts`.
        """
        check_known(kwargs, (*_NEEDLESS, "ids", "metadatas"), "add_images")
        return self.index.add(image_documents(self.index, uris, metadatas, ids))

    def update_documents(self, ids: list[str], documents: list[LangChainDocument]) -> None:
        """Replace stored documents, text and metadata, in one commit.

        Raises:
            UnknownIdError: The store does not hold one of the ids. Nothing is changed.
        """
        replaced = self._converted(documents, ids)
        held = {document.id for document in self.index.get([document.id for document in replaced])}
        missing = next((document.id for document in replaced if document.id not in held), None)
        if missing is not None:
            raise UnknownIdError(f"The store holds no document {missing!r}. add_documents adds it.")
        self.index.add(replaced)

    def update_document(self, document_id: str, document: LangChainDocument) -> None:
        """Replace one stored document. See `update_documents`."""
        self.update_documents([document_id], [document])

    def delete(
        self, ids: list[str] | None = None, *, filter: Where | None = None, where: Where | None = None, **kwargs: Any
    ) -> bool:
        """Delete by ids or by filter. Unknown ids are not an error.

        Without both it is an error, although LangChain's own documentation lets it delete everything: a variable that
        happens to be None must not. For that there is ``store.index.clear()``. ``where`` is another name of ``filter``,
        which is a dict here, not a function.
        """
        check_known(kwargs, ("ids", "filter", "where"), "delete")
        chosen = one_filter(filter, where)
        if (ids is None) == (chosen is None):
            raise InvalidRequestError("delete takes either ids or filter. `store.index.clear()` deletes everything.")
        if callable(chosen):
            raise InvalidFilterError(
                "The filter of delete takes a dict, not a function. To delete what a function chooses, get it first: "
                "`store.delete([document.id for document in store.get(filter=function)])`."
            )
        self.index.delete(ids, where=chosen)
        return True

    def get_by_ids(self, ids: Sequence[str], /) -> list[LangChainDocument]:
        """Return the documents of these ids, in this order; unknown ids are left out."""
        return [to_langchain(document) for document in self.index.get(ids)]

    def get(
        self,
        ids: str | Sequence[str] | None = None,
        where: StoreFilter | None = None,
        limit: int | None = None,
        offset: int | None = None,
        where_document: Mapping[str, Any] | None = None,
        *,
        filter: StoreFilter | None = None,
    ) -> list[LangChainDocument]:
        """Return stored documents, in the order of the ids, or else of addition. Without arguments, all.

        Args:
            ids: Only documents of these ids. Unknown ids are left out.
            where: Another name of ``filter``.
            limit: At most this many.
            offset: Leave out this many of the first.
            where_document: As in `similarity_search`.
            filter: As in `similarity_search`.
        """
        found = scan(
            self.index,
            [ids] if isinstance(ids, str) else ids,
            limit=limit,
            offset=0 if offset is None else offset,
            **restriction(one_filter(filter, where), where_document),
        )
        return [to_langchain(document) for document in found]

    aget = async_search(get)
    aadd_images = async_write(add_images)
    aupdate_documents = async_write(update_documents)
    aupdate_document = async_write(update_document)

    def _converted(self, documents: Iterable[LangChainDocument], ids: Iterable[str | None] | None) -> list[Document]:
        if isinstance(documents, (LangChainDocument, str)):
            raise InvalidRequestError("A list of documents is needed: pass `[document]`.")
        given = list(documents)
        as_image = takes_images(self.index)
        converted = []
        for position, (document, name) in enumerate(zip(given, column("ids", ids, len(given)), strict=False)):
            own = document.id if isinstance(document, LangChainDocument) else None
            with at_position(position, name or own):
                converted.append(from_langchain(document, id=name, as_image=as_image))
        return converted


def _one_encoder(embedding: Any, encoder: EncoderOrName | None) -> EncoderOrName | None:
    """Return the encoder that is given by one of its two names."""
    _check_encoder(embedding)
    if embedding is not None and encoder is not None:
        raise InvalidRequestError("embedding= and encoder= are two names of one argument: give one of them.")
    return embedding if encoder is None else encoder


def _check_encoder(encoder: object) -> None:
    if isinstance(encoder, Embeddings):
        raise InvalidRequestError(
            f"{type(encoder).__name__} gives one vector for each text; late interaction needs one for each token. "
            "Pass encoder=, for example encoder='lightonai/LateOn', and leave embedding out."
        )
