"""sentence-transformers' models as they are: the object as encoder, and its vectors under ids, without an encoder."""

from __future__ import annotations

import gc
import re
import subprocess
import sys
import weakref
from pathlib import Path

import numpy as np
import pytest

from late_interaction import Document, Index
from late_interaction.encoders import TextEncoder, TextImageEncoder
from late_interaction.errors import InvalidRequestError
from late_interaction.index_encoder import as_encoder
from late_interaction.langchain import LateInteractionReranker, LateInteractionVectorStore
from late_interaction.llama_index import LateInteractionRerank
from tests.engines.helpers import CHILD_ENVIRONMENT

PASSAGES = {
    "fox": "the quick brown fox jumps over the lazy dog",
    "rain": "the rain in spain stays mainly in the plain",
    "late": "late interaction compares every word of the question with every word of the answer",
}


@pytest.fixture
def model(pylate_checkpoint):
    from sentence_transformers import MultiVectorEncoder

    return MultiVectorEncoder(str(pylate_checkpoint), device="cpu")


def test_retrieval_at_scale(model, tmp_path):
    """The section of their documentation: vectors of `encode_document` under ids, found by those of `encode_query`."""
    index = Index.open(tmp_path / "my-index", dim=model.get_embedding_dimension())
    index.add(
        [Document(text, id=name) for name, text in PASSAGES.items()],
        vectors=model.encode_document(list(PASSAGES.values())),
    )
    found = index.search_many(model.encode_query(["rain in spain", "lazy dog"]), k=2)
    hits = [[(hit.id, hit.score) for hit in hits] for hits in found]
    index.close()

    arrays = model.encode_document(list(PASSAGES.values()), convert_to_numpy=True)
    for query, found_now in zip(model.encode_query(["rain in spain", "lazy dog"]), hits, strict=True):
        scores = {
            name: float((np.asarray(query, np.float64) @ np.asarray(array, np.float64).T).max(axis=1).sum())
            for name, array in zip(PASSAGES, arrays, strict=True)
        }
        best = sorted(scores, key=scores.get, reverse=True)[:2]
        assert [name for name, _ in found_now] == best
        assert [score for _, score in found_now] == pytest.approx([scores[name] for name in best], abs=0.02)


def test_what_encode_returns_in_each_form(model, tmp_path):
    texts = list(PASSAGES.values())
    with Index.open(tmp_path / "index", dim=model.get_embedding_dimension()) as index:
        for number, options in enumerate([{"convert_to_numpy": True}, {"convert_to_numpy": False}, {}]):
            encoded = model.encode_document(texts, **options)
            index.add([Document("", id=f"{number} {name}") for name in PASSAGES], vectors=encoded)
        (query,) = model.encode_query(["rain"])
        scores = {hit.id: hit.score for hit in index.search(query, 9)}
    for name in PASSAGES:
        assert scores[f"0 {name}"] == pytest.approx(scores[f"1 {name}"]) == pytest.approx(scores[f"2 {name}"])


@pytest.mark.parametrize(("precision", "allowed"), [("float16", 0.05), ("bfloat16", 0.3), ("float64", 0.02)])
def test_tensors_of_other_precisions(model, precision, allowed, tmp_path):
    """What a model that is loaded in half precision returns. A hit has the score that `similarity` computes."""
    import torch

    dtype = getattr(torch, precision)
    documents = [vectors.to(dtype).requires_grad_() for vectors in model.encode_document(list(PASSAGES.values()))]
    queries = [vectors.to(dtype) for vectors in model.encode_query(["rain in spain", "lazy dog"])]
    with Index.open(tmp_path / "index", dim=model.get_embedding_dimension()) as index:
        index.add([Document("", id=name) for name in PASSAGES], vectors=documents)
        found = index.search_many(queries, k=10)
    expected = model.similarity(model.encode_query(["rain in spain", "lazy dog"]), [each.float() for each in documents])
    for hits, scores in zip(found, expected.tolist(), strict=True):
        assert {hit.id: hit.score for hit in hits} == pytest.approx(
            dict(zip(PASSAGES, scores, strict=True)), abs=allowed
        )


def test_embeddings_that_sentence_transformers_pools(model, pylate_checkpoint, tmp_path):
    from sentence_transformers import MultiVectorEncoder
    from sentence_transformers.multi_vector_encoder.modules import HierarchicalTokenPooling

    texts = list(PASSAGES.values())
    pooled = MultiVectorEncoder(str(pylate_checkpoint), device="cpu")
    pooled.append(HierarchicalTokenPooling(pool_factor=2))
    embeddings = pooled.encode_document(texts)
    assert sum(map(len, embeddings)) < 0.7 * sum(map(len, model.encode_document(texts)))
    (query,) = pooled.encode_query(["rain in spain"])
    with Index.open(tmp_path / "given", dim=pooled.get_embedding_dimension()) as index:
        parts = (vectors for start in range(0, len(texts), 2) for vectors in pooled.encode_document(texts[start:][:2]))
        index.add((Document(text, id=name) for name, text in PASSAGES.items()), vectors=parts)
        assert index.info()["tokens"] == sum(map(len, embeddings))
        given = {hit.id: hit.score for hit in index.search(query, k=10)}
    with Index.open(tmp_path / "encoded", encoder=pooled) as index:
        index.add([Document(text, id=name) for name, text in PASSAGES.items()])
        encoded = {hit.id: hit.score for hit in index.search("rain in spain", k=10)}
    scores = pooled.similarity([query], embeddings)[0].tolist()
    assert given == pytest.approx(dict(zip(PASSAGES, scores, strict=True)), abs=0.02)
    assert encoded == pytest.approx(given, abs=0.02)


