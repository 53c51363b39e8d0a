"""Source documents, held to LlamaIndex's own index: after the same calls both hold the same nodes."""

from __future__ import annotations

import random

import pytest
from llama_index.core import Document, MockEmbedding, StorageContext, VectorStoreIndex
from llama_index.core.node_parser import SentenceSplitter
from llama_index.core.schema import TextNode

from late_interaction.llama_index import LateInteractionIndex

SENTENCES = ["The nile flows north. ", "Paris lies on the seine. ", "The elbe flows west. ", "Berlin is large. "]


def splitter():
    """Into nodes of known ids, which both indexes then share."""
    return SentenceSplitter(
        chunk_size=24, chunk_overlap=0, id_func=lambda number, document: f"{document.node_id}/{number}"
    )


class Both:
    """Our index and LlamaIndex's own, which are told the same."""

    def __init__(self, index):
        self.ours = LateInteractionIndex(index=index, transformations=[splitter()])
        self.theirs = VectorStoreIndex(
            [], embed_model=MockEmbedding(embed_dim=2), transformations=[splitter()], store_nodes_override=True
        )

    def call(self, method, *given, **settings):
        """What our index returns, which is what theirs returns."""
        returned, expected = [getattr(index, method)(*given, **settings) for index in (self.ours, self.theirs)]
        assert returned == expected
        return returned

    async def acall(self, method, *given, **settings):
        """The same without blocking the loop; theirs is called as above, because its async deletions are broken."""
        returned = await getattr(self.ours, "a" + method)(*given, **settings)
        assert returned == getattr(self.theirs, method)(*given, **settings)
        return returned

    def assert_alike(self):
        found = self.ours.as_retriever(similarity_top_k=1000).retrieve("nile")
        assert {node.node.node_id: node.node for node in found} == self.theirs.docstore.docs
        theirs = {name: sorted(info.node_ids) for name, info in self.theirs.ref_doc_info.items()}
        assert {name: sorted(info.node_ids) for name, info in self.ours.ref_doc_info.items()} == theirs


@pytest.fixture
def both(index):
    return Both(index)


def book(name, *sentences, **metadata):
    return Document(text="".join(sentences or SENTENCES), id_=name, metadata=metadata)


def drawn(draw):
    """A source document of one of five ids."""
    sentences = draw.choices(SENTENCES, k=draw.randint(1, 12))
    return book(f"book {draw.randrange(5)}", *sentences, shelf=draw.choice(["land", "water"]))


