"""Files of a source are read as data, inside its folder, in bounded memory, or refused with their name."""

from __future__ import annotations

import gzip
import io
import json
import os
import pickle
import zipfile

import numpy as np
import pytest
import torch
from safetensors.torch import save_file

from late_interaction.errors import CorruptIndexError
from late_interaction.importers import files
from late_interaction.importers.arrays import open_npz, open_safetensors, read_npy
from late_interaction.importers.files import (
    file_names,
    has_file,
    open_file,
    read_gzip_json,
    read_json,
    read_lines,
)
from late_interaction.importers.torch_files import as_array, read_pt, read_tensor, read_tensors


class Canary:
    """Makes a file when it is unpickled."""

    def __init__(self, path):
        self.path = path

    def __reduce__(self):
        return open, (str(self.path), "w")


@pytest.fixture
def folder(tmp_path):
    made = tmp_path / "source"
    made.mkdir()
    return made


def array(rows=5, dim=4, dtype=np.float32):
    return np.random.default_rng(0).normal(size=(rows, dim)).astype(dtype)


def npy_header(length):
    header = io.BytesIO()
    np.lib.format.write_array_header_1_0(header, {"descr": "<f4", "fortran_order": False, "shape": (length,)})
    return header.getvalue()


class TestNames:
    @pytest.mark.parametrize("name", ["../x", "/etc/passwd", "a/../b", "a/b/c", "", "a\\b", "c:x", "a\0", "."])
    def test_outside_of_the_folder(self, folder, name):
        with pytest.raises(CorruptIndexError, match="not a name inside"), open_file(folder, name):
            pass

    def test_a_link_inside_is_followed_and_one_outside_is_not(self, folder, tmp_path):
        (folder / "real.json").write_text("{}")
        (tmp_path / "secret.json").write_text("{}")
        (folder / "inside.json").symlink_to("real.json")
        (folder / "outside.json").symlink_to(tmp_path / "secret.json")
        (folder / "below").symlink_to(tmp_path)
        assert read_json(folder, "inside.json", dict) == {}
        for name in ("outside.json", "below/secret.json"):
            with pytest.raises(CorruptIndexError, match="outside of the source"):
                read_json(folder, name, dict)

    @pytest.mark.skipif(not hasattr(os, "mkfifo"), reason="pipes are those of POSIX")
    def test_a_pipe(self, folder):
        os.mkfifo(folder / "pipe.json")
        with pytest.raises(CorruptIndexError, match="not a regular file"):
            read_json(folder, "pipe.json", dict)
        assert file_names(folder) == []

    def test_a_sparse_file(self, folder):
        with (folder / "x.npy").open("wb") as file:
            file.write(npy_header(2**36))
            file.truncate(file.tell() + 2**38)
        with pytest.raises(CorruptIndexError, match="sparse"):
            read_npy(folder, "x.npy")

    def test_missing(self, folder):
        assert not has_file(folder, "x")
        with pytest.raises(CorruptIndexError, match=r"x\.json is missing"):
            read_json(folder, "x.json", dict)


