"""A model folder from a stranger: nothing in it runs, names other places, or is read without end."""

from __future__ import annotations

import contextlib
import json
import os
import pickle
import shutil
import sys
from pathlib import Path

import pytest
import torch

from late_interaction import load_encoder
from late_interaction.encoders.untrusted import check_files, check_weights
from late_interaction.errors import UnsupportedCheckpointError
from tests.network import NoNetwork

CODE = """
import pathlib, os
pathlib.Path(os.environ["CANARY"]).touch()
import torch
class Canary(torch.nn.Module):
    @classmethod
    def load(cls, *arguments, **settings):
        return cls()
    from_pretrained = load
"""


class Touch:
    """Unpickled, it makes the file."""

    def __init__(self, path):
        self.path = str(path)

    def __reduce__(self):
        return os.mkdir, (self.path,)


@pytest.fixture
def canary(tmp_path, monkeypatch):
    """A file that is there if code of the folder has run."""
    path = tmp_path / "canary"
    monkeypatch.setenv("CANARY", str(path))
    return path


@pytest.fixture
def folder(pylate_checkpoint, tmp_path, monkeypatch):
    """A working checkpoint with Python code in it, in the worst place: it is the working directory, and importable."""
    folder = shutil.copytree(pylate_checkpoint, tmp_path / "model")
    (folder / "evil.py").write_text(CODE, "utf-8")
    monkeypatch.chdir(folder)
    monkeypatch.syspath_prepend(folder)
    yield folder
    sys.modules.pop("evil", None)


def edit(path, change):
    content = json.loads(path.read_text("utf-8")) if path.exists() else {}
    change(content)
    path.parent.mkdir(exist_ok=True)
    path.write_text(json.dumps(content), "utf-8")


def module(folder, kind, path="1_Evil", **settings):
    """Put a module of a type into the checkpoint."""
    edit(folder / "modules.json", lambda modules: modules.append({"idx": 9, "name": "9", "path": path, "type": kind}))
    edit(folder / path / "config.json", lambda content: content.update(settings))


def settings(folder, filename="sentence_bert_config.json", **content):
    edit(folder / filename, lambda held: held.update(content))


def evil_weights(folder, canary, place="."):
    """Weights that run code when they are unpickled, in the place of the good ones."""
    (folder / place / "model.safetensors").unlink()
    with (folder / place / "pytorch_model.bin").open("wb") as file:
        pickle.dump({"linear.weight": Touch(canary)}, file)


def unsafe_arguments(folder, canary, group="model_args"):
    evil_weights(folder, canary)
    settings(folder, **{group: {"weights_only": False}})


def word_embeddings(folder):
    module(
        folder,
        "sentence_transformers.sentence_transformer.modules.WordEmbeddings",
        tokenizer_class="evil.Canary",
        update_embeddings=False,
        max_seq_length=9,
    )
    edit(folder / "1_Evil" / "wordembedding_config.json", lambda content: content.update(tokenizer_class="evil.Canary"))


def router(folder):
    module(folder, "sentence_transformers.base.modules.router.Router")
    content = {"types": {"x": "evil.Canary"}, "structure": {"query": ["x"]}, "parameters": {}}
    edit(folder / "1_Evil" / "router_config.json", lambda held: held.update(content))


HOSTILE = {
    "a class of its own": lambda folder, _: module(folder, "evil.Canary"),
    "a class in the place of the transformer": lambda folder, _: edit(
        folder / "modules.json", lambda modules: modules[0].update(type="evil.Canary")
    ),
    "any class that can be imported": lambda folder, _: module(folder, "subprocess.Popen"),
    "a class of the library that imports others": lambda folder, _: word_embeddings(folder),
    "a router": lambda folder, _: router(folder),
    "a Dense of another package": lambda folder, _: module(folder, "evil.Dense"),
    "a module that is no class": lambda folder, _: module(folder, "sentence_transformers.util.misc.Transformer"),
    "a module elsewhere": lambda folder, _: module(folder, "sentence_transformers.models.Dense", path="../elsewhere"),
    "no type": lambda folder, _: edit(folder / "modules.json", lambda modules: modules.append({"path": ""})),
    "a type that is no string": lambda folder, _: edit(
        folder / "modules.json", lambda modules: modules[0].update(type=["evil"])
    ),
    "not a module": lambda folder, _: edit(folder / "modules.json", lambda modules: modules.append("evil.Canary")),
    "an activation": lambda folder, _: settings(
        folder, "1_Dense/config.json", activation_function="torch.utils.cpp_extension.BuildExtension"
    ),
    "unpickled weights": unsafe_arguments,
    "unpickled weights by the new name": lambda folder, canary: unsafe_arguments(folder, canary, "model_kwargs"),
    "weights of the transformer": lambda folder, canary: evil_weights(folder, canary),
    "weights of the projection": lambda folder, canary: evil_weights(folder, canary, "1_Dense"),
    "trust": lambda folder, _: settings(folder, model_args={"trust_remote_code": True, "code_revision": "x"}),
    "a tokenizer elsewhere": lambda folder, _: settings(folder, tokenizer_name_or_path="someone/tokenizer"),
    "a proxy": lambda folder, _: settings(folder, config_args={"proxies": {"https": "http://evil"}}),
    "a kernel of the hub": lambda folder, _: settings(folder, model_args={"attn_implementation": "evil/kernel"}),
    "a kernel in the configuration": lambda folder, _: settings(
        folder, "config.json", attn_implementation="evil/kernel"
    ),
    "a kernel deep in it": lambda folder, _: settings(
        folder, "config.json", text_config={"_attn_implementation": {"": "evil/kernel"}}
    ),
    "a method": lambda folder, _: settings(
        folder,
        modality_config={"text": {"method": "save_pretrained", "method_output_name": "x"}},
        module_output_name="token_embeddings",
    ),
    "a model of its own": lambda folder, _: settings(
        folder, "config.json", model_type="evil", auto_map={"AutoConfig": "evil.Canary", "AutoModel": "evil.Canary"}
    ),
}


