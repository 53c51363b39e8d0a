"""An index, and the objects of both frameworks over one, are pickled as its path; copies share its engine."""

from __future__ import annotations

import copy
import multiprocessing
import pickle
import subprocess
import sys

import pytest
from langchain_core.documents import Document as LangChainDocument
from llama_index.core.schema import NodeWithScore, TextNode

from late_interaction import Document, Index, langchain, llama_index
from late_interaction.encoders import ReducedEncoder, TextEncoder
from late_interaction.engines import LocalEngine
from late_interaction.errors import IndexLockedError, IndexNotFoundError, ReadOnlyIndexError
from tests.conformance.weak_engines import Collection, WeakEngine
from tests.engines.helpers import CHILD_ENVIRONMENT
from tests.fakes import PlainEncoder, WordEncoder


@pytest.fixture
def index(tmp_path):
    with Index.open(tmp_path / "index", encoder=PlainEncoder()) as index:
        index.add([Document("one", id="1"), Document("two", id="2")])
        yield index


def nodes():
    return [NodeWithScore(node=TextNode(text=text, id_=name)) for name, text in (("1", "one"), ("2", "two"))]


def documents():
    return [LangChainDocument("one", id="1"), LangChainDocument("two", id="2")]


THINGS = {
    "index": (lambda index: index, lambda index: index.search("two", k=1)[0].id),
    "LangChain store": (
        lambda index: langchain.LateInteractionVectorStore(index=index),
        lambda store: store.similarity_search("two", k=1)[0].id,
    ),
    "LangChain store as a retriever": (
        lambda index: langchain.LateInteractionVectorStore(index=index).as_retriever(search_kwargs={"k": 1}),
        lambda retriever: retriever.invoke("two")[0].id,
    ),
    "LangChain retriever": (
        lambda index: langchain.LateInteractionRetriever(index=index, k=1),
        lambda retriever: retriever.invoke("two")[0].id,
    ),
    "LangChain reranker": (
        lambda index: langchain.LateInteractionReranker(index=index, top_n=1),
        lambda reranker: reranker.compress_documents(documents(), "two")[0].id,
    ),
    "LangChain reranker of an encoder": (
        lambda index: langchain.LateInteractionReranker(encoder=index.encoder, top_n=1),
        lambda reranker: reranker.compress_documents(documents(), "two")[0].id,
    ),
    "LlamaIndex index": (
        lambda index: llama_index.LateInteractionIndex(index=index),
        lambda index: index.as_retriever(similarity_top_k=1).retrieve("two")[0].node.node_id,
    ),
    "LlamaIndex retriever": (
        lambda index: llama_index.LateInteractionRetriever(index=index, similarity_top_k=1),
        lambda retriever: retriever.retrieve("two")[0].node.node_id,
    ),
    "LlamaIndex reranker": (
        lambda index: llama_index.LateInteractionRerank(index=index, top_n=1),
        lambda reranker: reranker.postprocess_nodes(nodes(), query_str="two")[0].node.node_id,
    ),
    "LlamaIndex reranker of an encoder": (
        lambda index: llama_index.LateInteractionRerank(encoder=index.encoder, top_n=1),
        lambda reranker: reranker.postprocess_nodes(nodes(), query_str="two")[0].node.node_id,
    ),
}
COPIES = [lambda thing: pickle.loads(pickle.dumps(thing)), copy.deepcopy, copy.copy]


def index_of(thing):
    return thing if isinstance(thing, Index) else getattr(thing, "index", None)


@pytest.mark.parametrize("name", THINGS)
def test_a_copy_finds_the_same_after_the_first_is_closed(name, index):
    make, ask = THINGS[name]
    thing = make(index)
    pickled, deep, shallow = [copied(thing) for copied in COPIES]
    for each in (thing, shallow, pickled, deep):
        assert ask(each) == "2"
    index.close()
    for each in (pickled, deep):
        assert ask(each) == "2"
    found = index_of(pickled)
    if found is not None:
        assert found.engine.read_only
        with pytest.raises(ReadOnlyIndexError):
            found.add(["three"])
        assert not index_of(deep).engine.read_only
        index_of(deep).add([Document("three", id="3")])
        assert "3" in found


def test_a_copy_of_a_reader_reads(index):
    with Index.open(index.path, encoder=index.encoder, read_only=True) as reader:
        for copied in COPIES:
            assert copied(reader).engine.read_only
            assert copied(reader).path == index.path


