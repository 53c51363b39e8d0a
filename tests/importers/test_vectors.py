"""A folder of token vectors in each accepted layout, and those that are refused."""

from __future__ import annotations

import json

import numpy as np
import pytest
import torch
from safetensors.torch import save_file

from late_interaction import Document
from late_interaction.errors import CorruptIndexError, InvalidRequestError
from late_interaction.importers.foreign import SourceOptions
from late_interaction.importers.formats import recognized
from late_interaction.importers.vectors import VECTORS
from tests.importers.sources import flat_folder, vectors

GIVEN = vectors(12)  # of 1 to 8 tokens


@pytest.fixture
def folder(tmp_path):
    made = tmp_path / "source"
    made.mkdir()
    return made


def opened(folder, documents=None):
    assert recognized(folder) is VECTORS
    return VECTORS.open(folder, SourceOptions(None if documents is None else lambda: iter(documents)))


def check(folder, ids, given=GIVEN, *, exactly=True):
    """All documents, and those from each position, have these ids and vectors."""
    index = opened(folder)
    assert (index.documents, index.tokens, index.dim) == (len(given), sum(map(len, given)), 16)
    for start in range(len(given) + 1):
        found = list(index.read(start))
        assert [document.id for document, _ in found] == ids[start:]
        for (_, got), expected in zip(found, given[start:], strict=True):
            assert got.dtype == np.float32
            np.testing.assert_allclose(got, expected, atol=0 if exactly else 1e-2)
    return index


NAMES = ["b", "a", "10", "9", "x.y", "ü", *(f"n{number}" for number in range(6))]
SORTED = ["9", "10", *sorted(set(NAMES) - {"9", "10"})]


class TestOneFileForEach:
    @pytest.mark.parametrize("dtype", ["float16", "float32", "float64"])
    def test_npy(self, folder, dtype):
        given = dict(zip(NAMES, GIVEN, strict=True))
        for name, one in given.items():
            np.save(folder / f"{name}.npy", one.astype(dtype))
        (folder / ".DS_Store").write_bytes(b"hidden")
        check(folder, SORTED, [given[name] for name in SORTED], exactly=dtype != "float16")

    def test_npz_and_safetensors(self, folder, tmp_path):
        other = tmp_path / "other"
        other.mkdir()
        given = dict(zip(NAMES, GIVEN, strict=True))
        for name, one in given.items():
            np.savez_compressed(folder / f"{name}.npz", vectors=one)
            save_file({"any": torch.from_numpy(one).to(torch.bfloat16)}, other / f"{name}.safetensors")
        check(folder, SORTED, [given[name] for name in SORTED])
        check(other, SORTED, [given[name] for name in SORTED], exactly=False)

    def test_one_document(self, folder):
        np.save(folder / "only.npy", GIVEN[3])
        check(folder, ["only"], [GIVEN[3]])

    @pytest.mark.parametrize(
        "wrong",
        [np.ones(16), np.ones((2, 8)), np.ones((2, 3, 16)), np.ones((2, 16), np.int64), np.ones((2, 16), np.complex64)],
    )
    def test_another_shape_or_type(self, folder, wrong):
        np.save(folder / "a.npy", GIVEN[0])
        np.save(folder / "b.npy", wrong)
        with pytest.raises(CorruptIndexError, match=r"b\.npy"):
            opened(folder)


class TestNamedArraysInOneFile:
    def test_npz(self, folder):
        np.savez(folder / "all.npz", **dict(zip(NAMES, GIVEN, strict=True)))
        check(folder, NAMES)

    def test_npz_with_one(self, folder):
        np.savez(folder / "all.npz", name=GIVEN[3])
        check(folder, ["name"], [GIVEN[3]])

    def test_safetensors(self, folder):
        tensors = {name: torch.from_numpy(one).half() for name, one in zip(NAMES, GIVEN, strict=True)}
        save_file(tensors, folder / "all.safetensors")
        found = [document.id for document, _ in opened(folder).read()]
        assert sorted(found) == sorted(NAMES)
        by_name = dict(zip(NAMES, GIVEN, strict=True))
        check(folder, found, [by_name[name] for name in found], exactly=False)

    def test_several_files_with_several_arrays(self, folder):
        for name in "ab":
            np.savez(folder / f"{name}.npz", x=GIVEN[0], y=GIVEN[1])
        with pytest.raises(CorruptIndexError, match="must contain one array"):
            opened(folder)


