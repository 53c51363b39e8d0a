"""A source document is replaced in one commit: whatever interrupts it, all old nodes are there, or all new ones."""

from __future__ import annotations

import threading
from typing import Any

import pytest
from llama_index.core import Document
from llama_index.core.ingestion import IngestionPipeline
from llama_index.core.node_parser import SentenceSplitter
from llama_index.core.schema import NodeRelationship, RelatedNodeInfo, TextNode, TransformComponent

from late_interaction import Index
from late_interaction.adapters import sources
from late_interaction.errors import InvalidRequestError, LateInteractionError
from late_interaction.llama_index import LateInteractionIndex
from tests.fakes import WordEncoder

SPLITTER = SentenceSplitter(chunk_size=12, chunk_overlap=0)
SENTENCES = 150  # one node each: more than are encoded at once


class Interrupted(WordEncoder):
    """Raises ``error`` when it is given its second window of texts after `arm`."""

    def __init__(self):
        super().__init__()
        self._windows_left = None

    def arm(self, error):
        self.error, self._windows_left = error, 2

    def encode_documents(self, texts):
        if self._windows_left is not None:
            self._windows_left -= 1
            if not self._windows_left:
                self._windows_left = None
                raise self.error
        return super().encode_documents(texts)


def book(name, word, sentences=SENTENCES):
    """A source document of one node for each sentence, each with the word in it."""
    return Document(text=" ".join(f"The {word} number {n} flows north." for n in range(sentences)), id_=name)


@pytest.fixture
def encoder():
    return Interrupted()


@pytest.fixture
def library(tmp_path, encoder):
    """Two books of old nodes, and a node of no source."""
    index = Index.open(tmp_path / "library", encoder=encoder)
    library = LateInteractionIndex.from_documents(
        [book("rivers", "nile"), book("cities", "paris")], index=index, transformations=[SPLITTER]
    )
    library.insert_nodes([TextNode(text="alone", id_="alone")])
    yield library
    index.close()


def words(index, source):
    """How many nodes of a source have each word."""
    counts = {}
    for document in index.scan(where={"ref_doc_id": source}):
        word = document.text.split()[1]
        counts[word] = counts.get(word, 0) + 1
    return counts


NEW = [book("rivers", "elbe", SENTENCES - 10), book("cities", "berlin")]


async def by_from_documents(library):
    LateInteractionIndex.from_documents(NEW, index=library.index, transformations=[SPLITTER])


async def by_update(library):
    for document in NEW:
        library.update_ref_doc(document)


async def by_async_update(library):
    for document in NEW:
        await library.aupdate_ref_doc(document)


async def by_refresh(library):
    assert library.refresh_ref_docs(NEW) == [True, True]


async def by_async_refresh(library):
    assert await library.arefresh_ref_docs(NEW) == [True, True]


async def by_nodes_of_a_pipeline(library):
    nodes = IngestionPipeline(transformations=[SPLITTER]).run(documents=NEW)
    library.insert_nodes(nodes, replace_documents=True)


async def by_async_nodes_of_a_pipeline(library):
    nodes = await IngestionPipeline(transformations=[SPLITTER]).arun(documents=NEW)
    await library.ainsert_nodes(nodes, replace_documents=True)


WAYS = [
    by_from_documents,
    by_update,
    by_async_update,
    by_refresh,
    by_async_refresh,
    by_nodes_of_a_pipeline,
    by_async_nodes_of_a_pipeline,
]


@pytest.mark.parametrize("way", WAYS)
async def test_the_old_nodes_or_the_new_ones(library, encoder, way):
    before = sorted(document.id for document in library.index.scan())
    errors = [RuntimeError("the encoder"), MemoryError("the encoder")]
    if "async" not in way.__name__:  # in a thread of asyncio's, nobody presses Ctrl-C
        errors.append(KeyboardInterrupt())
    for error in errors:
        encoder.arm(error)
        with pytest.raises(type(error)) as caught:
            await way(library)
        assert caught.value is error
        assert sorted(document.id for document in library.index.scan()) == before
    await way(library)
    assert words(library.index, "rivers") == {"elbe": SENTENCES - 10}
    assert words(library.index, "cities") == {"berlin": SENTENCES}
    assert "alone" in library.index
    assert library.index.verify()
    assert {name: len(info.node_ids) for name, info in library.ref_doc_info.items()} == {
        "rivers": SENTENCES - 10,
        "cities": SENTENCES,
    }


class Breaks(TransformComponent):
    """Raises at the text of one document, as an extractor that asks a model may."""

    error: Any = None

    def __call__(self, nodes, **kwargs):
        if any("berlin" in node.text for node in nodes):
            raise self.error
        return nodes