@pytest.mark.parametrize("hostile", HOSTILE.values(), ids=HOSTILE)
def test_nothing_of_a_folder_runs(folder, canary, monkeypatch, hostile):
    hostile(folder, canary)
    network = NoNetwork(monkeypatch)
    with pytest.raises(UnsupportedCheckpointError) as refused:
        load_encoder(folder)
    assert str(folder) in str(refused.value)
    assert not canary.exists()
    assert "evil" not in sys.modules
    assert network.asked == []


@pytest.mark.parametrize("filename", ["config.json", "tokenizer_config.json"])
def test_code_for_a_known_model_is_not_used(folder, canary, monkeypatch, filename):
    """The classes of transformers are, as they would be without it."""
    names = ("AutoConfig", "AutoModel", "AutoTokenizer", "AutoProcessor")
    settings(folder, filename, auto_map=dict.fromkeys(names, "evil.Canary") | {"AutoTokenizer": ["evil.Canary"] * 2})
    network = NoNetwork(monkeypatch)
    with contextlib.suppress(UnsupportedCheckpointError):
        load_encoder(folder).encode_queries(["a query"])
    assert not canary.exists()
    assert "evil" not in sys.modules
    assert network.asked == []


def test_harmless_settings_are_kept(folder, canary):
    settings(
        folder,
        model_args={"dtype": "float32", "attn_implementation": "eager"},
        tokenizer_args={"padding_side": "right", "model_max_length": 100},
    )
    settings(folder, "1_Dense/config.json", activation_function="torch.nn.modules.activation.Tanh")
    assert load_encoder(folder).encode_queries(["a query"])[0].shape[1] == 16


@pytest.mark.parametrize("place", [".", "1_Dense"])
def test_pickled_weights_are_read_without_code(pylate_checkpoint, tmp_path, place):
    from safetensors.torch import load_file

    folder = shutil.copytree(pylate_checkpoint, tmp_path / "pickled")
    weights = load_file(folder / place / "model.safetensors")
    (folder / place / "model.safetensors").unlink()
    torch.save(weights, folder / place / "pytorch_model.bin")
    assert load_encoder(folder).dim == 16


def test_pickled_weights_need_a_torch_that_reads_them_safely(monkeypatch):
    check_weights("model", has_safetensors=False)
    monkeypatch.setattr("importlib.metadata.version", lambda _: "2.5.1+cpu")
    check_weights("model", has_safetensors=True)
    with pytest.raises(UnsupportedCheckpointError, match=r"2\.6"):
        check_weights("model", has_safetensors=False)


@pytest.mark.skipif(not hasattr(os, "mkfifo"), reason="needs named pipes")
@pytest.mark.parametrize("name", ["config.json", "model.safetensors", "1_Dense/config.json", "README.md", "more"])
def test_a_pipe_is_not_read(folder, name):
    (folder / name).unlink(missing_ok=True)
    os.mkfifo(folder / name)
    with pytest.raises(UnsupportedCheckpointError, match="not a regular file"):
        load_encoder(folder)


@pytest.mark.skipif(not Path("/dev/zero").exists(), reason="needs /dev/zero")
@pytest.mark.parametrize("name", ["config.json", "tokenizer.json"])
def test_a_device_is_not_read(folder, name):
    (folder / name).unlink()
    (folder / name).symlink_to("/dev/zero")
    with pytest.raises(UnsupportedCheckpointError, match="not a regular file"):
        load_encoder(folder)


@pytest.mark.parametrize("name", ["config.json", "vocab.txt", "1_Dense/config.json"])
def test_a_file_of_a_terabyte_is_not_read(folder, name):
    os.truncate(folder / name, 2**40)  # sparse: it takes no room
    with pytest.raises(UnsupportedCheckpointError, match="bytes"):
        load_encoder(folder)


def test_links_to_files_are_read(folder, tmp_path):
    """The cache of the hub is made of them."""
    target = tmp_path / "elsewhere"
    (folder / "model.safetensors").rename(target)
    (folder / "model.safetensors").symlink_to(target)
    (folder / "nowhere").symlink_to(tmp_path / "nothing")
    check_files(folder)
    assert load_encoder(folder).dim == 16


def test_a_name_uses_the_network_and_a_folder_does_not(folder, monkeypatch):
    network = NoNetwork(monkeypatch)
    load_encoder(folder).encode_queries(["a query"])
    assert network.asked == []
    with pytest.raises(UnsupportedCheckpointError):
        load_encoder("nobody/knows-this-model", local_files_only=True)
    assert network.asked == []
    with pytest.raises(UnsupportedCheckpointError):
        load_encoder("nobody/knows-this-model")
    assert "huggingface.co" in network.asked[0]
