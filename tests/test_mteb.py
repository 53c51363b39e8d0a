"""`IndexedSearch` under MTEB: scores and measures are those of exact search, and of MTEB's own wrapper of the model.

Tasks are of MTEB's own classes with data in memory. MTEB takes seconds to import, so only a test that runs pays for it.
"""

from __future__ import annotations

import gc
import shutil
import sys
import tempfile
import warnings
from pathlib import Path

import numpy as np
import pytest

from late_interaction import Index
from late_interaction.encoders import ReducedEncoder
from late_interaction.errors import (
    DuplicateIdError,
    IncompatibleEncoderError,
    InvalidRequestError,
    OptionalDependencyError,
    TruncationWarning,
    UnknownIdError,
    UnsupportedError,
)
from late_interaction.mteb import IndexedSearch
from tests.fakes import COLOURS, ColourEncoder, ShortEncoder, WordEncoder
from tests.mteb_tasks import collection, task

QUIET = {"show_progress_bar": False, "batch_size": 8}


def run(model, tiny, subset="eng", top_k=1000, **options):
    """What `IndexedSearch.search` answers, called as MTEB's evaluator calls it."""
    tiny.load_data()
    data = tiny.dataset[subset]["test"]
    where = {"task_metadata": tiny.metadata, "hf_split": "test", "hf_subset": subset, "num_proc": None}
    where |= {"encode_kwargs": dict(QUIET)} | options
    model.index(data["corpus"], **where)
    return model.search(data["queries"], top_k=top_k, top_ranked=data["top_ranked"], **where)


def exact(queries, documents):
    """MaxSim of every query with every document, (queries, documents), in float64."""
    arrays = [np.asarray(document, np.float64) for document in documents]
    return np.array([[(np.asarray(q, np.float64) @ d.T).max(axis=1).sum() for d in arrays] for q in queries])


def read(corpus):
    return [f"{row['title']} {row['text']}".strip() for row in corpus]


def ndcg(scores, ids, relevant):
    """nDCG@10 with one gain for each relevant document."""
    ranked = [ids[position] for position in np.argsort(-scores)][:10]
    gains = sum(1 / np.log2(rank + 2) for rank, one in enumerate(ranked) if one in relevant)
    return gains / sum(1 / np.log2(rank + 2) for rank in range(min(10, len(relevant))))


@pytest.fixture(scope="module")
def model(pylate_checkpoint):
    from sentence_transformers import MultiVectorEncoder

    return MultiVectorEncoder(str(pylate_checkpoint), device="cpu")


@pytest.fixture(autouse=True)
def no_dataset_progress():
    import datasets

    datasets.disable_progress_bars()


def test_measures_are_those_of_exact_search(model, tmp_path, monkeypatch):
    import mteb

    monkeypatch.setenv("TMPDIR", str(tmp_path))
    monkeypatch.setattr("tempfile.tempdir", None)
    with IndexedSearch(model) as searched:
        assert isinstance(searched, mteb.models.SearchProtocol)
        result = mteb.evaluate(searched, task(["eng", "deu"]), cache=None, encode_kwargs=dict(QUIET))
        assert len(list(tmp_path.glob("late-interaction-*"))) == 1  # that of the last subset
    assert not list(tmp_path.glob("late-interaction-*"))
    measured = {row["hf_subset"]: row["ndcg_at_10"] for row in result.task_results[0].scores["test"]}
    for subset in ("eng", "deu"):
        corpus, asked, relevant = collection(subset)
        scores = exact(
            model.encode_query([query["text"] for query in asked], show_progress_bar=False),
            model.encode_document(read(corpus), show_progress_bar=False),
        )
        ids = [row["id"] for row in corpus]
        expected = [ndcg(row, ids, relevant[query["id"]]) for row, query in zip(scores, asked, strict=True)]
        assert measured[subset] == pytest.approx(np.mean(expected), abs=1e-5)
        assert 0.05 < measured[subset] < 1  # so that another ranking would be noticed


def test_scores_equal_those_of_mtebs_own_wrapper(model):
    from mteb.models import MultiVectorWrapper

    theirs, ours = run(MultiVectorWrapper(model), task(["eng"])), run(IndexedSearch(model), task(["eng"]))
    assert ours.keys() == theirs.keys()
    for query, scores in theirs.items():
        assert ours[query] == pytest.approx(scores, abs=1e-4)
        assert list(ours[query].values()) == sorted(ours[query].values(), reverse=True)