def calls(both, seed, length=25):
    """A random way to use an index. What is deleted is there: LlamaIndex's own index fails at other nodes."""
    draw = random.Random(seed)
    held = {}
    for _ in range(length):
        what = draw.choice(["insert", "update", "refresh", "delete", "delete nodes"])
        document = drawn(draw)
        if what == "insert" and document.id_ not in held:
            held[document.id_] = document
            yield "insert", (document,), {}
        elif what == "update":
            held[document.id_] = document
            yield "update_ref_doc", (document,), {}
        elif what == "refresh":
            others = {one.id_: one for one in [*draw.sample(list(held.values()), len(held) // 2), document]}
            held.update(others)
            yield "refresh_ref_docs", (list(others.values()),), {}
        elif what == "delete" and held:
            name = draw.choice(sorted(held))
            del held[name]
            yield "delete_ref_doc", (name,), {"delete_from_docstore": True}
        elif what == "delete nodes" and (nodes := sorted(both.theirs.docstore.docs)):
            chosen = draw.sample(nodes, min(len(nodes), 2))
            yield "delete_nodes", (chosen,), {"delete_from_docstore": True}


@pytest.mark.parametrize("seed", range(4))
def test_any_way_to_use_an_index(both, seed):
    for method, given, settings in calls(both, seed):
        both.call(method, *given, **settings)
        both.assert_alike()
    assert both.ours.index.verify()


@pytest.mark.parametrize("seed", range(4, 7))
async def test_any_way_to_use_an_index_async(both, seed):
    for method, given, settings in calls(both, seed):
        await both.acall(method, *given, **settings)
        both.assert_alike()


def test_from_documents(index):
    books = [book("one"), book("two", SENTENCES[0], shelf="water")]
    ours = LateInteractionIndex.from_documents(books, index=index, transformations=[splitter()])
    theirs = VectorStoreIndex.from_documents(
        books,
        embed_model=MockEmbedding(embed_dim=2),
        transformations=[splitter()],
        storage_context=StorageContext.from_defaults(),
        store_nodes_override=True,
    )
    found = ours.as_retriever(similarity_top_k=100).retrieve("nile")
    assert {node.node.node_id: node.node for node in found} == theirs.docstore.docs


class TestChanges:
    def test_a_document_that_is_shorter_now_leaves_no_node_behind(self, both):
        both.call("insert", book("one", *SENTENCES * 3))
        assert len(both.ours.index) > 1
        both.call("update_ref_doc", book("one", SENTENCES[0]))
        both.assert_alike()
        assert [document.id for document in both.ours.index.scan()] == ["one/0"]

    def test_metadata_alone_is_a_change(self, both):
        both.call("insert", book("one", shelf="water"))
        assert both.call("refresh_ref_docs", [book("one", shelf="water")]) == [False]
        assert both.call("refresh_ref_docs", [book("one", shelf="land")]) == [True]
        both.assert_alike()
        assert both.ours.index.count(where={"shelf": "water"}) == 0

    def test_a_document_twice_in_one_refresh(self, both):
        assert both.call("refresh_ref_docs", [book("one"), book("one"), book("one", SENTENCES[0])]) == [
            True,
            False,
            True,
        ]
        both.assert_alike()

    def test_a_document_without_text(self, both):
        assert both.call("refresh_ref_docs", [Document(text="", id_="blank")]) == [True]
        assert both.ours.refresh_ref_docs([Document(text="", id_="blank")]) == [False]
        both.call("update_ref_doc", Document(text="no more blank", id_="blank"))
        both.assert_alike()

    async def test_nothing(self, both):
        """Empty lists and unknown ids are no error, and change nothing."""
        both.call("insert", book("one"))
        for method, given in (
            ("insert_nodes", []),
            ("delete_nodes", []),
            ("delete_nodes", ["nowhere"]),
            ("delete_ref_doc", "nowhere"),
            ("refresh_ref_docs", []),
        ):
            both.call(method, given)
            await both.acall(method, given)
        both.assert_alike()

    @pytest.mark.parametrize("name", ["a/b c", "größe", "$where", "O'Brien", "%", "None", "尼罗河"])
    def test_ids_of_sources(self, both, name):
        both.call("insert", book(name))
        both.call("insert", book("other"))
        both.assert_alike()
        both.call("delete_ref_doc", name, delete_from_docstore=True)
        both.assert_alike()
        assert set(both.ours.ref_doc_info) == {"other"}

    def test_the_same_calls_by_another_object_and_after_opening_again(self, tmp_path, word_encoder):
        """What is held is read from the index, whoever has written it."""
        path = tmp_path / "again"
        first = LateInteractionIndex.from_documents(
            [book("one"), book("two", SENTENCES[0])], index=path, encoder=word_encoder, transformations=[splitter()]
        )
        info = first.ref_doc_info
        first.index.close()
        second = LateInteractionIndex(index=path, encoder=word_encoder, transformations=[splitter()])
        assert second.ref_doc_info == info
        encoded = word_encoder.documents_encoded
        assert second.refresh_ref_docs([book("one"), book("two", SENTENCES[1])]) == [False, True]
        assert word_encoder.documents_encoded == encoded + 1
        second.delete_ref_doc("one")
        second.delete_nodes(["two/0"], delete_from_docstore=True)
        assert second.ref_doc_info == {}
        second.index.close()

    async def test_nodes_of_no_source(self, both):
        node = TextNode(text="alone", id_="alone")
        both.ours.insert_nodes([node])
        await both.ours.ainsert_nodes([TextNode(text="also alone", id_="also")])
        assert both.ours.ref_doc_info == {}
        both.call("insert", book("one"))
        both.ours.delete_ref_doc("one")
        assert {document.id for document in both.ours.index.scan()} == {"alone", "also"}
