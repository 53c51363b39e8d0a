"""Every way into a store keeps what the documents carry: ids, metadata, the encoded text and page images."""

from __future__ import annotations

import sqlite3

import pytest
from langchain_core.documents import Document

from late_interaction import Document as OurDocument
from late_interaction import Index
from late_interaction.errors import InvalidRequestError
from late_interaction.langchain import LateInteractionVectorStore
from late_interaction.langchain.documents import to_langchain
from late_interaction.readers import read_paths


def texts_and_metadatas(documents):
    return [document.page_content for document in documents], [document.metadata for document in documents]


async def by_from_documents(documents, index):
    return LateInteractionVectorStore.from_documents(documents, index=index)


async def by_afrom_documents(documents, index):
    return await LateInteractionVectorStore.afrom_documents(documents, index=index)


async def by_from_texts(documents, index):
    texts, metadatas = texts_and_metadatas(documents)
    ids = [document.id for document in documents]
    return LateInteractionVectorStore.from_texts(texts, None, metadatas, ids=ids, index=index)


async def by_afrom_texts(documents, index):
    texts, metadatas = texts_and_metadatas(documents)
    ids = [document.id for document in documents]
    return await LateInteractionVectorStore.afrom_texts(texts, None, metadatas, ids=ids, index=index)


async def by_add_documents(documents, index):
    store = LateInteractionVectorStore(index=index)
    store.add_documents(documents)
    return store


async def by_aadd_documents(documents, index):
    store = LateInteractionVectorStore(index=index)
    await store.aadd_documents(documents)
    return store


async def by_aadd_texts(documents, index):
    store = LateInteractionVectorStore(index=index)
    texts, metadatas = texts_and_metadatas(documents)
    await store.aadd_texts(texts, metadatas, ids=[document.id for document in documents])
    return store


WAYS = [
    by_add_documents,
    by_aadd_documents,
    by_from_documents,
    by_afrom_documents,
    by_from_texts,
    by_afrom_texts,
    by_aadd_texts,
]


@pytest.mark.parametrize("way", WAYS)
async def test_any_way_into_a_store(way, tmp_path, colour_encoder, report):
    held = [
        OurDocument("they flow north", id="a", encoded_text="Rivers\nthey flow north", metadata={"n": {"m": [1]}}),
        OurDocument("plain", id="b"),
        *read_paths([report], modalities=["image"], keep_images=True),
    ]
    given = [to_langchain(document) for document in held]
    before = [document.model_copy(deep=True) for document in given]
    with Index.open(tmp_path / "other", encoder=colour_encoder) as index:
        store = await way(given, index)
        assert index.get([document.id for document in held]) == held
        assert store.get_by_ids([document.id for document in held]) == given == before
        assert index.search("Rivers", 1)[0].id == "a"
        assert index.search("blue", 1)[0].document.image is not None


async def test_ids_given_to_from_documents_come_first(index):
    documents = [Document("one", id="own"), Document("two", id="kept")]
    store = LateInteractionVectorStore.from_documents(documents, index=index, ids=["given", None])
    assert [document.page_content for document in store.get_by_ids(["given", "kept", "own"])] == ["one", "two"]
    with pytest.raises(InvalidRequestError, match="ids has 1 entries for 2"):
        await LateInteractionVectorStore.afrom_documents(documents, index=index, ids=["given"])
    with pytest.raises(InvalidRequestError, match="list"):
        LateInteractionVectorStore.from_documents(documents[0], index=index)


def test_documents_of_a_store_make_the_same_store(filled, tmp_path, word_encoder):
    found = filled.similarity_search("river capital", k=4)
    with Index.open(tmp_path / "again", encoder=word_encoder) as index:
        again = LateInteractionVectorStore.from_documents(found, index=index)
        assert again.similarity_search("river capital", k=4) == found


def test_nothing_given_deletes_nothing(filled):
    for call in (filled.delete, lambda: filled.delete(None), lambda: filled.delete(None, where=None)):
        with pytest.raises(InvalidRequestError):
            call()
    filled.delete([])
    assert len(filled.index) == 4


@pytest.mark.parametrize("kind", [sqlite3.DatabaseError, sqlite3.OperationalError, ZeroDivisionError])
@pytest.mark.parametrize("search", ["similarity_search", "max_marginal_relevance_search"])
async def test_an_error_of_a_filter_comes_out_as_it_is(filled, kind, search):
    error = kind("of a table of the user's own")

    def passes(document):
        raise error

    with pytest.raises(kind) as caught:
        getattr(filled, search)("river", filter=passes)
    assert caught.value is error
    with pytest.raises(kind) as caught:
        await getattr(filled, f"a{search}")("river", filter=passes)
    assert caught.value is error
    assert len(getattr(filled, search)("river", k=4, filter=lambda _: True)) == 4
