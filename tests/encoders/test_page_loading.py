"""`load_encoder` for page models: what is refused, and fingerprints that tell one from another."""

from __future__ import annotations

import importlib.util
import json
import shutil

import numpy as np
import pytest
from safetensors.torch import load_file, save_file
from transformers.models.auto.video_processing_auto import AutoVideoProcessor
from transformers.processing_utils import ProcessorMixin

from late_interaction import load_encoder
from late_interaction.encoders import ColVisionEncoder, TextEncoder, TextImageEncoder
from late_interaction.encoders.fingerprint import differences
from late_interaction.errors import InvalidRequestError, UnsupportedCheckpointError
from tests.checkpoints import in_hub_cache
from tests.encoders.pictures import noise
from tests.page_checkpoints import colmodernvbert, colpali, colqwen2, packaged_modernvbert, packaged_qwen2

PROBE = "the probe embedding"
BUILDERS = {
    "colpali": colpali,
    "colqwen2": colqwen2,
    "colmodernvbert": colmodernvbert,
    "packaged": packaged_modernvbert,
}


def refusal(name, **options):
    with pytest.raises(UnsupportedCheckpointError) as caught:
        load_encoder(name, **options)
    return str(caught.value)


def named(found):
    return {phrase.split(" (")[0] for phrase in found}


def build(case, folder, **settings):
    return BUILDERS[case.folder.name](folder, **settings)


def edit_json(path, change):
    data = json.loads(path.read_text("utf-8"))
    change(data)
    path.write_text(json.dumps(data), "utf-8")


def change_weights(folder, change):
    path = folder / "model.safetensors"
    weights = load_file(path)
    changed = change(weights)
    assert changed.keys() != weights.keys() or any(changed[name] is not weights[name] for name in weights)
    path.unlink()
    save_file(changed, path, metadata={"format": "pt"})


# Loading


def test_the_kind_of_encoder(page_case, pylate_checkpoint):
    expected = TextImageEncoder if page_case.folder.name == "packaged" else ColVisionEncoder
    assert type(page_case.encoder) is expected
    assert type(load_encoder(pylate_checkpoint)) is TextEncoder


def test_the_source_and_options_load_the_same_encoder(page_case):
    for encoder in (page_case.encoder, load_encoder(page_case.folder, image_tokens_only=True)):
        again = load_encoder(encoder.source, revision=encoder.revision, **encoder.options)
        assert differences(encoder.fingerprint, again.fingerprint) == []


def test_a_model_in_the_hub_cache(page_case, tmp_path, monkeypatch):
    import huggingface_hub.constants

    monkeypatch.setattr(huggingface_hub.constants, "HF_HUB_CACHE", str(tmp_path))
    in_hub_cache(tmp_path, "someone/tiny-pages", page_case.folder)
    in_hub_cache(tmp_path, "someone/tiny-pages", page_case.folder, revision="v2", commit="b" * 40)
    for revision in (None, "v2"):
        encoder = load_encoder("someone/tiny-pages", revision=revision)
        assert (encoder.source, encoder.revision) == ("someone/tiny-pages", revision)
        [vectors] = encoder.encode_images([noise((60, 40))])
        np.testing.assert_allclose(vectors, page_case.oracle.image(noise((60, 40))), atol=1e-5)
    assert "someone/tiny-pages" in refusal("someone/tiny-pages", revision="v3")


def test_the_cache_folder_of_sentence_transformers(colvision_case, tmp_path, monkeypatch):
    in_hub_cache(tmp_path, "someone/tiny-pages", colvision_case.folder)
    monkeypatch.setenv("SENTENCE_TRANSFORMERS_HOME", str(tmp_path))
    assert load_encoder("someone/tiny-pages").source == "someone/tiny-pages"


def test_an_encoder_of_remote_code_cannot_be_remembered(page_case):
    assert load_encoder(page_case.folder, trust_remote_code=True).source is None


def test_loading_prints_nothing(page_case, capfd):
    load_encoder(page_case.folder).encode_images([noise((60, 40))])
    assert capfd.readouterr() == ("", "")


