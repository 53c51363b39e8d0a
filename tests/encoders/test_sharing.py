"""`shared_encoder`: one loaded encoder per checkpoint and options, for as long as it is used."""

from __future__ import annotations

import gc
import os
import shutil
import subprocess
import sys
import threading
import time
import weakref
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import numpy as np
import pytest

from late_interaction import load_encoder
from late_interaction.encoders.fingerprint import differences
from late_interaction.encoders.sharing import shared_encoder
from late_interaction.errors import InvalidRequestError, UnsupportedCheckpointError
from tests.checkpoints import in_hub_cache, pylate
from tests.engines.helpers import CHILD_ENVIRONMENT

THREADS = 16


@pytest.fixture
def folder(pylate_checkpoint, tmp_path):
    return shutil.copytree(pylate_checkpoint, tmp_path / "model")


@pytest.fixture
def other(tmp_path):
    """Other weights in files of the same names and sizes."""
    return pylate(tmp_path / "other", seed=70)


# What is shared


def test_every_spelling_of_a_folder(folder, monkeypatch):
    (folder.parent / "link").symlink_to(folder)
    monkeypatch.chdir(folder.parent)
    monkeypatch.setenv("HOME", str(folder.parent))
    names = [folder, str(folder), "model", "./model", Path("model"), "~/model", "link", f"{folder}/"]
    encoders = [shared_encoder(name) for name in names]
    assert all(encoder is encoders[0] for encoder in encoders)


def test_minilm():
    encoder = shared_encoder("minilm")
    assert shared_encoder("minilm") is encoder
    assert shared_encoder("minilm", device="cpu") is not encoder


def test_it_gives_what_load_encoder_gives(folder):
    shared, loaded = shared_encoder(folder), load_encoder(folder)
    assert type(shared) is type(loaded)
    assert shared.source == loaded.source
    assert shared.fingerprint == loaded.fingerprint


def test_load_encoder_gives_a_new_one(folder):
    shared = shared_encoder(folder)
    assert load_encoder(folder) is not shared
    assert load_encoder(folder) is not load_encoder(folder)


@pytest.mark.parametrize(
    "options", [{"device": "cpu"}, {"revision": "v2"}, {"trust_remote_code": True}], ids=["device", "revision", "code"]
)
def test_other_options_are_another_encoder(folder, options):
    encoder, given = shared_encoder(folder), shared_encoder(folder, **options)
    assert given is not encoder
    assert shared_encoder(folder, **options) is given
    assert shared_encoder(folder) is encoder


def test_image_tokens_only_is_another_encoder(packaged_case):
    every, kept = (shared_encoder(packaged_case.folder, image_tokens_only=only) for only in (False, True))
    assert (every.options, kept.options) == ({}, {"image_tokens_only": True})


def test_another_folder_of_the_same_files(folder, pylate_checkpoint):
    here, there = shared_encoder(folder), shared_encoder(pylate_checkpoint)
    assert here is not there
    assert (here.source, there.source) == (str(folder), str(pylate_checkpoint))


# For how long


def test_an_encoder_that_nobody_uses_is_freed(folder):
    encoder = shared_encoder(folder)
    encoder.encode_queries(["a query"])
    reference = weakref.ref(encoder._model)
    del encoder
    gc.collect()
    assert reference() is None
    assert shared_encoder(folder).dim == 16


# Files that change


def replace(path, source):
    """Give a file the content of another of the same size, and leave its time of modification as it was."""
    status = path.stat()
    assert source.stat().st_size == status.st_size
    assert source.read_bytes() != path.read_bytes()
    path.write_bytes(source.read_bytes())
    os.utime(path, ns=(status.st_atime_ns, status.st_mtime_ns))


@pytest.mark.parametrize("name", ["model.safetensors", "1_Dense/model.safetensors"])
def test_changed_weights_are_loaded(folder, other, name):
    before = shared_encoder(folder)
    fingerprint = before.fingerprint
    replace(folder / name, other / name)
    after = shared_encoder(folder)
    assert after is not before
    assert differences(fingerprint, after.fingerprint)
    assert shared_encoder(folder) is after


def test_changed_weights_behind_a_link_are_loaded(folder, other, tmp_path):
    (folder / "1_Dense").rename(tmp_path / "elsewhere")
    (folder / "1_Dense").symlink_to(tmp_path / "elsewhere")
    before = shared_encoder(folder)
    assert shared_encoder(folder) is before
    replace(tmp_path / "elsewhere" / "model.safetensors", other / "1_Dense" / "model.safetensors")
    assert shared_encoder(folder) is not before


@pytest.mark.parametrize("change", ["added", "removed"])
def test_a_file_more_or_less(folder, change):
    before = shared_encoder(folder)
    if change == "added":
        (folder / "notes.txt").write_text("trained again")
    else:
        (folder / "config_sentence_transformers.json").unlink()
    assert shared_encoder(folder) is not before


