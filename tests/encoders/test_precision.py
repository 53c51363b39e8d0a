"""The precision of matrix products: bfloat16 where the processor multiplies it natively, and the same vectors."""

from __future__ import annotations

import json
import pickle
import subprocess
import sys
import textwrap

import numpy as np
import pytest
import torch
from safetensors.torch import load_file, save_file

from late_interaction import Document, Index, load_encoder
from late_interaction.encoders import SingleVectorEncoder, TextEncoder, packing, precision
from late_interaction.encoders.fingerprint import differences
from late_interaction.errors import IncompatibleEncoderError, InvalidRequestError
from tests.checkpoints import pylate
from tests.encoders.conftest import encode
from tests.encoders.texts import TEXTS

FOLDERS = ("stanford", "modernbert")
REAL_ANSWER = precision.multiplies_bfloat16.__wrapped__  # without the cache, and before conftest.py replaces it
LEAST_COSINE = 0.995  # of random weights, whose layers amplify rounding more than trained ones


@pytest.fixture(params=FOLDERS)
def folder(request):
    return request.getfixturevalue(f"{request.param}_checkpoint")


@pytest.fixture
def native(monkeypatch):
    """A processor that multiplies bfloat16 natively."""
    monkeypatch.setattr(precision, "multiplies_bfloat16", lambda: True)


def cosines(left, right):
    assert [vectors.shape for vectors in left] == [vectors.shape for vectors in right]
    return np.concatenate([(one * other).sum(axis=1) for one, other in zip(left, right, strict=True)])


@pytest.mark.parametrize("task", ["query", "document"])
def test_vectors_are_close_to_those_of_float32_and_normalized(folder, task):
    texts = list(TEXTS.values())
    expected = encode(load_encoder(folder, dtype="float32"), texts, task)
    encoded = encode(load_encoder(folder, dtype="bfloat16"), texts, task)
    assert all(vectors.dtype == np.float32 and vectors.flags.c_contiguous for vectors in encoded)
    for vectors in encoded:
        np.testing.assert_allclose(np.linalg.norm(vectors, axis=1), 1, atol=1e-6)
    assert any((one != other).any() for one, other in zip(encoded, expected, strict=True))  # it is another precision
    assert cosines(encoded, expected).min() > LEAST_COSINE


def test_the_offline_encoder(minilm):
    """Trained weights: the cosine that the documentation states."""
    texts = list(TEXTS.values())
    lower = load_encoder("minilm", dtype="bfloat16")
    assert (minilm.dtype, lower.dtype) == ("float32", "bfloat16")
    found = cosines(lower.encode_documents(texts), minilm.encode_documents(texts))
    assert found.mean() > 0.9999
    assert found.min() > 0.999


@pytest.mark.parametrize("is_native", [True, False])
def test_the_default_is_what_the_processor_multiplies_natively(pylate_checkpoint, monkeypatch, is_native):
    monkeypatch.setattr(precision, "multiplies_bfloat16", lambda: is_native)
    expected = "bfloat16" if is_native else "float32"
    encoder = load_encoder(pylate_checkpoint, device="cpu")
    assert encoder.dtype == expected
    weights = {name: str(weight.dtype) for name, weight in encoder._model.named_parameters()}
    assert weights["0.model.encoder.layer.0.intermediate.dense.weight"] == f"torch.{expected}"
    assert weights["0.model.embeddings.word_embeddings.weight"] == "torch.float32"
    assert load_encoder(pylate_checkpoint, dtype="float32").dtype == "float32"


def test_a_model_of_the_caller_is_not_changed(pylate_checkpoint, native):
    from sentence_transformers import MultiVectorEncoder

    model = MultiVectorEncoder(str(pylate_checkpoint), device="cpu")
    encoder = TextEncoder(model)
    assert encoder.dtype == "bfloat16"
    expected = TextEncoder(model, dtype="float32").encode_documents(list(TEXTS.values()))
    assert cosines(encoder.encode_documents(list(TEXTS.values())), expected).min() > LEAST_COSINE
    assert {weight.dtype for weight in model.parameters()} == {torch.float32}