def test_loading_changes_no_file(page_case, tmp_path):
    folder = shutil.copytree(page_case.folder, tmp_path / "copy")
    before = {path: path.read_bytes() for path in folder.rglob("*") if path.is_file()}
    load_encoder(folder).encode_images([noise((60, 40))])
    assert {path: path.read_bytes() for path in folder.rglob("*") if path.is_file()} == before


def test_a_model_of_another_class_is_refused(colqwen2_case):
    inner = colqwen2_case.encoder._model.vlm
    with pytest.raises(UnsupportedCheckpointError, match=r"ColQwen2ForRetrieval.*got Qwen2VLModel"):
        ColVisionEncoder(inner, colqwen2_case.encoder._processor)


@pytest.mark.parametrize(
    ("build_it", "old", "new"),
    [(colpali, "vlm.vision_tower.", "vlm.vision_tower.vision_model."), (colqwen2, "vlm.", "vlm.model.")],
)
def test_the_names_of_weights_in_published_files(tmp_path, build_it, old, new):
    """Those of transformers 4, in which the -hf checkpoints were saved."""
    folder = build_it(tmp_path / "pages")
    expected = load_encoder(folder).encode_images([noise((60, 40))])
    change_weights(folder, lambda weights: {name.replace(old, new, 1): weight for name, weight in weights.items()})
    np.testing.assert_allclose(load_encoder(folder).encode_images([noise((60, 40))]), expected, atol=1e-6)


# What is broken


@pytest.mark.parametrize(
    "part", ["embedding_proj_layer.weight", "visual.blocks.0", "language_model.layers.0.self_attn", "embed_tokens"]
)
def test_missing_weights(colqwen2_case, tmp_path, part):
    """They would be drawn at random, the projection above all."""
    folder = shutil.copytree(colqwen2_case.folder, tmp_path / "broken")
    change_weights(folder, lambda weights: {name: weight for name, weight in weights.items() if part not in name})
    message = refusal(folder)
    assert "missing weights" in message
    assert part in message