def test_scores_of_a_named_encoder(minilm):
    corpus, asked, _ = collection("eng")
    found = run(IndexedSearch("minilm"), task(["eng"]))
    scores = exact(
        minilm.encode_queries([query["text"] for query in asked]),
        minilm.encode_documents(read(corpus)),
    )
    for row, query in zip(scores, asked, strict=True):
        expected = {document["id"]: score for document, score in zip(corpus, row, strict=True)}
        assert found[query["id"]] == pytest.approx(expected, abs=1e-4)


def test_reranking(model):
    import mteb
    from mteb.models import MultiVectorWrapper

    corpus, asked, relevant = collection("eng")
    rng = np.random.default_rng(0)
    ids = [row["id"] for row in corpus]
    candidates = {query["id"]: [ids[at], *rng.permutation(ids[8:])[:6].tolist()] for at, query in enumerate(asked)}
    ours = run(IndexedSearch(model), task(["eng"], candidates=candidates), top_k=5)
    theirs = run(MultiVectorWrapper(model), task(["eng"], candidates=candidates))
    for query in candidates:
        best = dict(sorted(theirs[query].items(), key=lambda item: -item[1])[:5])
        assert ours[query] == pytest.approx(best, abs=1e-4)
    result = mteb.evaluate(
        IndexedSearch(model), task(["eng"], candidates=candidates), cache=None, encode_kwargs=dict(QUIET)
    )
    assert result.task_results[0].scores["test"][0]["ndcg_at_10"] == pytest.approx(
        np.mean([ndcg(np.array(list(theirs[one].values())), list(theirs[one]), relevant[one]) for one in theirs]),
        abs=1e-5,
    )


def test_candidates_that_are_missing_or_unknown(word_encoder, caplog):
    partial = {f"q{n}": ["eng-1"] for n in range(1, 8)}
    assert run(IndexedSearch(word_encoder), task(["eng"], candidates=partial))["q0"] == {}
    assert "no documents for the query 'q0'" in caplog.text
    with pytest.raises(UnknownIdError, match="'elsewhere', which is not in the corpus"):
        run(IndexedSearch(word_encoder), task(["eng"], candidates={**partial, "q0": ["eng-1", "elsewhere"]}))


def test_texts_are_those_that_mteb_reads():
    corpus = [{"id": "a", "title": "Nile", "text": "a river"}, {"id": "b", "title": "", "text": "the Nile"}]
    corpus.append({"id": "c", "title": "", "text": " "})
    asked = [{"id": "q", "text": "nile", "instruction": "river"}, {"id": "blank", "text": " ", "instruction": ""}]
    rows = (corpus, asked, {"q": {"a": 1}})
    found = run(IndexedSearch(WordEncoder()), task(["eng"], rows=rows))
    assert found["q"]["a"] == pytest.approx(2, abs=1e-4)  # the title is read, and so is the instruction
    assert found["q"]["b"] < 1.9
    assert found["q"]["c"] == 0
    assert found["blank"] == {}


def test_prompts_of_the_task_are_used(pylate_checkpoint):
    from mteb.models import MultiVectorWrapper
    from sentence_transformers import MultiVectorEncoder

    model = MultiVectorEncoder(str(pylate_checkpoint), device="cpu")
    before = run(IndexedSearch(model), task(["eng"]))
    model.prompts = {**model.prompts, "Retrieval-query": "[Q] market: ", "Retrieval": "[D] forest: "}
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        ours = run(IndexedSearch(model), task(["eng"]))
    theirs = run(MultiVectorWrapper(model), task(["eng"]))
    for query, scores in theirs.items():
        assert ours[query] == pytest.approx(scores, abs=1e-4)
        assert ours[query] != pytest.approx(before[query], abs=1e-4)
    reduced = run(IndexedSearch(ReducedEncoder(IndexedSearch(model)._encoder, dim=8)), task(["eng"]))
    assert reduced["q0"].keys() == ours["q0"].keys()