def test_packed_weights_change_nothing(folder, monkeypatch):
    if not packing._can_pack():
        pytest.skip("torch packs weights on x86 alone")
    texts = list(TEXTS.values())
    packed = load_encoder(folder, dtype="bfloat16", device="cpu")
    monkeypatch.setattr(packing, "_can_pack", lambda: False)
    plain = load_encoder(folder, dtype="bfloat16", device="cpu")
    projections = [module for module in packed._model.modules() if isinstance(module, torch.nn.Linear)]
    assert all("forward" in vars(module) for module in projections)
    assert not any("forward" in vars(module) for module in plain._model.modules())
    for one, other in zip(packed.encode_documents(texts), plain.encode_documents(texts), strict=True):
        np.testing.assert_array_equal(one, other)


def test_a_model_that_pools_tokens_stays_in_float32(pylate_checkpoint, native):
    """Its clustering fails under autocast."""
    from sentence_transformers import MultiVectorEncoder
    from sentence_transformers.multi_vector_encoder.modules import HierarchicalTokenPooling

    model = MultiVectorEncoder(str(pylate_checkpoint), device="cpu")
    model.append(HierarchicalTokenPooling(pool_factor=2))
    encoder = TextEncoder(model)
    assert encoder.dtype == "float32"
    [pooled] = encoder.encode_documents(["a red fox and a blue whale"])
    np.testing.assert_allclose(np.linalg.norm(pooled, axis=1), 1, atol=1e-6)
    with pytest.raises(InvalidRequestError, match="pools tokens"):
        TextEncoder(model, dtype="bfloat16")


def in_bfloat16(folder):
    """Change a checkpoint to one that was saved in bfloat16."""
    settings = json.loads((folder / "config.json").read_text())
    (folder / "config.json").write_text(json.dumps({**settings, "dtype": "bfloat16"}))
    path = folder / "model.safetensors"
    weights = {name: weight.bfloat16() for name, weight in load_file(path).items()}
    save_file(weights, path, metadata={"format": "pt"})
    return folder


def test_weights_saved_in_bfloat16_are_converted_where_it_is_emulated(tmp_path, monkeypatch):
    folder = in_bfloat16(pylate(tmp_path / "model"))
    emulating = load_encoder(folder, device="cpu")
    assert emulating.dtype == "float32"
    assert {weight.dtype for weight in emulating._model.parameters()} == {torch.float32}
    monkeypatch.setattr(precision, "multiplies_bfloat16", lambda: True)
    encoder = load_encoder(folder, device="cpu")
    assert encoder.dtype == "bfloat16"
    assert {weight.dtype for weight in encoder._model.parameters()} == {torch.bfloat16}
    encoded = encoder.encode_documents(list(TEXTS.values()))
    for vectors in encoded:
        np.testing.assert_allclose(np.linalg.norm(vectors, axis=1), 1, atol=1e-6)
    assert cosines(encoded, emulating.encode_documents(list(TEXTS.values()))).min() > 0.9


@pytest.mark.parametrize("dtype", ["bf16", "int8", "", 16, torch.bfloat16])
def test_an_unknown_dtype_is_refused(pylate_checkpoint, dtype):
    for load in (load_encoder, lambda given, dtype: load_encoder("minilm", dtype=dtype)):
        with pytest.raises(InvalidRequestError, match="dtype must be one of float32, bfloat16, float16"):
            load(pylate_checkpoint, dtype=dtype)


def test_a_pickled_encoder_keeps_the_dtype_that_was_given(pylate_checkpoint):
    assert pickle.loads(pickle.dumps(load_encoder(pylate_checkpoint, dtype="bfloat16"))).dtype == "bfloat16"
    assert pickle.loads(pickle.dumps(load_encoder(pylate_checkpoint))).dtype == "float32"