@pytest.mark.parametrize("damage", ["missing", "cut off"])
@pytest.mark.parametrize("name", ["model.safetensors", "config.json", "processor_config.json", "tokenizer.json"])
def test_broken_files(page_case, tmp_path, name, damage):
    folder = shutil.copytree(page_case.folder, tmp_path / "broken")
    path = folder / name
    half = path.read_bytes()[: path.stat().st_size // 2]
    path.unlink()
    if damage == "cut off":
        path.write_bytes(half)
    assert str(folder) in refusal(folder)


def test_a_model_that_also_watches_videos(tmp_path):
    """Qwen2-VL packaged, as ColQwen2.5: its part for videos needs torchvision, its images do not. The oracle is the
    native model of the same weights and prompts, which is held to one written by hand elsewhere."""
    native, packaged = load_encoder(colqwen2(tmp_path / "native")), load_encoder(packaged_qwen2(tmp_path / "packaged"))
    assert type(packaged) is TextImageEncoder
    assert packaged.modalities == {"text", "image"}
    images = [noise((120, 90)), noise((60, 200)), noise((300, 300))]
    pairs = [*zip(packaged.encode_images(images), native.encode_images(images), strict=True)]
    queries = ["hello", "what is it?", "https://example.org/a.png"]
    pairs += zip(packaged.encode_queries(queries), native.encode_queries(queries), strict=True)
    for found, expected in pairs:
        np.testing.assert_allclose(found, expected, atol=1e-5)
    for image in images:
        assert packaged.patch_boxes(image.size) == native.patch_boxes(image.size)
    assert packaged.token_spans("what is it?", "query") == native.token_spans("what is it?", "query")
    assert json.loads(json.dumps(packaged.fingerprint))["dim"] == 16


def test_transformers_is_left_as_it_was(tmp_path):
    loaded = ProcessorMixin.check_argument_for_proper_class
    load_encoder(packaged_qwen2(tmp_path / "packaged"))
    assert ProcessorMixin.check_argument_for_proper_class is loaded
    if importlib.util.find_spec("torchvision") is None:
        with pytest.raises(ImportError, match=r"[Tt]orchvision"):
            AutoVideoProcessor.from_pretrained(tmp_path / "packaged")


# Fingerprints


def test_it_is_json(page_case):
    fingerprint = page_case.encoder.fingerprint
    assert json.loads(json.dumps(fingerprint, allow_nan=False)) == dict(fingerprint)
    assert fingerprint["dim"] == 16
    assert differences(json.loads(json.dumps(fingerprint)), fingerprint) == []


def test_a_copy_elsewhere(page_case, tmp_path):
    folder = shutil.copytree(page_case.folder, tmp_path / "elsewhere")
    assert differences(page_case.encoder.fingerprint, load_encoder(folder).fingerprint) == []


def test_other_weights(page_case, tmp_path):
    other = load_encoder(build(page_case, tmp_path / "other", seed=5))
    found = differences(page_case.encoder.fingerprint, other.fingerprint)
    assert named(found) == {PROBE}


def test_other_weights_of_the_vision_tower_alone(page_case, tmp_path):
    """The probe text does not pass through it."""
    folder = shutil.copytree(page_case.folder, tmp_path / "other")
    towers = {"vision_tower", "visual", "vision_model"}
    change_weights(
        folder,
        lambda weights: {
            name: weight.flip(0) if towers & set(name.split(".")) else weight for name, weight in weights.items()
        },
    )
    assert named(differences(page_case.encoder.fingerprint, load_encoder(folder).fingerprint)) == {PROBE}


def test_other_options(page_case):
    given = load_encoder(page_case.folder, image_tokens_only=True).fingerprint
    assert "image_tokens_only" in named(differences(page_case.encoder.fingerprint, given))


def test_another_size_of_what_is_seen(page_case, tmp_path):
    settings = {"colpali": {"side": 84}, "colqwen2": {"most": 32}}.get(page_case.folder.name, {"longest": 192})
    given = load_encoder(build(page_case, tmp_path / "other", **settings)).fingerprint
    assert "image_processor.size" in named(differences(page_case.encoder.fingerprint, given))


@pytest.mark.parametrize("setting", ["image_mean", "rescale_factor", "do_normalize", "resample"])
def test_another_setting_of_the_image_processor(page_case, tmp_path, setting):
    folder = shutil.copytree(page_case.folder, tmp_path / "other")
    other = {"image_mean": [0.4, 0.4, 0.4], "rescale_factor": 0.01, "do_normalize": False, "resample": 0}[setting]
    edit_json(folder / "processor_config.json", lambda data: data["image_processor"].update({setting: other}))
    found = differences(page_case.encoder.fingerprint, load_encoder(folder).fingerprint)
    assert f"image_processor.{setting}" in named(found)


@pytest.mark.parametrize(
    ("setting", "value", "expected"),
    [("query_prefix", "Search: ", "prompts"), ("visual_prompt_prefix", "<|image_pad|>What?", "prompts")],
)
def test_other_prompts(colqwen2_case, tmp_path, setting, value, expected):
    folder = shutil.copytree(colqwen2_case.folder, tmp_path / "other")
    edit_json(folder / "processor_config.json", lambda data: data.update({setting: value}))
    assert expected in named(differences(colqwen2_case.encoder.fingerprint, load_encoder(folder).fingerprint))


def test_the_class_of_the_image_processor_is_told_and_not_compared(page_case):
    """The same settings made of torchvision give vectors that differ by less than a half-precision model's."""
    recorded = json.loads(json.dumps(page_case.encoder.fingerprint))
    assert recorded["libraries"]["image_processor"].endswith("Pil")
    assert "image_processor_type" not in recorded["image_processor"]
    recorded["libraries"]["image_processor"] = "AnotherImageProcessor"
    assert differences(recorded, page_case.encoder.fingerprint) == []


def test_a_setting_that_a_library_adds_is_no_difference(page_case):
    recorded = json.loads(json.dumps(page_case.encoder.fingerprint))
    recorded["image_processor"]["of_a_later_version"] = None
    assert differences(recorded, page_case.encoder.fingerprint) == []


def test_an_encoder_of_pages_is_not_one_of_text(page_case, minilm):
    assert "image_processor" in named(differences(minilm.fingerprint, page_case.encoder.fingerprint))


# Wrapping a model oneself


def test_a_text_model_in_the_encoder_of_both(pylate_checkpoint):
    from sentence_transformers import MultiVectorEncoder

    with pytest.raises(InvalidRequestError, match="reads no images"):
        TextImageEncoder(MultiVectorEncoder(str(pylate_checkpoint)))
