"""Texts longer than the encoder reads: warned about once per call, counted, and refused on request."""

from __future__ import annotations

import warnings

import pytest

from late_interaction import Document, Index
from late_interaction.errors import InvalidDocumentError, InvalidRequestError, TruncationWarning
from late_interaction.retrieval.reranking import rerank
from tests.fakes import ShortEncoder, WordEncoder

LONG = "one two three four five six seven"
LONG_QUERY = "one two three four five"


@pytest.fixture
def encoder():
    return ShortEncoder(query_length=4, document_length=6)


@pytest.fixture
def index(tmp_path, encoder):
    with Index.open(tmp_path / "index", encoder=encoder) as index:
        yield index


def documents(count, long=()):
    return [Document(LONG if number in long else "short text", id=f"d{number}") for number in range(count)]


class TestWarnings:
    def test_add_warns_once_with_the_count_and_the_first_id(self, index):
        long = {3, 150, 299}  # of several windows
        with pytest.warns(TruncationWarning, match=r"3 documents are longer .*6 tokens.*'d3'") as caught:
            index.add(iter(documents(300, long)))
        assert len(caught) == 1
        assert (caught[0].message.count, caught[0].message.first) == (3, "d3")
        assert caught[0].filename == __file__
        assert index.info()["truncated_documents"] == 3
        index.delete(["d3"])
        assert index.info()["truncated_documents"] == 2

    def test_nothing_is_said_of_short_texts(self, index):
        with warnings.catch_warnings():
            warnings.simplefilter("error")
            index.add([*documents(5), f"  {LONG[:-6]}  \n"])  # white space is no loss
            index.search("one two three four")
            index.rerank("one", documents=["short"])
        assert index.info()["truncated_documents"] == 0

    @pytest.mark.parametrize("mode", ["late", "hybrid"])
    def test_a_query(self, index, mode):
        index.add(documents(3))
        for _ in range(2):  # also when its vectors are kept
            with pytest.warns(
                TruncationWarning, match=r"1 query is longer .*4 tokens.*one two three four five"
            ) as caught:
                index.search(LONG_QUERY, mode=mode)
            assert len(caught) == 1
            assert caught[0].filename == __file__
        with pytest.warns(TruncationWarning, match="2 queries are") as caught:
            index.search_many(["short", LONG_QUERY, f"{LONG_QUERY} six"], mode=mode)
        assert len(caught) == 1

    def test_lexical_search_reads_the_whole_query(self, index):
        index.add(documents(3))
        with warnings.catch_warnings():
            warnings.simplefilter("error")
            index.search(LONG_QUERY, mode="lexical", truncate=False)

    def test_reranking(self, index, encoder):
        index.add(documents(3))
        candidates = ["short", Document(LONG, id="a"), Document(LONG, id="b")]
        with pytest.warns(TruncationWarning, match=r"1 query is .* 2 documents are .*'a'") as caught:
            index.rerank(LONG_QUERY, documents=candidates)
        assert len(caught) == 1
        with pytest.warns(TruncationWarning, match="1 query is") as caught:
            index.rerank(LONG_QUERY, ids=["d1"])
        assert len(caught) == 1
        with pytest.warns(TruncationWarning, match="2 documents are") as caught:
            rerank("one", [Document(LONG, id="a"), Document(LONG, id="b")], encoder=encoder)
        assert len(caught) == 1
        with pytest.warns(TruncationWarning, match="1 document is") as caught:
            index.rerank("one", documents=candidates[:2], store=True)
        assert len(caught) == 1
        assert index.info()["truncated_documents"] == 1

    def test_what_is_encoded_counts(self, index):
        with pytest.warns(TruncationWarning, match="'b'"):
            index.add([Document(LONG, id="a", encoded_text="short"), Document("short", id="b", encoded_text=LONG)])


