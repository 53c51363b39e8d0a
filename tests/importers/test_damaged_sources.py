"""A source in which a file is cut, changed, replaced or gone: a clear error, or an import that is consistent."""

from __future__ import annotations

import os
import pickle
import random
import shutil

import numpy as np
import pytest
import torch
from safetensors.torch import save_file

from late_interaction import Index
from late_interaction.errors import (
    CorruptIndexError,
    DuplicateIdError,
    InvalidRequestError,
    InvalidVectorsError,
)
from late_interaction.importers import import_index
from late_interaction.importers.foreign import SourceOptions
from late_interaction.importers.formats import recognized
from tests.importers.sources import flat_folder, vectors
from tests.importers.test_byaldi import made as byaldi_folder

EXPECTED = (CorruptIndexError, InvalidRequestError, InvalidVectorsError, DuplicateIdError)


class Canary:
    """Makes a file when it is unpickled."""

    def __init__(self, path):
        self.path = path

    def __reduce__(self):
        return open, (str(self.path), "w")


def named(folder):
    folder.mkdir()
    np.savez_compressed(folder / "all.npz", **{f"d{number}": one for number, one in enumerate(vectors(9))})


def tensors(folder):
    folder.mkdir()
    given = {f"d{number}": torch.from_numpy(one).bfloat16() for number, one in enumerate(vectors(9))}
    save_file(given, folder / "all.safetensors")


KINDS = {
    "flat": lambda folder: flat_folder(folder, 9, lengths="offsets.json"),
    "npz": named,
    "safetensors": tensors,
    "byaldi": lambda folder: byaldi_folder(folder, 6),
}


@pytest.fixture(scope="module")
def sources(tmp_path_factory):
    base = tmp_path_factory.mktemp("sources")
    for name, make in KINDS.items():
        make(base / name)
    return base


def cut(path, rng, canary):
    content = path.read_bytes()
    path.write_bytes(content[: rng.randrange(len(content))])


def longer(path, rng, canary):
    path.write_bytes(path.read_bytes() + rng.randbytes(rng.randrange(1, 100)))


def flip(path, rng, canary):
    content = bytearray(path.read_bytes())
    for _ in range(rng.choice((1, 1, 5))):
        content[rng.randrange(len(content))] ^= 1 << rng.randrange(8)
    path.write_bytes(content)


def flip_header(path, rng, canary):
    content = bytearray(path.read_bytes())
    content[rng.randrange(min(len(content), 150))] ^= 1 << rng.randrange(8)
    path.write_bytes(content)


def remove(path, rng, canary):
    path.unlink()


def pickled(path, rng, canary):
    path.write_bytes(pickle.dumps(Canary(canary)))


def pickled_by_torch(path, rng, canary):
    torch.save([Canary(canary)], path)


def pickled_by_numpy(path, rng, canary):
    with path.open("wb") as file:
        np.save(file, np.array([Canary(canary)], object), allow_pickle=True)


def linked(path, rng, canary):
    shutil.copy(path, canary.parent / "outside")
    path.unlink()
    path.symlink_to(canary.parent / "outside")


def folder_instead(path, rng, canary):
    path.unlink()
    path.mkdir()


def not_numbers(path, rng, canary):
    content = path.read_bytes()
    middle = len(content) // 2 // 4 * 4
    path.write_bytes(content[:middle] + np.full(4, np.nan, np.float32).tobytes() + content[middle + 16 :])


MUTATIONS = [
    *(cut, longer, flip, flip_header, remove, pickled, pickled_by_torch, pickled_by_numpy, linked, folder_instead),
    not_numbers,
]


def mutated(source, folder, seed):
    """A copy of a source with one mutation of one file; what was done."""
    rng = random.Random(seed)
    shutil.copytree(source, folder)
    path = rng.choice(sorted(path for path in folder.rglob("*") if path.is_file()))
    mutation = rng.choice(MUTATIONS)
    mutation(path, rng, folder.parent / "canary")
    return f"{mutation.__name__} {path.name}"


def outcome(work, what):
    """What the work returns, and the expected error that it raises instead."""
    try:
        return work(), None
    except EXPECTED as error:
        return None, error
    except Exception as error:
        raise AssertionError(what) from error


def whole(folder):
    """The opened source, and everything in it."""
    index = recognized(folder).open(folder, SourceOptions())
    return index, list(index.read())


@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize("trials", [40, pytest.param(3_000, marks=pytest.mark.slow)])
def test_any_damage_of_a_file(sources, tmp_path, kind, trials):
    refused = 0
    for seed in range(trials):
        folder = tmp_path / str(seed)
        what = mutated(sources / kind, folder, f"{kind} {seed}")
        read, error = outcome(lambda: whole(folder), what)  # noqa: B023
        if error is None:
            index, found = read
            assert len(found) == index.documents, what
            assert sum(len(one) for _, one in found) == index.tokens, what
            assert all(one.shape[1:] == (index.dim,) for _, one in found), what
        else:
            refused += 1
            assert str(folder) in str(error), what
        assert not (tmp_path / "canary").exists(), what
        shutil.rmtree(folder)
    assert refused > trials / 3


@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize("trials", [3, pytest.param(100, marks=pytest.mark.slow)])
def test_an_import_of_it_is_consistent(sources, tmp_path, kind, trials):
    for seed in range(trials):
        folder = tmp_path / str(seed)
        what = mutated(sources / kind, folder, f"import {kind} {seed}")
        report, _ = outcome(lambda: import_index(folder, tmp_path / "index", verify=2), what)  # noqa: B023
        if (tmp_path / "index").exists():
            with Index.open(tmp_path / "index", read_only=True) as index:
                assert index.verify(), what
                assert len(index) == (report.documents if report else 0), what
            shutil.rmtree(tmp_path / "index")
        assert not (tmp_path / "canary").exists(), what
        shutil.rmtree(folder)


@pytest.mark.skipif(not hasattr(os, "mkfifo"), reason="pipes are those of POSIX")
@pytest.mark.parametrize("kind", KINDS)
def test_pipes(sources, tmp_path, kind):
    for path in sorted(path.relative_to(sources / kind) for path in (sources / kind).rglob("*") if path.is_file()):
        shutil.copytree(sources / kind, tmp_path / "source")
        (tmp_path / "source" / path).unlink()
        os.mkfifo(tmp_path / "source" / path)
        _, error = outcome(lambda: whole(tmp_path / "source"), path)
        assert error is None or str(tmp_path) in str(error)
        shutil.rmtree(tmp_path / "source")
