"""`persist` and `load`, what LlamaIndex's own pair does instead, and details of writing that its own index has."""

from __future__ import annotations

import threading

import pytest
from llama_index.core import Document, MockEmbedding, StorageContext, VectorStoreIndex, load_index_from_storage
from llama_index.core.schema import IndexNode, MetadataMode, NodeWithScore, TextNode

from late_interaction import Index
from late_interaction.errors import IndexNotFoundError, InvalidRequestError, ReadOnlyIndexError, StorageError
from late_interaction.llama_index import LateInteractionIndex, LateInteractionRerank
from late_interaction.llama_index.loading import LateInteractionStruct


@pytest.fixture
def llama(index):
    return LateInteractionIndex([TextNode(text="old words", id_="n", metadata={"a": 1})], index=index)


class TestPersist:
    def test_a_copy_is_loaded_with_everything_in_it(self, filled, facts, tmp_path, word_encoder):
        filled.delete_nodes(["berlin"])
        filled.persist(tmp_path / "copy")
        filled.delete_nodes(["nile"])  # of which the copy knows nothing
        loaded = LateInteractionIndex.load(tmp_path / "copy", encoder=word_encoder)
        try:
            assert [hit.node for hit in loaded.as_retriever().retrieve("nile africa")][:1] == facts[:1]
            assert loaded.index.verify().problems == ()
            assert len(loaded.index) == 3
            loaded.insert_nodes([TextNode(text="more", id_="more")])
            assert len(filled.index) == 2
        finally:
            loaded.index.close()

    def test_while_others_write(self, index, tmp_path, word_encoder):
        """A copy is one state: all of a write or nothing of it."""
        llama = LateInteractionIndex(index=index)
        stop = threading.Event()

        def write():
            number = 0
            while not stop.is_set():
                llama.insert_nodes([TextNode(text=f"{number} {n}", id_=f"{number}-{n}") for n in range(5)])
                number += 1

        writer = threading.Thread(target=write)
        writer.start()
        try:
            for number in range(5):
                llama.persist(tmp_path / f"copy{number}")
        finally:
            stop.set()
            writer.join()
        for number in range(5):
            with Index.open(tmp_path / f"copy{number}", encoder=word_encoder, read_only=True) as copy:
                assert len(copy) % 5 == 0
                assert copy.verify().problems == ()

    def test_a_directory_that_is_in_use(self, llama, tmp_path):
        (tmp_path / "used").mkdir()
        (tmp_path / "used" / "notes.txt").write_text("mine")
        for used in (tmp_path / "used", tmp_path / "used" / "notes.txt"):
            with pytest.raises(InvalidRequestError, match="not an empty directory"):
                llama.persist(used)
        with pytest.raises(InvalidRequestError, match="inside the index"):
            llama.persist(llama.index.engine.path / "segments" / "copy")
        assert (tmp_path / "used" / "notes.txt").read_text() == "mine"

    def test_where_nothing_can_be_written(self, llama, tmp_path):
        (tmp_path / "file").write_text("in the way")
        with pytest.raises(StorageError):
            llama.persist(tmp_path / "file" / "copy")

    def test_a_reader_cannot_copy(self, llama, tmp_path, word_encoder):
        with (
            Index.open(llama.index.engine.path, encoder=word_encoder, read_only=True) as reader,
            pytest.raises(ReadOnlyIndexError),
        ):
            LateInteractionIndex(index=reader).persist(tmp_path / "copy")
        assert not (tmp_path / "copy").exists()

    def test_nothing_to_load(self, tmp_path):
        with pytest.raises(IndexNotFoundError):
            LateInteractionIndex.load(tmp_path / "nowhere")

    def test_twice_into_the_same_place(self, llama, tmp_path, word_encoder):
        llama.persist(tmp_path / "copy")
        llama.insert_nodes([TextNode(text="new words", id_="new")])
        llama.persist(tmp_path / "copy")
        llama.persist(llama.index.path)  # where it is already
        llama.index.close()
        loaded = LateInteractionIndex.load(tmp_path / "copy", encoder=word_encoder)
        assert {document.id for document in loaded.index.scan()} == {"n", "new"}
        loaded.persist(tmp_path / "copy")
        loaded.index.close()

    def test_loading_creates_no_index(self, tmp_path, word_encoder):
        with pytest.raises(IndexNotFoundError):
            LateInteractionIndex.load(tmp_path / "nowhere", encoder=word_encoder)
        assert not (tmp_path / "nowhere").exists()