class TestJson:
    def test_what_it_contains(self, folder):
        (folder / "a.json").write_text('\ufeff{"a": 1}', "utf-8")
        (folder / "b.json.gz").write_bytes(gzip.compress(b"[1]"))
        assert read_json(folder, "a.json", dict) == {"a": 1}
        assert read_gzip_json(folder, "b.json.gz", list) == [1]

    @pytest.mark.parametrize(
        "content", [b"", b"{", b"[]", b"\xff", b'{"a": NaN}', b"[" * 100_000, b'{"a": ' + b"9" * 5_000 + b"}x"]
    )
    def test_damaged(self, folder, content):
        (folder / "a.json").write_bytes(content)
        (folder / "a.json.gz").write_bytes(gzip.compress(content))
        with pytest.raises(CorruptIndexError, match=r"a\.json "):
            read_json(folder, "a.json", dict)
        with pytest.raises(CorruptIndexError, match=r"a\.json\.gz "):
            read_gzip_json(folder, "a.json.gz", dict)

    def test_too_large(self, folder):
        (folder / "a.json").write_bytes(b'{"a": "' + b"x" * 2000 + b'"}')
        with pytest.raises(CorruptIndexError, match="too large"):
            read_json(folder, "a.json", dict, max_bytes=1000)

    def test_a_gzip_bomb(self, folder, monkeypatch):
        monkeypatch.setattr(files, "_MAX_JSON_BYTES", 1000)
        (folder / "a.json.gz").write_bytes(gzip.compress(b"[" + b" " * 30_000_000 + b"]"))
        with pytest.raises(CorruptIndexError, match="more than 1,000 bytes"):
            read_gzip_json(folder, "a.json.gz", list)

    def test_gzip_that_is_cut_or_changed(self, folder):
        whole = gzip.compress(json.dumps(list(range(2_000))).encode())
        for end in range(0, len(whole), 97):
            (folder / "a.json.gz").write_bytes(whole[:end])
            with pytest.raises(CorruptIndexError, match=r"a\.json\.gz"):
                read_gzip_json(folder, "a.json.gz", list)
        (folder / "a.json.gz").write_bytes(whole[:500] + b"\xff\xff" + whole[502:])
        with pytest.raises(CorruptIndexError, match=r"a\.json\.gz"):
            read_gzip_json(folder, "a.json.gz", list)

    def test_lines(self, folder):
        (folder / "ids.txt").write_bytes("\ufeffa\r\nü\n\nlast".encode())
        assert list(read_lines(folder, "ids.txt")) == ["a", "ü", "", "last"]
        (folder / "ids.txt").write_bytes(b"a\n\xff\n")
        with pytest.raises(CorruptIndexError, match="in line 2"):
            list(read_lines(folder, "ids.txt"))


class TestNpy:
    @pytest.mark.parametrize("dtype", ["float16", "float32", "float64"])
    @pytest.mark.parametrize("map_file", [True, False])
    def test_numbers(self, folder, dtype, map_file):
        given = array(dtype=dtype)
        np.save(folder / "a.npy", given)
        np.save(folder / "f.npy", np.asfortranarray(given))
        np.save(folder / "none.npy", given[:0])
        for name, expected in (("a.npy", given), ("f.npy", given), ("none.npy", given[:0])):
            found = read_npy(folder, name, shape=(None, 4), map_file=map_file)
            assert found.dtype == expected.dtype
            np.testing.assert_array_equal(found, expected)

    def test_other_numbers(self, folder):
        np.save(folder / "a.npy", array())
        with pytest.raises(CorruptIndexError, match="type int64, not float32"):
            read_npy(folder, "a.npy", dtypes=["int64"])
        with pytest.raises(CorruptIndexError, match=r"shape \(any, 5\), not \(5, 4\)"):
            read_npy(folder, "a.npy", shape=(None, 5))

    def test_a_claim_beyond_the_file(self, folder):
        with (folder / "a.npy").open("wb") as file:
            file.write(npy_header(4 * 10**12))
            file.write(bytes(64))
        with pytest.raises(CorruptIndexError, match="its header claims 16,000,000,000,"):
            read_npy(folder, "a.npy")

    def test_objects_do_not_run(self, folder, tmp_path):
        np.save(folder / "a.npy", np.array([Canary(tmp_path / "ran")], object), allow_pickle=True)
        with pytest.raises(CorruptIndexError, match="never loaded"):
            read_npy(folder, "a.npy")
        (folder / "b.npy").write_bytes(pickle.dumps(Canary(tmp_path / "ran")))
        with pytest.raises(CorruptIndexError, match=r"not an \.npy file"):
            read_npy(folder, "b.npy")
        assert not (tmp_path / "ran").exists()

    def test_cut_anywhere(self, folder):
        np.save(folder / "a.npy", array())
        whole = (folder / "a.npy").read_bytes()
        for end in range(0, len(whole), 7):
            (folder / "a.npy").write_bytes(whole[:end])
            with pytest.raises(CorruptIndexError, match=r"a\.npy"):
                read_npy(folder, "a.npy")