def test_what_an_index_remembers_is_read_where_it_arrives(tmp_path, minilm, monkeypatch):
    """Also settings of the encoder, and where the working directory is another one."""
    monkeypatch.chdir(tmp_path)
    with Index.open("index", encoder="minilm", pooling=2, dim=64) as index:
        index.add(["Paris is the capital of France.", "The Nile is a river."])
        pickled = pickle.dumps(index)
    assert len(pickled) < 1000  # no model
    (tmp_path / "elsewhere").mkdir()
    monkeypatch.chdir(tmp_path / "elsewhere")
    arrived = pickle.loads(pickled)
    assert arrived.search("streams of Africa", k=1)[0].text == "The Nile is a river."
    assert arrived.encoder.reduction == {"pooling": 2, "dim": 64}
    with Index.open(arrived.path) as remembering:
        assert pickle.loads(pickle.dumps(remembering)).encoder.encoder is arrived.encoder.encoder


def test_encoders(minilm):
    assert pickle.loads(pickle.dumps(minilm)).source == "minilm"
    assert copy.deepcopy(minilm) is copy.copy(minilm) is minilm
    reduced = ReducedEncoder(minilm, dim=64)
    assert copy.deepcopy(reduced).encoder is minilm
    assert copy.deepcopy(reduced).dim == copy.copy(reduced).dim == pickle.loads(pickle.dumps(reduced)).dim == 64
    for settings in ({}, {"revision": "main"}):
        with pytest.raises(TypeError, match="TextEncoder cannot be pickled: it was made from a model object"):
            pickle.dumps(TextEncoder(minilm._model, **settings))


def test_what_cannot_be_pickled_says_why(index):
    over_a_server = Index(engine=WeakEngine(Collection(dim=16)), encoder=PlainEncoder())
    with_a_mutex = WordEncoder()
    for make in (THINGS["index"][0], THINGS["LangChain reranker"][0], THINGS["LlamaIndex reranker"][0]):
        thing = make(over_a_server)
        for copied in (pickle.dumps, copy.deepcopy):
            with pytest.raises(TypeError, match="WeakEngine cannot be pickled or copied, since it is not in"):
                copied(thing)
        assert index_of(thing) is over_a_server
    for kind in (langchain.LateInteractionReranker, llama_index.LateInteractionRerank):
        reranker = kind(encoder=with_a_mutex)
        with pytest.raises(TypeError, match=r"cannot pickle '_thread\.lock' object"):
            pickle.dumps(reranker)
        assert reranker.encoder is with_a_mutex  # pickling has not changed it
        assert copy.deepcopy(reranker).encoder is with_a_mutex
    with (
        Index.open(index.path.with_name("mutex"), encoder=with_a_mutex) as holding,
        pytest.raises(TypeError, match=r"The encoder of the index, WordEncoder, cannot be pickled: .*lock"),
    ):
        pickle.dumps(holding)
    pickled = pickle.dumps(index)
    index.path.rename(index.path.with_name("moved"))
    with pytest.raises(IndexNotFoundError, match="There is no index at"):
        pickle.loads(pickled)


def test_an_index_over_an_engine_of_the_caller(tmp_path):
    with LocalEngine.open(tmp_path / "index", dim=16) as engine:
        index = Index(engine=engine, encoder=PlainEncoder())
        index.add([Document("one", id="1")])
        assert pickle.loads(pickle.dumps(index)).count() == 1
        with pytest.raises(IndexLockedError, match="in this process already"):
            copy.deepcopy(index)


def test_another_process(index):
    """As multiprocessing's ``spawn``, joblib, Ray, Spark and Dask do it."""
    program = (
        "import pickle, sys\n"
        "index = pickle.load(sys.stdin.buffer)\n"
        "print(index.search('two', mode='lexical')[0].id, index.engine.read_only, index.encoder.name)"
    )
    done = subprocess.run(
        [sys.executable, "-c", program],
        input=pickle.dumps(index), env=CHILD_ENVIRONMENT, capture_output=True, timeout=120, check=False,
    )  # fmt: skip
    assert done.stdout.split() == [b"2", b"True", b"words"], done.stderr.decode()


def _ask(index, answers):
    answers.put([hit.id for hit in index.search("two", k=1)])


@pytest.mark.slow
def test_multiprocessing_spawn(index):
    context = multiprocessing.get_context("spawn")
    answers = context.Queue()
    process = context.Process(target=_ask, args=(index, answers))
    process.start()
    assert answers.get(timeout=120) == ["2"]
    process.join()