class TestStorageContext:
    """`load_index_from_storage` gives the index itself, or says what it needs."""

    @pytest.fixture
    def saved(self, llama, tmp_path):
        def saved():
            for _ in range(2):  # into the same place
                llama.storage_context.persist(str(tmp_path / "saved"))
            llama.index.close()
            return StorageContext.from_defaults(persist_dir=str(tmp_path / "saved"))

        return saved

    @pytest.mark.parametrize("name", [None, "mine"])
    def test_the_index_is_loaded(self, llama, saved, word_encoder, name):
        if name is not None:
            llama.set_index_id(name)
        loaded = load_index_from_storage(saved(), index_id=name, encoder=word_encoder)
        assert isinstance(loaded, LateInteractionIndex)
        assert loaded.index_id == llama.index_id
        assert [found.node.node_id for found in loaded.as_retriever().retrieve("old words")] == ["n"]
        loaded.insert_nodes([TextNode(text="new words", id_="new")])
        assert len(loaded.index) == 2
        loaded.index.close()

    def test_one_that_has_moved(self, llama, saved, word_encoder, tmp_path):
        context = saved()
        (tmp_path / "index").rename(tmp_path / "moved")
        for settings in ({}, {"encoder": word_encoder}):
            with pytest.raises(IndexNotFoundError, match=r"index, the path that the storage context names.*index=PATH"):
                load_index_from_storage(context, **settings)
        assert not (tmp_path / "index").exists()
        loaded = load_index_from_storage(context, index=tmp_path / "moved", encoder=word_encoder)
        assert len(loaded.index) == 1
        loaded.index.close()

    def test_an_argument_that_nobody_knows(self, saved):
        with pytest.raises(InvalidRequestError, match=r"'foo'.*Allowed: .*encoder, index, .*read_only"):
            load_index_from_storage(saved(), foo=1)

    def test_one_that_was_in_no_directory(self):
        with pytest.raises(InvalidRequestError, match="index="):
            LateInteractionIndex(index_struct=LateInteractionStruct())
        with pytest.raises(InvalidRequestError, match="index="):
            LateInteractionIndex()

    def test_beside_an_index_of_llama_index(self, llama, tmp_path, word_encoder):
        context = llama.storage_context
        theirs = VectorStoreIndex([], storage_context=context, embed_model=MockEmbedding(embed_dim=2))
        theirs.set_index_id("theirs")
        llama.set_index_id("ours")
        context.persist(str(tmp_path / "saved"))
        llama.index.close()
        saved = StorageContext.from_defaults(persist_dir=str(tmp_path / "saved"))
        again = load_index_from_storage(saved, index_id="theirs", embed_model=MockEmbedding(embed_dim=2))
        assert type(again) is VectorStoreIndex
        ours = load_index_from_storage(saved, index_id="ours", encoder=word_encoder)
        assert len(ours.index) == 1
        ours.index.close()


def test_nodes_may_be_any_sequence(index):
    LateInteractionIndex((TextNode(text="one"), TextNode(text="two")), index=index)
    assert len(index) == 2


def test_ref_doc_info_has_the_metadata(index):
    books = [Document(text="one two", id_="d", metadata={"shelf": "water"})]
    theirs = VectorStoreIndex.from_documents(books, embed_model=MockEmbedding(embed_dim=2)).ref_doc_info
    ours = LateInteractionIndex.from_documents(books, index=index).ref_doc_info
    assert {name: info.metadata for name, info in ours.items()} == {name: one.metadata for name, one in theirs.items()}


def test_the_first_score_is_shown_to_no_model(llama, index, word_encoder):
    [found] = LateInteractionRerank(index=index, keep_retrieval_score=True).postprocess_nodes(
        llama.as_retriever().retrieve("old"), query_str="old"
    )
    for mode in (MetadataMode.LLM, MetadataMode.EMBED):
        assert "retrieval_score" not in found.node.get_content(mode)
    encoded = word_encoder.documents_encoded
    LateInteractionRerank(index=index).postprocess_nodes([found], query_str="old")
    assert word_encoder.documents_encoded == encoded


def test_a_node_that_leads_elsewhere_can_be_reranked_and_stored(llama, index):
    node = IndexNode(text="zebra", id_="z", index_id="q", obj=llama.as_retriever())
    rerank = LateInteractionRerank(index=index, store=True)
    assert rerank.postprocess_nodes([NodeWithScore(node=node)], query_str="zebra")[0].node is node
    assert "z" in index