def test_links_that_lead_nowhere_or_back(folder):
    (folder / "up").symlink_to(folder.parent)
    (folder / "nothing").symlink_to(folder / "none")
    assert shared_encoder(folder) is shared_encoder(folder)


# The cache of the hub


@pytest.mark.parametrize("local_files_only", [False, True])
def test_a_model_of_the_hub(pylate_checkpoint, other, tmp_path, monkeypatch, local_files_only):
    """A branch that has moved to other files is another encoder."""
    import huggingface_hub.constants

    monkeypatch.setattr(huggingface_hub.constants, "HF_HUB_CACHE", str(tmp_path / "hub"))
    in_hub_cache(tmp_path / "hub", "someone/tiny-colbert", pylate_checkpoint)
    in_hub_cache(tmp_path / "hub", "someone/tiny-colbert", other, revision="v2", commit="b" * 40)

    def shared(revision=None):
        return shared_encoder("someone/tiny-colbert", revision=revision, local_files_only=local_files_only)

    main, second = shared(), shared("v2")
    assert shared() is main
    assert shared("v2") is second is not main
    assert differences(main.fingerprint, second.fingerprint)
    (tmp_path / "hub" / "models--someone--tiny-colbert" / "refs" / "main").write_text("b" * 40)
    moved = shared()
    assert moved is not main
    for given, expected in zip(moved.encode_queries(["a query"]), second.encode_queries(["a query"]), strict=True):
        np.testing.assert_allclose(given, expected, rtol=0, atol=1e-6)


# Threads and failures


def test_threads_that_ask_at_once_load_one(folder):
    start = threading.Barrier(THREADS)

    def ask(_):
        start.wait()
        return shared_encoder(folder)

    with ThreadPoolExecutor(THREADS) as pool:
        encoders = list(pool.map(ask, range(THREADS)))
    assert all(encoder is encoders[0] for encoder in encoders)


def test_a_failed_load_is_tried_again(folder):
    whole = (folder / "model.safetensors").read_bytes()
    (folder / "model.safetensors").write_bytes(whole[:100])
    for _ in range(2):
        with pytest.raises(UnsupportedCheckpointError):
            shared_encoder(folder)
    (folder / "model.safetensors").write_bytes(whole)
    assert shared_encoder(folder).dim == 16


def test_what_load_encoder_refuses_is_refused(tmp_path, folder):
    with pytest.raises(UnsupportedCheckpointError, match="no folder"):
        shared_encoder(tmp_path / "none")
    with pytest.raises(UnsupportedCheckpointError, match=r"no config\.json"):
        shared_encoder(tmp_path)
    with pytest.raises(InvalidRequestError, match="image_tokens_only"):
        shared_encoder(folder, image_tokens_only=True)


def test_a_folder_without_a_model_is_not_searched(tmp_path):
    """It may lead to all of the disk."""
    (tmp_path / "root").symlink_to("/")
    started = time.monotonic()
    with pytest.raises(UnsupportedCheckpointError):
        shared_encoder(tmp_path)
    assert time.monotonic() - started < 2


# Forks


_FORKS = """
import os, signal, sys, threading, time
from late_interaction.encoders.sharing import shared_encoder

used, loaded, forks = sys.argv[1], sys.argv[2], int(sys.argv[3])
encoder = shared_encoder(used)
expected = encoder.encode_queries(["a query"])[0]

running = True
def load():
    while running:
        shared_encoder(loaded)
        time.sleep(0.02)  # lets the fork have the mutexes that are held across it
thread = threading.Thread(target=load)
thread.start()

for _ in range(forks):
    process = os.fork()
    if process == 0:
        signal.alarm(20)  # ends a child that hangs
        status = 1
        try:
            same = shared_encoder(used) is encoder
            right = abs(encoder.encode_queries(["a query"])[0] - expected).max() < 1e-5
            status = 0 if same and right and shared_encoder(loaded).dim == 16 else 2
        finally:
            os._exit(status)
    print(os.waitpid(process, 0)[1])
running = False
thread.join()
"""


@pytest.mark.slow
@pytest.mark.skipif(not hasattr(os, "fork"), reason="there is no fork")
def test_a_child_uses_what_its_parent_has_loaded(folder, other):
    """And loads others, whatever the threads of its parent were loading when it was forked."""
    command = [sys.executable, "-c", _FORKS, str(folder), str(other), "4"]
    done = subprocess.run(command, env=CHILD_ENVIRONMENT, capture_output=True, text=True, timeout=200, check=False)
    assert done.returncode == 0, done.stderr[-5000:]
    assert done.stdout.split() == ["0"] * 4