def test_single_vectors(tmp_path, native):
    from tests.checkpoints import single_vector

    model = single_vector(tmp_path / "model")
    lower, single = SingleVectorEncoder(model), SingleVectorEncoder(model, dtype="float32")
    assert (lower.dtype, single.dtype) == ("bfloat16", "float32")
    texts = list(TEXTS.values())
    assert cosines(lower.encode_documents(texts), single.encode_documents(texts)).min() > LEAST_COSINE
    np.testing.assert_allclose(np.linalg.norm(np.concatenate(lower.encode_queries(texts)), axis=1), 1, atol=1e-6)
    assert differences(single.fingerprint, lower.fingerprint) == []


@pytest.mark.parametrize("dtypes", [("float32", "bfloat16"), ("bfloat16", "float32")], ids="-then-".join)
def test_fingerprints_of_both_precisions_are_compatible(folder, dtypes):
    recorded, given = (load_encoder(folder, dtype=dtype).fingerprint for dtype in dtypes)
    assert differences(json.loads(json.dumps(recorded)), given) == []


@pytest.mark.parametrize("built_natively", [True, False])
def test_an_index_opens_on_a_machine_of_the_other_precision(
    pylate_checkpoint, tmp_path, monkeypatch, built_natively, recwarn
):
    texts = ["a red fox", "a blue whale", "three green birds"]
    found = []
    for is_native in (built_natively, not built_natively):
        monkeypatch.setattr(precision, "multiplies_bfloat16", lambda is_native=is_native: is_native)
        encoder = load_encoder(pylate_checkpoint)
        assert encoder.dtype == ("bfloat16" if is_native else "float32")
        with Index.open(tmp_path / "index", encoder=encoder) as index:
            index.add([Document(text, id=text) for text in texts if text not in index])
            found.append([index.rerank(query, ids=texts, k=3) for query in texts])
    for before, after in zip(*found, strict=True):
        scores = {hit.id: hit.score for hit in before}
        assert {hit.id: hit.score for hit in after} == pytest.approx(scores, rel=0.01)
    del encoder
    with Index.open(tmp_path / "index") as index:  # with the encoder that it remembers
        assert len(index.search("a red fox", k=6)) == 3
    assert not recwarn.list
    other = pylate(tmp_path / "other", seed=50)
    with pytest.raises(IncompatibleEncoderError, match="other weights"):
        Index.open(tmp_path / "index", encoder=other)


def test_what_a_processor_announces_is_timed(monkeypatch):
    timed = []
    monkeypatch.setattr(precision, "_is_faster", lambda: timed.append(1) or True)
    monkeypatch.setattr(precision, "_instructions", lambda: {"avx2": True, "avx512_bf16": False})
    assert not REAL_ANSWER()
    assert not timed
    for name in ("amx_bf16", "avx512_bf16", "bf16"):
        monkeypatch.setattr(precision, "_instructions", lambda name=name: {name: True})
        assert REAL_ANSWER()
    assert len(timed) == 3


def test_it_is_measured_once_and_not_at_import():
    program = """
        from late_interaction.encoders import precision
        calls = []
        precision._instructions = lambda: calls.append("asked") or {"bf16": True}
        precision._is_faster = lambda: calls.append("timed") or True
        import late_interaction.encoders.multi_vector, late_interaction.index_encoder
        assert calls == [], calls
        assert [precision.default_dtype("cpu") for _ in range(3)] == ["bfloat16"] * 3
        assert calls == ["asked", "timed"], calls
        """
    subprocess.run([sys.executable, "-c", textwrap.dedent(program)], check=True)


def test_slow_bfloat16_is_found_out(monkeypatch):
    """A processor that announces the instructions and emulates them."""
    linear, took = torch.nn.functional.linear, {torch.float32: 1, torch.bfloat16: 80}
    clock = [0.0]

    def timed(rows, weights):
        clock[0] += took[rows.dtype]
        return linear(rows, weights)

    monkeypatch.setattr(torch.nn.functional, "linear", timed)
    monkeypatch.setattr(precision.time, "perf_counter", lambda: clock[0])
    assert not precision._is_faster()
    assert clock[0] < 5 * 81  # not measured again and again
    took[torch.bfloat16] = 0.5
    assert precision._is_faster()
    took[torch.bfloat16] = 0.95
    assert not precision._is_faster()