class TestRefusing:
    @pytest.mark.parametrize("kind", [list, iter])
    def test_add_names_the_documents_and_stores_nothing(self, index, encoder, kind):
        with pytest.raises(InvalidDocumentError, match=r"2 documents are longer .*'d1', 'd3'.*document_length"):
            index.add(kind(documents(5, {1, 3})), truncate=False)
        assert len(index) == 0
        assert encoder.documents_encoded == 0
        assert index.add(documents(5), truncate=False) == [f"d{n}" for n in range(5)]

    def test_a_list_is_checked_whole_before_anything_is_encoded(self, index, encoder):
        with pytest.raises(InvalidDocumentError, match=r"8 documents are .*'d290', .* and 3 more"):
            index.add(documents(300, set(range(290, 298))), truncate=False)
        assert encoder.documents_encoded == 0

    def test_a_later_window_of_an_iterable(self, index):
        with pytest.raises(InvalidDocumentError, match="'d290'"):
            index.add(iter(documents(300, {290})), truncate=False)
        assert len(index) == 0

    def test_queries(self, index, encoder):
        index.add(documents(3))
        encoded = encoder.queries_encoded
        for call in (
            lambda: index.search(LONG_QUERY, truncate=False),
            lambda: index.search_many(["short", LONG_QUERY], truncate=False),
            lambda: index.rerank(LONG_QUERY, ids=["d1"], truncate=False),
        ):
            with pytest.raises(InvalidRequestError, match=r"1 query is longer .*query_length"):
                call()
        assert encoder.queries_encoded == encoded
        for store in (False, True):
            with pytest.raises(InvalidDocumentError, match="'a'"):
                index.rerank("one", documents=["short", Document(LONG, id="a")], store=store, truncate=False)
        assert len(index) == 3

    def test_a_warning_that_is_an_error_stores_nothing(self, index):
        with warnings.catch_warnings():
            warnings.simplefilter("error", TruncationWarning)
            with pytest.raises(TruncationWarning):
                index.add(documents(5, {2}))
        assert len(index) == 0

    def test_an_encoder_that_cannot_tell(self, tmp_path):
        with Index.open(tmp_path / "other", encoder=WordEncoder()) as index:
            for call in (
                lambda: index.add([LONG], truncate=False),
                lambda: index.search(LONG, truncate=False),
                lambda: index.rerank(LONG, documents=["a"], truncate=False),
            ):
                with pytest.raises(InvalidRequestError, match="WordEncoder has no method `truncated`"):
                    call()
            assert len(index) == 0
            index.add([LONG])
            assert index.info()["truncated_documents"] == 0


def test_a_reduced_encoder_passes_it_on(tmp_path):
    with Index.open(tmp_path / "index", encoder=ShortEncoder(dim=16), pooling=2, dim=8) as index:
        with pytest.warns(TruncationWarning, match="6 tokens"):
            index.add([LONG])
        with pytest.raises(InvalidRequestError, match="longer"):
            index.search(LONG, truncate=False)


def test_an_update_of_files_warns_once(tmp_path, index):
    from late_interaction.ingestion import update
    from late_interaction.readers import read_paths

    folder = tmp_path / "files"
    folder.mkdir()
    for number in range(3):
        (folder / f"{number}.txt").write_text(LONG)
    with pytest.warns(TruncationWarning, match=r"3 documents are .*txt#0") as caught:
        update(index, read_paths([folder]), roots=[folder])
    assert len(caught) == 1
    assert index.info()["truncated_documents"] == 3
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        update(index, read_paths([folder]), roots=[folder])  # nothing is encoded


def test_the_count_stays_when_nothing_is_encoded(index, encoder):
    with pytest.warns(TruncationWarning):
        index.add([Document(LONG, id="a"), Document("short", id="b")])
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        index.add([Document(LONG, id="a", metadata={"n": 1}), Document("short", id="b", metadata={"n": 1})])
        index.update(["a", "b"], metadata={"n": 2})
        index.compact()
    assert encoder.documents_encoded == 2
    assert index.info()["truncated_documents"] == 1
    index.add([Document("short now", id="a")])
    assert index.info()["truncated_documents"] == 0


def test_the_frameworks_warn_once(index):
    from langchain_core.documents import Document as LangChainDocument
    from llama_index.core.schema import TextNode

    from late_interaction.langchain import LateInteractionReranker, LateInteractionRetriever, LateInteractionVectorStore
    from late_interaction.llama_index import LateInteractionIndex

    store, llama = LateInteractionVectorStore(index=index), LateInteractionIndex(index=index)
    rows = [LangChainDocument(LONG, id="chain"), LangChainDocument(f"{LONG} eight", id="other")]
    calls = {
        "'chain'": lambda: store.add_documents(rows),
        "'node'": lambda: llama.insert_nodes([TextNode(text=LONG, id_="node")]),
        "1 query": lambda: store.similarity_search(LONG_QUERY),
        "1 query is": lambda: LateInteractionRetriever(index=index, explain=True).invoke(LONG_QUERY),
        "query is longer": lambda: llama.as_retriever().retrieve(LONG_QUERY),
        "2 documents": lambda: LateInteractionReranker(encoder=ShortEncoder()).compress_documents(rows, "one"),
    }
    for message, call in calls.items():
        with pytest.warns(TruncationWarning, match=message) as caught:
            call()
        assert len(caught) == 1, message
    assert index.info()["truncated_documents"] == 3
