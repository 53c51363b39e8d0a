"""What compiled kernels take: anything else is refused before it is read, and what they refer to before it is kept."""

from __future__ import annotations

import re

import numba as nb
import numpy as np
import pytest

from late_interaction.engines.local.kernels import kernels_of
from late_interaction.engines.local.kernels.compilation import Compiler, readable

DIM = 3


def arguments(**others):
    """What `maxsim_sums` takes for two documents."""
    usual = {
        "query": np.ones((2, DIM), np.float32),
        "vectors": np.ones((4, DIM), np.float16).view(np.uint16),
        "offsets": np.array([0, 1, 4], np.int64),
        "documents": np.arange(2),
        "wide": np.empty((4, DIM), np.float32),
        "best": np.empty(2, np.float32),
        "sums": np.full(2, np.nan, np.float32),
    }
    return {**usual, **others}


def run(given):
    kernels_of("late_interaction.engines.local.search").maxsim_sums(*given.values())
    return given["sums"].tolist()


def frozen(array):
    array.flags.writeable = False
    return array


def test_what_it_takes():
    assert run(arguments()) == [2.0 * DIM] * 2


@pytest.mark.parametrize("name", ["query", "vectors", "offsets", "documents"])
def test_an_array_that_is_only_read_may_be_read_only(name):
    assert run(arguments(**{name: frozen(arguments()[name])})) == [2.0 * DIM] * 2


def test_an_equal_type_that_is_another_object():
    strange = np.dtype(np.float32, metadata={"a": 1})
    assert strange is not np.dtype(np.float32)
    given = arguments(query=np.ones((2, DIM), strange), best=np.empty(2, strange))
    assert run(given) == [2.0 * DIM] * 2


class Subclass(np.ndarray):
    """As `np.memmap` is one."""


def test_a_subclass_of_arrays():
    assert run(arguments(documents=np.arange(2).view(Subclass))) == [2.0 * DIM] * 2


@pytest.mark.parametrize(
    ("name", "value", "message"),
    [
        ("query", np.ones((2, DIM)), "query must be an array of float32 with 2 dimension"),
        ("query", np.ones((2, DIM), ">f4"), "query must be an array of float32"),
        ("query", np.ones((DIM, 2), np.float32).T, "got float32 with 2 dimension(s) and flags ALIGNED, WRITEABLE"),
        ("query", np.ones(2, np.float32), "got float32 with 1 dimension(s)"),
        ("vectors", np.ones((4, DIM), np.float16), "vectors must be an array of uint16"),
        ("vectors", np.zeros(25, np.uint8)[1:].view(np.uint16).reshape(4, DIM), "got uint16 with 2 dimension(s)"),
        ("offsets", [0, 1, 4], "int64 with 1 dimension(s), C-contiguous and aligned, got list"),
        ("documents", None, "got NoneType"),
        ("sums", frozen(np.empty(2, np.float32)), "sums must be an array of float32 with 1 dimension(s), "),
        ("sums", np.empty(4, np.float32)[::2], "aligned and writable, got float32"),
    ],
)
def test_what_it_does_not_take(name, value, message):
    with pytest.raises(TypeError, match=re.escape(message)):
        run(arguments(**{name: value}))


def test_the_number_of_arguments():
    with pytest.raises(TypeError, match=r"maxsim_sums takes 7 arguments, got 1\."):
        kernels_of("late_interaction.engines.local.search").maxsim_sums(np.empty(2))


@pytest.fixture
def compiler(tmp_path):
    (tmp_path / "compiled.py").touch()
    return Compiler(str(tmp_path / "compiled.py"), {})


def test_scalars_and_results(compiler):
    @compiler.kernel(nb.float64(nb.int64, nb.uint8, nb.float32, nb.boolean))
    def joined(whole, small, real, is_negative):
        found = whole + small + real
        return -found if is_negative else found

    @compiler.kernel(nb.boolean(readable(nb.boolean)))
    def first(flags):
        return flags[0]

    compiler.finish()
    assert joined(2**33, np.uint8(200), 0.5, True) == -(2**33) - 200.5
    assert joined(np.int64(-1), 1, np.float32(0.5), np.bool_(False)) == 0.5
    assert first(np.array([True, False])) is True
    with pytest.raises(TypeError, match="cannot be interpreted as an integer"):
        joined(0.5, 1, 0.5, False)


def test_a_kernel_that_needs_more_than_its_arguments_is_refused(compiler):
    """LLVM would end the process when it loads such code."""

    @compiler.kernel(nb.void(nb.int64[::1]))
    def allocates(numbers):
        numbers[0] = np.zeros(len(numbers), np.int64)[0]

    with pytest.raises(TypeError, match=r"The kernel allocates refers to .*NRT_.* must not allocate memory"):
        compiler.finish()