class TestOneArray:
    @pytest.mark.parametrize("lengths", ["doclens.npy", "doclens.json", "offsets.npy", "offsets.json"])
    def test_with_lengths(self, tmp_path, lengths):
        check(flat_folder(tmp_path / "flat", 12, lengths=lengths), [f"d{number}" for number in range(12)])

    def test_empty_documents(self, folder):
        given = [GIVEN[1], GIVEN[1][:0], GIVEN[2], GIVEN[1][:0]]
        np.save(folder / "v.npy", np.concatenate(given))
        (folder / "doclens.json").write_text(json.dumps([len(one) for one in given]))
        check(folder, ["0", "1", "2", "3"], given)

    def test_safetensors(self, folder):
        save_file({"v": torch.from_numpy(np.concatenate(GIVEN)).to(torch.bfloat16)}, folder / "v.safetensors")
        np.save(folder / "doclens.npy", [len(one) for one in GIVEN])
        (folder / "ids.txt").write_text("\n".join(NAMES) + "\n", "utf-8")
        check(folder, NAMES, exactly=False)

    def test_padded(self, folder):
        cube = np.zeros((12, 8, 16), np.float16)
        for row, one in zip(cube, GIVEN, strict=True):
            row[: len(one)] = one
        cube[5, 0] = 0  # a zero vector before others stays
        given = [
            one if number != 5 else np.concatenate([np.zeros((1, 16)), one[1:]]) for number, one in enumerate(GIVEN)
        ]
        np.save(folder / "v.npy", cube)
        index = check(folder, [str(number) for number in range(12)], given, exactly=False)
        padding = 12 * 8 - sum(map(len, GIVEN))
        assert any(f"{padding} zero vectors" in note for note in index.notes)
        np.save(folder / "doclens.npy", [8] * 12)
        assert opened(folder).tokens == 96
        assert not any("zero" in note for note in opened(folder).notes)

    @pytest.mark.parametrize(
        ("name", "values"),
        [
            ("doclens.json", [53]),
            ("doclens.json", [-1, 55]),
            ("doclens.json", [2**63, 1]),
            ("doclens.json", [1.5]),
            ("doclens.json", {"0": 54}),
            ("doclens.json", [True] * 54),
            ("doclens.json", [2**62 - 1, 2**62 - 1, 2**62 - 1, 2**62 - 1, 58]),
            ("offsets.json", [1, 54]),
            ("offsets.json", [0, 60, 54]),
            ("offsets.json", []),
            ("offsets.json", [0, 53]),
        ],
    )
    def test_lengths_that_do_not_fit(self, folder, name, values):
        np.save(folder / "v.npy", np.ones((54, 16), np.float32))
        (folder / name).write_text(json.dumps(values))
        with pytest.raises(CorruptIndexError, match=name.replace(".", r"\.")):
            opened(folder)

    def test_lengths_as_numbers_of_another_type(self, folder):
        np.save(folder / "v.npy", np.ones((5, 16), np.float32))
        for wrong in (np.array([5.0]), np.array([[5]]), np.array([-5]), np.array([2**64 - 1], np.uint64)):
            np.save(folder / "doclens.npy", wrong)
            with pytest.raises(CorruptIndexError, match=r"doclens\.npy"):
                opened(folder)


class TestIds:
    @pytest.mark.parametrize("ids", [["a"] * 12, ["a"] * 11, ["", *"bcdefghijkl"], [None] * 12, {}, [["a"]] * 12])
    def test_that_are_invalid(self, tmp_path, ids):
        folder = flat_folder(tmp_path / "flat", 12)
        (folder / "ids.json").write_text(json.dumps(ids))
        with pytest.raises(CorruptIndexError, match=r"ids\.json"):
            opened(folder)

    def test_integers(self, tmp_path):
        folder = flat_folder(tmp_path / "flat", 12)
        (folder / "ids.json").write_text(json.dumps(list(range(100, 112))))
        check(folder, [str(number) for number in range(100, 112)])

    def test_twice(self, tmp_path):
        folder = flat_folder(tmp_path / "flat", 12)
        (folder / "ids.txt").write_text("\n".join(NAMES))
        with pytest.raises(CorruptIndexError, match=r"ids\.json and ids\.txt"):
            opened(folder)


class TestDocuments:
    def test_in_the_folder(self, tmp_path):
        folder = flat_folder(tmp_path / "flat", 12)
        lines = [json.dumps({"text": f"text {number}", "metadata": {"n": number}}) for number in range(12)]
        (folder / "documents.jsonl").write_text("\n".join(lines))
        found = [document for document, _ in opened(folder).read(5)]
        assert found == [Document(f"text {n}", id=f"d{n}", metadata={"n": n}) for n in range(5, 12)]
        assert opened(folder).notes == ()
        (folder / "documents.jsonl").write_text("\n".join([*lines[:11], "{"]))
        with pytest.raises(CorruptIndexError, match=r"documents\.jsonl .*Line 12"):
            opened(folder)

    def test_in_another_order(self, tmp_path):
        folder = flat_folder(tmp_path / "flat", 12)
        given = [Document("text", id=f"d{number}") for number in reversed(range(12))]
        with pytest.raises(InvalidRequestError, match=r"id 'd11', and the vectors at its place 'd0'"):
            list(opened(folder, given).read())


class TestFolders:
    @pytest.mark.parametrize("name", ["README.md", "config.json", "model.bin", "metadata.json"])
    def test_with_other_files(self, folder, name):
        np.save(folder / "a.npy", GIVEN[0])
        (folder / name).write_text("{}")
        with pytest.raises(InvalidRequestError, match="no known kind"):
            recognized(folder)

    def test_with_arrays_of_two_types(self, folder):
        np.save(folder / "a.npy", GIVEN[0])
        np.savez(folder / "b.npz", GIVEN[0])
        with pytest.raises(CorruptIndexError, match="arrays of one type"):
            opened(folder)

    @pytest.mark.parametrize("shape", [(10**12, 0, 16), (10**12, 5, 0), (10**12, 0)])
    def test_that_claims_many_documents_without_a_byte(self, folder, shape):
        for name in "ab":
            np.save(folder / f"{name}.npy", np.empty(shape, np.float32))
            with pytest.raises(CorruptIndexError, match=r"a\.npy"):
                opened(folder)

    @pytest.mark.parametrize("shape", [(), (5,), (5, 0), (0,), (2, 3, 4, 5)])
    def test_with_an_array_of_no_vectors(self, folder, shape):
        np.save(folder / "v.npy", np.ones(shape, np.float32))
        (folder / "doclens.json").write_text("[5]")
        with pytest.raises(CorruptIndexError, match=r"v\.npy"):
            opened(folder)
