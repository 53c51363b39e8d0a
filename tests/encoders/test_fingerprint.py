"""Fingerprints tell encoders apart, and nothing else."""

from __future__ import annotations

import json
import shutil

import pytest

from late_interaction import load_encoder
from late_interaction.encoders import TextEncoder
from late_interaction.encoders.fingerprint import differences
from tests.checkpoints import modernbert, pylate, stanford


@pytest.fixture(scope="module")
def recorded(pylate_checkpoint):
    """As an index keeps it."""
    return json.loads(json.dumps(load_encoder(pylate_checkpoint).fingerprint))


PROBE = "the probe embedding"


def named(found):
    """What the phrases name: each begins with the name and goes on in brackets."""
    return {phrase.split(" (")[0] for phrase in found}


def test_it_is_json(case):
    fingerprint = case.encoder.fingerprint
    assert json.loads(json.dumps(fingerprint, allow_nan=False)) == dict(fingerprint)
    assert fingerprint["dim"] == case.encoder.dim
    assert differences(json.loads(json.dumps(fingerprint)), fingerprint) == []


def test_the_same_checkpoint_loaded_again(case):
    again = load_encoder("minilm" if case.encoder.source == "minilm" else case.folder)
    assert differences(case.encoder.fingerprint, again.fingerprint) == []


def test_a_copy_elsewhere(pylate_checkpoint, recorded, tmp_path):
    folder = shutil.copytree(pylate_checkpoint, tmp_path / "elsewhere")
    assert differences(recorded, load_encoder(folder).fingerprint) == []


def test_the_same_model_in_another_format_has_the_same_probe(recorded, native_checkpoint):
    given = load_encoder(native_checkpoint).fingerprint
    assert given["probe"] == pytest.approx(recorded["probe"], abs=1e-4)
    assert differences(recorded, given) == []


def test_library_versions_and_place_are_not_compared(recorded):
    given = {**recorded, "libraries": {"torch": "99"}, "model": "another/name", "revision": "abc"}
    assert differences(recorded, given) == []


@pytest.mark.parametrize(
    ("settings", "expected"),
    [
        ({"seed": 50}, {PROBE}),
        ({"document_length": 100}, {"document_length"}),
        ({"prefixes": ("[Q] ", "[Q] ")}, {"prompts", PROBE}),
        ({"prefixes": ("", "")}, {"prompts", PROBE}),
        ({"attend": True}, {"query_expansion"}),
        ({"dim": 24}, {"dim", "modules[1].out_features", PROBE}),
    ],
    ids=["weights", "document_length", "same prompts", "no prompts", "attended expansion", "dim"],
)
def test_what_differs_is_named(recorded, tmp_path, settings, expected):
    given = load_encoder(pylate(tmp_path / "other", **settings)).fingerprint
    found = differences(recorded, given)
    assert expected - {PROBE} <= named(found) <= expected | {PROBE}
    if "seed" in settings:
        assert named(found) == {PROBE}
        assert "weights" in found[0]
    assert named(differences(given, recorded)) == named(found)


def test_other_projection_weights_are_seen(recorded, pylate_checkpoint, tmp_path):
    """Two models fine-tuned from one backbone may differ in the head alone."""
    folder = shutil.copytree(pylate_checkpoint, tmp_path / "other")
    other = pylate(tmp_path / "source", seed=99)
    shutil.copyfile(other / "1_Dense" / "model.safetensors", folder / "1_Dense" / "model.safetensors")
    assert named(differences(recorded, load_encoder(folder).fingerprint)) == {PROBE}


def test_other_architectures_differ(recorded, tmp_path):
    for build in (stanford, modernbert):
        given = load_encoder(build(tmp_path / build.__name__)).fingerprint
        assert differences(recorded, given)


def test_skipped_punctuation_is_part_of_it(recorded, pylate_checkpoint, tmp_path):
    folder = shutil.copytree(pylate_checkpoint, tmp_path / "other")
    path = folder / "config_sentence_transformers.json"
    path.write_text(json.dumps({**json.loads(path.read_text("utf-8")), "skiplist_words": [","]}), "utf-8")
    assert "modules[2].skiplist_words" in named(differences(recorded, load_encoder(folder).fingerprint))


def test_settings_of_modules_are_part_of_it(pylate_checkpoint):
    """Models that differ in nothing but how many vectors they keep, which hardly moves the mean that is the probe."""
    from sentence_transformers import MultiVectorEncoder
    from sentence_transformers.multi_vector_encoder.modules import HierarchicalTokenPooling, MultiVectorMask

    def fingerprint(*, skipped_in, pool_factor):
        model = MultiVectorEncoder(str(pylate_checkpoint))
        for module in model:
            if isinstance(module, MultiVectorMask):
                module.skiplist_tasks = skipped_in
        model.append(HierarchicalTokenPooling(pool_factor=pool_factor))
        return TextEncoder(model).fingerprint

    recorded = fingerprint(skipped_in=["document"], pool_factor=2)
    assert differences(recorded, fingerprint(skipped_in=["document"], pool_factor=2)) == []
    assert differences(recorded, fingerprint(skipped_in=["document"], pool_factor=4))
    assert differences(recorded, fingerprint(skipped_in=["query", "document"], pool_factor=2))


def test_without_a_probe_the_name_decides():
    mine = {"model": "mine", "dim": 4}
    assert differences(mine, dict(mine)) == []
    found = differences(mine, {"model": "yours", "dim": 4})
    assert len(found) == 1
    assert all(word in found[0] for word in ("model", "'mine'", "'yours'"))
    assert named(differences(mine, {"model": "mine", "dim": 8})) == {"dim"}
    assert named(differences(mine, {"model": "mine", "revision": "2", "dim": 4})) == {"revision"}


def test_a_probe_on_one_side_alone_is_no_proof(recorded):
    without = {key: value for key, value in recorded.items() if key != "probe"}
    assert differences(without, recorded)
    assert differences(recorded, {**without, "model": "another"})


def test_a_zero_probe_is_not_an_equal_probe():
    assert differences({"probe": [0.0, 0.0]}, {"probe": [1.0, 0.0]})
    assert differences({"probe": [1.0, 0.0]}, {"probe": [1.0, 0.0, 0.0]})
    assert differences({"probe": [1.0, 0.0]}, {"probe": [1.0, 0.0]}) == []


def test_a_dimension_is_told_once_and_readably(recorded, tmp_path):
    found = differences(recorded, load_encoder(stanford(tmp_path / "other", dim=8)).fingerprint)
    assert any("16 in the index" in phrase and "8 given" in phrase for phrase in found)
    assert all(len(phrase) < 260 for phrase in found)