class TestNpz:
    @pytest.mark.parametrize("save", [np.savez, np.savez_compressed])
    def test_numbers(self, folder, save):
        save(folder / "a.npz", one=array(3), two=array(4))
        with open_npz(folder, "a.npz") as opened:
            assert opened.names == ("one", "two")
            np.testing.assert_array_equal(opened.read("two"), array(4))

    def test_objects_do_not_run(self, folder, tmp_path):
        np.savez(folder / "a.npz", one=np.array([Canary(tmp_path / "ran")], object))
        with open_npz(folder, "a.npz") as opened, pytest.raises(CorruptIndexError, match="never loaded"):
            opened.read("one")
        assert not (tmp_path / "ran").exists()

    def test_a_bomb(self, folder):
        with zipfile.ZipFile(folder / "a.npz", "w", zipfile.ZIP_DEFLATED) as archive:
            header = io.BytesIO()
            np.lib.format.write_array_header_1_0(header, {"descr": "<f4", "fortran_order": False, "shape": (2**30,)})
            archive.writestr("a.npy", header.getvalue() + bytes(1000))
            np.lib.format.write_array_header_1_0(
                header := io.BytesIO(), {"descr": "<f4", "fortran_order": False, "shape": (4,)}
            )
            archive.writestr("b.npy", header.getvalue() + bytes(30_000_000))
        with open_npz(folder, "a.npz") as opened:
            with pytest.raises(CorruptIndexError, match="at most"):
                opened.read("a")
            with pytest.raises(CorruptIndexError, match="another size"):
                opened.read("b")

    def test_cut_or_changed(self, folder):
        np.savez_compressed(folder / "a.npz", one=array(50))
        whole = (folder / "a.npz").read_bytes()
        for end in range(0, len(whole), 61):
            (folder / "a.npz").write_bytes(whole[:end])
            with pytest.raises(CorruptIndexError, match=r"a\.npz"), open_npz(folder, "a.npz"):
                pass
        (folder / "a.npz").write_bytes(whole[:200] + bytes([whole[200] ^ 255]) + whole[201:])
        with open_npz(folder, "a.npz") as opened, pytest.raises(CorruptIndexError, match=r"a\.npz/one"):
            opened.read("one")


class TestSafetensors:
    def test_numbers(self, folder):
        given = {
            "half": torch.from_numpy(array(dtype=np.float16)),
            "bfloat": torch.from_numpy(array()).to(torch.bfloat16),
            "none": torch.empty(0, 4),
        }
        save_file(given, folder / "a.safetensors", metadata={"made": "here"})
        with open_safetensors(folder, "a.safetensors") as opened:
            assert sorted(opened.names) == sorted(given)
            found = {name: opened.read(name) for name in opened.names}
        for name, tensor in given.items():
            np.testing.assert_array_equal(found[name].astype(np.float32), tensor.float().numpy())

    def test_cut_anywhere(self, folder):
        save_file({"a": torch.ones(3, 4), "b": torch.ones(2, 4)}, folder / "a.safetensors")
        whole = (folder / "a.safetensors").read_bytes()
        for end in range(0, len(whole), 11):
            (folder / "a.safetensors").write_bytes(whole[:end])
            with pytest.raises(CorruptIndexError, match=r"a\.safetensors"), open_safetensors(folder, "a.safetensors"):
                pass

    @pytest.mark.parametrize(
        "entry",
        [
            {"dtype": "F32", "shape": [10**12], "data_offsets": [0, 4 * 10**12]},
            {"dtype": "F32", "shape": [-1, -4], "data_offsets": [0, 16]},
            {"dtype": "F32", "shape": [4], "data_offsets": [-16, 0]},
            {"dtype": "F99", "shape": [4], "data_offsets": [0, 16]},
            {"dtype": ["F32"], "shape": [4], "data_offsets": [0, 16]},
            {"dtype": "F32", "shape": [4.0], "data_offsets": [0, 16]},
            {"dtype": "F32", "shape": [4]},
            [],
        ],
    )
    def test_claims(self, folder, entry):
        header = json.dumps({"a": entry}).encode()
        (folder / "a.safetensors").write_bytes(len(header).to_bytes(8, "little") + header + bytes(16))
        with pytest.raises(CorruptIndexError, match=r"a\.safetensors"), open_safetensors(folder, "a.safetensors"):
            pass