def test_pages():
    from PIL import Image

    corpus = [{"id": name, "image": Image.new("RGB", (64, 64), colour)} for name, colour in COLOURS.items()]
    asked = [{"id": name, "text": name} for name in ("red", "blue")]
    rows = (corpus, asked, {"red": {"red": 1}, "blue": {"blue": 1}})
    pages = {"category": "t2i", "modalities": ("text", "image"), "rows": rows}
    found = run(IndexedSearch(ColourEncoder()), task(["eng"], **pages))
    assert [next(iter(found[name])) for name in ("red", "blue")] == ["red", "blue"]
    only_pages = IndexedSearch(ColourEncoder(modalities=("image",)))
    assert only_pages.mteb_model_meta.modalities == ["image", "text"]  # MTEB compares them with queries too
    assert run(only_pages, task(["eng"], **pages)) == found
    with pytest.raises(UnsupportedError, match="are image, and WordEncoder reads text"):
        run(IndexedSearch(WordEncoder()), task(["eng"], **pages))
    with pytest.raises(UnsupportedError, match="are texts with images"):
        run(IndexedSearch(ColourEncoder()), task(["eng"], **{**pages, "category": "t2it"}))
    with pytest.raises(UnsupportedError, match="queries of TinyTask are image"):
        run(IndexedSearch(ColourEncoder()), task(["eng"], **{**pages, "category": "i2i"}))


def test_a_kept_index_is_used_again(tmp_path):
    encoder = WordEncoder()
    first = run(IndexedSearch(encoder, path=tmp_path), task(["eng"]))
    assert encoder.documents_encoded == 30
    corpus, asked, relevant = collection("eng")
    second = run(IndexedSearch(encoder, path=tmp_path), task(["eng"], rows=(corpus[:20], asked, relevant)))
    assert encoder.documents_encoded == 30
    for query, scores in first.items():
        assert second[query] == {one: score for one, score in scores.items() if int(one.partition("-")[2]) < 20}
    with pytest.raises(IncompatibleEncoderError, match="dimension 32"):
        Index.open(tmp_path / "TinyTask-eng-test", encoder=encoder)
    with pytest.raises(IncompatibleEncoderError, match="not the encoder the index was built with"):
        run(IndexedSearch(WordEncoder(name="others"), path=tmp_path), task(["eng"]))
    with pytest.raises(InvalidRequestError, match="bits"):
        run(IndexedSearch(encoder, path=tmp_path, bits=2), task(["eng"]))


def test_results_of_other_settings_are_kept_apart(tmp_path):
    import mteb

    encoder = WordEncoder()
    cache = mteb.ResultCache(tmp_path)
    for bits, encoded in [(None, 30), (2, 60), (None, 60)]:
        mteb.evaluate(IndexedSearch(encoder, bits=bits), task(["eng"]), cache=cache, encode_kwargs=dict(QUIET))
        assert encoder.documents_encoded == encoded


def test_the_temporary_folder_is_removed_when_nothing_refers_to_it(tmp_path, monkeypatch):
    monkeypatch.setattr("tempfile.tempdir", str(tmp_path))
    searched = IndexedSearch(WordEncoder())
    run(searched, task(["eng"]))
    assert len(list(tmp_path.iterdir())) == 1
    with pytest.raises(UnsupportedError):
        run(searched, task(["eng"], category="t2i", modalities=("text", "image")))
    assert not list(tmp_path.iterdir())
    run(searched, task(["eng"]))
    del searched
    gc.collect()
    assert not list(tmp_path.iterdir())


def test_an_index_that_was_not_completed_is_not_searched(word_encoder):
    corpus, asked, relevant = collection("eng")
    searched = IndexedSearch(word_encoder)
    with pytest.raises(DuplicateIdError):
        run(searched, task(["eng"], rows=([*corpus, {**corpus[0], "text": "another"}], asked, relevant)))
    with pytest.raises(InvalidRequestError, match="There is no index to search"):
        searched.search([], task_metadata=task(["eng"]).metadata, hf_split="", hf_subset="", top_k=1, encode_kwargs={})


def test_compressed_vectors(tmp_path):
    """At 2 bits, scores are MaxSim of the stored vectors: near exact ones, and not equal to them."""
    rng = np.random.default_rng(0)
    texts = [" ".join(f"w{n}" for n in row) for row in rng.integers(0, 2000, (300, 220))]
    corpus = [{"id": str(n), "title": "", "text": text} for n, text in enumerate(texts)]
    asked = [{"id": str(n), "text": " ".join(texts[n].split()[:12])} for n in range(4)]
    encoder = WordEncoder(dim=32)
    with IndexedSearch(encoder, bits=2, path=tmp_path) as compressed:
        found = run(compressed, task(["eng"], rows=(corpus, asked, {"0": {"0": 1}})), top_k=10)
    with Index.open(tmp_path / "TinyTask-eng-test", encoder=encoder, read_only=True) as index:
        assert found["0"] == {hit.id: hit.score for hit in index.search(asked[0]["text"], 10)}
    for number in range(4):
        assert next(iter(found[str(number)])) == str(number)
        assert 1e-3 < abs(12 - found[str(number)][str(number)]) < 1  # 12 words that are in the document