@pytest.mark.parametrize("error", [RuntimeError("the model"), KeyboardInterrupt()], ids=["error", "Ctrl-C"])
@pytest.mark.parametrize("way", [by_from_documents, by_refresh])
async def test_documents_are_changed_together(library, encoder, monkeypatch, way, error):
    """If the second of two cannot be split, or encoded, the first is not replaced either."""
    before = sorted(document.id for document in library.index.scan())
    steps = [SPLITTER, Breaks(error=error)]
    again = LateInteractionIndex(index=library.index, transformations=steps)
    calls = {
        by_refresh: lambda: again.refresh_ref_docs(NEW),
        by_from_documents: lambda: again.from_documents(NEW, index=library.index, transformations=steps),
    }
    with pytest.raises(type(error)):
        calls[way]()
    assert sorted(document.id for document in library.index.scan()) == before

    def fails_at_the_second_book(texts, encode=encoder.encode_documents):
        if any("berlin" in text for text in texts):
            raise error
        return encode(texts)

    monkeypatch.setattr(encoder, "encode_documents", fails_at_the_second_book)
    with pytest.raises(type(error)):
        await way(library)
    assert sorted(document.id for document in library.index.scan()) == before


def test_an_index_that_was_opened_here_is_closed_again(tmp_path, encoder):
    """Or the next attempt would find it locked."""
    error = RuntimeError("the model")
    for _ in range(2):
        encoder.arm(error)
        with pytest.raises(RuntimeError) as caught:  # whose traceback, as in a notebook, keeps every frame alive
            LateInteractionIndex(many_nodes(), index=tmp_path / "new", encoder=encoder)
        assert caught.value is error


def many_nodes():
    return [TextNode(text=f"node {number}") for number in range(SENTENCES)]


def test_a_reader_sees_either(library, tmp_path, encoder):
    """In every state that it reads, the source has nodes, and all of one kind."""
    seen, failures, done = [], [], threading.Event()

    def read():
        try:
            with Index.open(tmp_path / "library", encoder=encoder, read_only=True) as reader:
                while not done.is_set():
                    seen.append(words(reader, "rivers"))
        except BaseException as error:  # noqa: BLE001  # told to the main thread
            failures.append(error)

    thread = threading.Thread(target=read)
    thread.start()
    try:
        for round_ in range(6):
            library.update_ref_doc(book("rivers", f"word{round_}", 20 + round_))
    finally:
        done.set()
        thread.join()
    assert failures == []
    possible = [{"nile": SENTENCES}, *({f"word{round_}": 20 + round_} for round_ in range(6))]
    assert seen
    assert [counts for counts in seen if counts not in possible] == []


class WithoutBlanks(TransformComponent):
    """Leaves out nodes without text, so that some documents have none."""

    def __call__(self, nodes, **kwargs):
        return [node for node in nodes if node.text.strip()]


def test_a_source_that_has_no_nodes_any_more(library):
    blank = [Document(text="", id_="rivers"), Document(text="", id_="cities")]
    again = LateInteractionIndex(index=library.index, transformations=[WithoutBlanks()])
    again.update_ref_doc(blank[0])
    assert words(library.index, "rivers") == {}
    assert words(library.index, "cities") == {"paris": SENTENCES}
    LateInteractionIndex.from_documents(blank, index=library.index, transformations=[WithoutBlanks()])
    assert words(library.index, "rivers") == words(library.index, "cities") == {}
    assert "alone" in library.index
    assert library.index.verify()


def test_nodes_without_the_hash_of_their_source_are_replaced_too(library):
    source = RelatedNodeInfo(node_id="letters")  # as somebody may write it by hand
    library.insert_nodes([TextNode(text="The old letter", relationships={NodeRelationship.SOURCE: source})])
    assert library.refresh_ref_docs([Document(text="The new letter", id_="letters")]) == [True]
    assert words(library.index, "letters") == {"new": 1}


def test_more_sources_than_a_filter_can_name(library, monkeypatch):
    monkeypatch.setattr(sources, "_MAX_SOURCES_OF_A_COMMIT", 3)
    for word in ("old", "new"):
        documents = [book(f"book {number}", word, 2) for number in range(10)]
        LateInteractionIndex.from_documents(documents, index=library.index, transformations=[SPLITTER])
    assert [words(library.index, f"book {number}") for number in range(10)] == [{"new": 2}] * 10
    assert len(library.index) == 2 * SENTENCES + 1 + 20


@pytest.mark.slow
def test_ten_thousand_sources(library):
    for word in ("old", "new"):
        documents = [Document(text=f"The {word} one.", id_=f"book {number}") for number in range(10_500)]
        LateInteractionIndex.from_documents(documents, index=library.index, transformations=[SPLITTER])
    assert library.index.count(where={"ref_doc_id": {"$exists": True}}) == 2 * SENTENCES + 10_500


def test_inserting_does_not_replace(library):
    """`insert` adds to what is there, as LlamaIndex's own indexes do."""
    library.insert(book("rivers", "elbe", 3))
    assert words(library.index, "rivers") == {"nile": SENTENCES, "elbe": 3}


async def test_nothing_named_deletes_nothing(library):
    count = len(library.index)
    for call in (
        lambda: library.delete_ref_doc(None),
        lambda: library.delete_ref_doc({"$exists": False}),
        lambda: library.delete_nodes(None),
    ):
        with pytest.raises(LateInteractionError):
            call()
    with pytest.raises(InvalidRequestError):
        await library.adelete_ref_doc(None)
    library.delete_nodes([])
    library.delete_ref_doc("")
    library.refresh_ref_docs([])
    library.insert_nodes([], replace_documents=True)
    LateInteractionIndex.from_documents([], index=library.index)
    assert len(library.index) == count