class TestPt:
    @pytest.mark.parametrize("map_file", [True, False])
    def test_numbers(self, folder, map_file):
        tensors = [torch.from_numpy(array(rows)).to(torch.bfloat16) for rows in (2, 3)]
        torch.save(tensors, folder / "list.pt")
        torch.save(torch.arange(5, dtype=torch.int32), folder / "one.pt")
        torch.save({"a": torch.ones(2, dtype=torch.uint8)}, folder / "dict.pt")
        torch.save((torch.ones(2), torch.zeros(3).half()), folder / "tuple.pt")
        found = read_tensors(folder, "list.pt", dtypes=["bfloat16"], shape=(None, 4), map_file=map_file)
        for got, expected in zip(found, tensors, strict=True):
            np.testing.assert_array_equal(got, expected.float().numpy())
        assert read_tensor(folder, "one.pt", dtypes=["int32"], shape=(5,)).tolist() == [0, 1, 2, 3, 4]
        assert as_array(read_pt(folder, "dict.pt")["a"]).tolist() == [1, 1]
        assert [len(one) for one in read_pt(folder, "tuple.pt")] == [2, 3]
        with pytest.raises(CorruptIndexError, match="type int64, not int32"):
            read_tensor(folder, "one.pt", dtypes=["int64"])

    def test_other_things(self, folder):
        for number, value in enumerate(["text", [1, 2], {1: torch.ones(1)}, [[torch.ones(1)]], torch.nn.Linear(2, 2)]):
            torch.save(value, folder / f"{number}.pt")
            with pytest.raises(CorruptIndexError, match=f"{number}.pt"):
                read_pt(folder, f"{number}.pt")

    def test_objects_do_not_run(self, folder, tmp_path):
        torch.save([Canary(tmp_path / "ran")], folder / "a.pt")
        (folder / "b.pt").write_bytes(pickle.dumps(Canary(tmp_path / "ran")))
        torch.save([Canary(tmp_path / "ran")], folder / "c.pt", _use_new_zipfile_serialization=False)
        for name in ("a.pt", "b.pt", "c.pt"):
            with pytest.raises(CorruptIndexError, match=name):
                read_pt(folder, name)
        assert not (tmp_path / "ran").exists()

    def test_more_numbers_than_bytes(self, folder):
        torch.save(torch.ones(1).expand(10**12, 4), folder / "strides.pt")
        shared = torch.ones(1000)
        torch.save([shared] * 1000, folder / "shared.pt")
        for name in ("strides.pt", "shared.pt"):
            with pytest.raises(CorruptIndexError, match="its tensors claim"):
                read_pt(folder, name)

    def test_compressed_members(self, folder):
        torch.save(torch.zeros(100_000), folder / "plain.pt")
        with zipfile.ZipFile(folder / "plain.pt") as source, zipfile.ZipFile(folder / "a.pt", "w", 8) as target:
            for member in source.infolist():
                target.writestr(member.filename, source.read(member))
        with pytest.raises(CorruptIndexError, match="compressed members"):
            read_pt(folder, "a.pt")

    def test_cut_or_changed(self, folder):
        torch.save([torch.ones(30, 4), torch.zeros(20, 4)], folder / "a.pt")
        whole = (folder / "a.pt").read_bytes()
        for end in range(0, len(whole), 131):
            (folder / "a.pt").write_bytes(whole[:end])
            with pytest.raises(CorruptIndexError, match=r"a\.pt"):
                read_pt(folder, "a.pt")
        for place in range(0, len(whole), 29):  # a bit of the numbers may change, nothing else happens
            (folder / "a.pt").write_bytes(whole[:place] + bytes([whole[place] ^ 16]) + whole[place + 1 :])
            try:
                read_pt(folder, "a.pt")
            except CorruptIndexError as error:
                assert "a.pt" in str(error)  # noqa: PT017