def test_sizes_of_the_page():
    page = (Path(__file__).parent.parent / "docs" / "sentence-transformers.md").read_text("utf-8")
    sizes = dict(re.findall(r"^\| (.*?) \| ([\d.]+) \|$", page, flags=re.MULTILINE))
    tokens, dim = 1000 * 150, 128
    bytes_per_token = [4 * dim, 2 * dim, dim * 4 / 8 + 7, dim * 2 / 8 + 7, (dim * 2 / 8 + 7) / 2]
    megabytes = [each * tokens / 1e6 for each in bytes_per_token]
    assert list(map(float, sizes.values())) == pytest.approx(megabytes, abs=0.08)


def test_the_object_as_encoder(model, tmp_path):
    with Index.open(tmp_path / "index", encoder=model) as index:
        assert isinstance(index.encoder, TextEncoder)
        index.add([Document(text, id=name) for name, text in PASSAGES.items()])
        (query,) = model.encode_query(["rain in spain"])
        assert [hit.id for hit in index.search("rain in spain", 3)] == [hit.id for hit in index.search(query, 3)]
    with Index.open(tmp_path / "index", encoder=model) as index:
        assert len(index) == 3


def test_the_vectors_first_and_the_object_later(model, tmp_path):
    with Index.open(tmp_path / "index", dim=model.get_embedding_dimension()) as index:
        texts = list(PASSAGES.values())
        index.add([Document(text, id=name) for name, text in PASSAGES.items()], vectors=model.encode_document(texts))
    with Index.open(tmp_path / "index", encoder=model) as index:
        before = index.search("rain in spain", 1)[0].score
        assert before == pytest.approx(index.search(model.encode_query(["rain in spain"])[0], 1)[0].score, abs=1e-3)
        assert index.explain("rain in spain", "rain").spans


def test_one_wrapper_for_one_model(model):
    """With two, two threads would use the tokenizer at the same time."""
    encoder = as_encoder(model)
    assert as_encoder(model) is encoder
    wrapped = weakref.ref(encoder)
    del encoder
    gc.collect()
    assert wrapped() is None
    assert as_encoder(as_encoder(model)).dim == model.get_embedding_dimension()


def test_a_model_that_reads_images(checkpoints):
    from sentence_transformers import MultiVectorEncoder

    from tests.page_checkpoints import packaged_modernvbert

    model = MultiVectorEncoder(str(packaged_modernvbert(checkpoints / "given-page-model")), device="cpu")
    assert isinstance(as_encoder(model), TextImageEncoder)


def test_in_the_frameworks(model, tmp_path):
    store = LateInteractionVectorStore.from_texts(list(PASSAGES.values()), encoder=model, index=tmp_path / "store")
    assert store.similarity_search("rain in spain", k=1)
    assert LateInteractionReranker(encoder=model)
    assert LateInteractionRerank(encoder=model)


def test_what_is_no_late_interaction_model(pylate_checkpoint):
    from sentence_transformers import SentenceTransformer
    from sentence_transformers.models import Pooling, Transformer

    transformer = Transformer(str(pylate_checkpoint))
    model = SentenceTransformer(modules=[transformer, Pooling(32)], device="cpu")
    with pytest.raises(InvalidRequestError, match="SentenceTransformer makes one vector"):
        as_encoder(model)
    colbert = type("ColBERT", (), {"__module__": "pylate.models.colbert"})
    with pytest.raises(InvalidRequestError, match="Of a model of PyLate, pass the name or folder"):
        as_encoder(colbert())
    for other in (5, None, object(), model.encode):
        with pytest.raises(InvalidRequestError, match="is not an encoder"):
            as_encoder(other)


def test_opening_an_index_imports_neither_torch_nor_sentence_transformers(tmp_path):
    code = (
        "import sys; import numpy as np; from late_interaction import Document, Index\n"
        f"index = Index.open({str(tmp_path / 'index')!r}, dim=4)\n"
        "index.add([Document('', id='a')], vectors=[np.eye(4)[:2]])\n"
        "index.update(['a'], metadata={'n': 1}); index.add([Document('', id='a')])\n"
        "index.close()\n"
        "print(sorted({'torch', 'sentence_transformers', 'PIL'} & sys.modules.keys()))"
    )
    done = subprocess.run(
        [sys.executable, "-c", code], capture_output=True, text=True, check=True, env=CHILD_ENVIRONMENT
    )
    assert done.stdout.strip() == "[]"
