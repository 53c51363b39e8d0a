"""Pickles of strings and numbers are read without unpickling, and nothing else is."""

from __future__ import annotations

import pickle
import tracemalloc
from pathlib import Path

import numpy as np
import pytest

from late_interaction.errors import CorruptIndexError
from late_interaction.importers import plain_pickles
from late_interaction.importers.plain_pickles import parsed_pickle, read_pickle

PATH = Path("ids.pkl")
SAME = "the same object"
VALUES = [
    "",
    "é" * 300,
    "x" * 70_000,
    0,
    255,
    65_535,
    -1,
    2**31,
    -(2**70),
    {},
    {0: "a"},
    {"a": 0, "b": 300, "c": 70_000},
    {number: f"doc-{number}" for number in range(2500)},
    dict.fromkeys(range(600), SAME),
]


@pytest.mark.parametrize("protocol", [2, 3, 4, 5])
@pytest.mark.parametrize("value", VALUES, ids=range(len(VALUES)))
def test_values_are_those_that_were_pickled(value, protocol):
    assert parsed_pickle(PATH, pickle.dumps(value, protocol)) == value


def test_files_of_many_blocks(tmp_path):
    value = {number: f"document {number} of many" for number in range(60_000)}
    (tmp_path / "ids.pkl").write_bytes(pickle.dumps(value))
    assert read_pickle(tmp_path, "ids.pkl") == value


class Canary:
    """Makes a file when it is unpickled."""

    def __init__(self, path):
        self.path = path

    def __reduce__(self):
        return open, (str(self.path), "w")


def test_nothing_is_run(tmp_path):
    for value in (Canary(tmp_path / "made"), {0: Canary(tmp_path / "made")}):
        with pytest.raises(CorruptIndexError, match=r"ids\.pkl is not a pickle of strings and numbers alone"):
            parsed_pickle(PATH, pickle.dumps(value))
    assert not (tmp_path / "made").exists()


OTHERS = [None, True, 1.5, b"a", [1], (1, 2), {1}, {0: {}}, {0: (1,)}, {None: 1}, np.int64(1), np.str_("a"), "a\ud800"]


@pytest.mark.parametrize("value", OTHERS, ids=range(len(OTHERS)))
def test_other_values_are_refused(value):
    with pytest.raises(CorruptIndexError):
        parsed_pickle(PATH, pickle.dumps(value))


@pytest.mark.parametrize("value", [{0: "a"}, "a", 1])
def test_pickles_of_text_are_refused(value):
    with pytest.raises(CorruptIndexError):
        parsed_pickle(PATH, pickle.dumps(value, 0))


@pytest.mark.parametrize("protocol", [2, 4])
def test_truncated_pickles_are_refused(protocol):
    content = pickle.dumps({0: "a", 1: "b" * 300, 70_000: "a"}, protocol)
    for end in range(len(content)):
        with pytest.raises(CorruptIndexError):
            parsed_pickle(PATH, content[:end])
    with pytest.raises(CorruptIndexError):
        parsed_pickle(PATH, content + b"x")


def test_damaged_pickles_are_refused_or_plain():
    content = bytearray(pickle.dumps({0: "first", 300: "second", 70_000: "first"}))
    rng = np.random.default_rng(0)
    refused = 0
    for _ in range(3000):
        damaged = bytearray(content)
        for place in rng.integers(0, len(content), rng.integers(1, 4)):
            damaged[place] = rng.integers(256)
        try:
            value = parsed_pickle(PATH, bytes(damaged))
        except CorruptIndexError:
            refused += 1
        else:
            items = [value] if not isinstance(value, dict) else [*value, *value.values()]
            assert all(type(item) in (str, int) for item in items)
    assert 1000 < refused < 3000


@pytest.mark.parametrize("instructions", [b"}" * 2, b"}K\x00}s", b"}q\x01", b"}(}u"])
def test_values_are_neither_nested_nor_numbered_at_will(instructions):
    with pytest.raises(CorruptIndexError):
        parsed_pickle(PATH, b"\x80\x04" + instructions + b".")


def test_memory_is_bounded_by_the_number_of_instructions():
    tracemalloc.start()
    try:
        assert parsed_pickle(PATH, b"\x80\x04}" + b"\x94" * 100_000 + b".") == {}
        assert tracemalloc.get_traced_memory()[1] < 2_000_000
    finally:
        tracemalloc.stop()


def test_large_files_are_refused(tmp_path, monkeypatch):
    monkeypatch.setattr(plain_pickles, "_MAX_BYTES", 40)
    (tmp_path / "ids.pkl").write_bytes(pickle.dumps({0: "a" * 40}))
    with pytest.raises(CorruptIndexError, match="too large"):
        read_pickle(tmp_path, "ids.pkl")


def test_lengths_beyond_the_file_take_no_memory():
    for opcode in (b"\x8d" + b"\xff" * 8, b"X\xff\xff\xff\xff", b"\x8d" + (2**20).to_bytes(8, "little")):
        with pytest.raises(CorruptIndexError):
            parsed_pickle(PATH, b"\x80\x04" + opcode + b"abc.")