def test_rows_are_read_by_several_processes(word_encoder, monkeypatch):
    # Not tmp_path: the path of a socket may have 107 bytes.
    with tempfile.TemporaryDirectory() as folder, IndexedSearch(word_encoder) as searched:
        monkeypatch.setattr("tempfile.tempdir", folder)
        alone = run(searched, task(["eng"]))
        assert run(searched, task(["eng"]), num_proc=2) == alone
        assert len(list(Path(folder).glob("late-interaction-*"))) == 1  # a process that reads does not remove it


def test_truncated_texts_are_warned_about():
    with pytest.warns(TruncationWarning) as caught:
        run(IndexedSearch(ShortEncoder(query_length=3)), task(["eng"]))
    assert [warning.message.count for warning in caught] == [30, 8]


def test_arguments_that_are_not_known(word_encoder):
    searched = IndexedSearch(word_encoder)
    for options, message in [
        ({"precision": "int8"}, r"precision must be 'float32', got 'int8'.*bits="),
        ({"normalize_embeddings": True}, "encode_kwargs has normalize_embeddings"),
    ]:
        with pytest.raises(InvalidRequestError, match=message):
            run(searched, task(["eng"]), encode_kwargs=options)
    with pytest.raises(InvalidRequestError, match="There is no index to search"):
        searched.search([], task_metadata=task(["eng"]).metadata, hf_split="", hf_subset="", top_k=1, encode_kwargs={})
    with pytest.warns(UserWarning, match="does not use later") as caught:
        run(searched, task(["eng"]), later=1)
    assert [str(each.message) for each in caught] == [
        "IndexedSearch.index does not use later.",
        "IndexedSearch.search does not use later.",
    ]
    assert {each.filename for each in caught} == {__file__}
    run(searched, task(["eng"]), encode_kwargs={"precision": "float32", "show_progress_bar": False})


def test_metadata(model, word_encoder):
    from mteb.models.model_meta import ModelMeta, ScoringFunction

    meta = IndexedSearch(word_encoder).mteb_model_meta
    assert (meta.name, meta.embed_dim, meta.modalities) == ("late-interaction/words", 16, ["text"])
    assert meta.similarity_fn_name is ScoringFunction.MAX_SIM
    assert meta.model_type == ["late-interaction"]
    assert meta.experiment_kwargs is None
    assert meta.revision != IndexedSearch(WordEncoder(dim=17)).mteb_model_meta.revision
    reduced = ReducedEncoder(word_encoder, pooling=2)
    assert IndexedSearch(reduced, bits=2).mteb_model_meta.experiment_kwargs == {"bits": 2, "pooling": 2, "dim": 16}
    assert IndexedSearch(model).mteb_model_meta.name == "late-interaction/MultiVectorEncoder"
    halved = ReducedEncoder(IndexedSearch(model)._encoder, dim=8)
    assert IndexedSearch(halved).mteb_model_meta.framework == IndexedSearch(model).mteb_model_meta.framework != []
    own = ModelMeta.create_empty({"name": "me/mine", "revision": "1"})
    assert IndexedSearch(word_encoder, model_meta=own).mteb_model_meta is own
    assert IndexedSearch(word_encoder, bits=4, model_meta=own).mteb_model_meta.experiment_kwargs == {"bits": 4}
    assert meta.to_dict()["loader"] is None


def test_the_name_of_a_folder_that_could_be_on_the_hub(pylate_checkpoint, tmp_path, monkeypatch):
    shutil.copytree(pylate_checkpoint, tmp_path / "owner" / "model")
    monkeypatch.chdir(tmp_path)
    assert IndexedSearch("owner/model").mteb_model_meta.name == "late-interaction/model"


def test_without_mteb(word_encoder, monkeypatch):
    monkeypatch.setattr("importlib.util.find_spec", lambda name, *_: None if name == "mteb" else sys.modules[name])
    with pytest.raises(OptionalDependencyError, match=r"pip install 'late-interaction\[mteb\]'"):
        IndexedSearch(word_encoder)
