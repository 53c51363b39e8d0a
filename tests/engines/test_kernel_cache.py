"""The compiled kernels that are kept on disk: whatever has become of the files, kernels compute the right results."""

from __future__ import annotations

import json
import os
import subprocess
import sys

import pytest

from late_interaction.engines.local.kernels.cache import Code, CodeCache
from tests.engines.helpers import CHILD_ENVIRONMENT

SOURCE = """
from __future__ import annotations
import numba as nb
from late_interaction.engines.local.kernels.compilation import Compiler, readable
__all__ = ["total"]
_compiler = Compiler(__file__, {})
@_compiler.kernel(nb.int64(readable(nb.int64), nb.int64))
def total(numbers, factor):
    found = nb.int64(0)
    for number in numbers:
        found += number
    return factor * found
_compiler.finish()
"""
CHILD = """
import json, os, resource, sys
import numpy as np
from late_interaction.engines.local.kernels import kernels_of
unlimited = resource.getrlimit(resource.RLIMIT_FSIZE)
if sys.argv[1:]:
    resource.setrlimit(resource.RLIMIT_FSIZE, (int(sys.argv[1]), unlimited[1]))
total = kernels_of("tiny").total
resource.setrlimit(resource.RLIMIT_FSIZE, unlimited)
child = os.fork()
if not child:
    os._exit(total(np.arange(4), 3))
in_child = os.waitstatus_to_exitcode(os.waitpid(child, 0)[1])
print(json.dumps([total(np.arange(5), 2), in_child, "numba" in sys.modules]))
"""


@pytest.fixture
def package(tmp_path):
    """A package with one kernel."""
    (tmp_path / "tiny").mkdir()
    (tmp_path / "tiny" / "__init__.py").touch()
    (tmp_path / "tiny" / "compiled.py").write_text(SOURCE)
    return tmp_path


def start(package, *arguments, **environment):
    paths = os.pathsep.join([str(package), *filter(None, [CHILD_ENVIRONMENT.get("PYTHONPATH")])])
    settings = {**CHILD_ENVIRONMENT, "PYTHONPATH": paths, "XDG_CACHE_HOME": str(package / "user"), **environment}
    if "NUMBA_CACHE_DIR" not in environment:
        settings.pop("NUMBA_CACHE_DIR", None)
    command = [sys.executable, "-c", CHILD, *map(str, arguments)]
    return subprocess.Popen(command, env=settings, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True)


def finished(process):
    """Whether a process compiled the kernel, and what it wrote to its standard error; its results are right."""
    output, errors = process.communicate(timeout=300)
    assert process.returncode == 0, errors[-3000:]
    *results, has_compiled = json.loads(output)
    assert results == [20, 18]
    return has_compiled, errors


def kept(package):
    """The files of the cache, wherever they are."""
    return [path for path in sorted(package.rglob("*.kernels*")) if path.is_file()]


def test_a_second_process_compiles_nothing_unless_the_source_or_the_file_changed(package):
    assert finished(start(package)) == (True, "")
    assert finished(start(package)) == (False, "")
    (path,) = kept(package)
    assert path.parent == package / "tiny" / "__pycache__"
    content = bytearray(path.read_bytes())
    content[-100] ^= 1  # in machine code, where it may do anything
    path.write_bytes(content)
    assert finished(start(package)) == (True, "")
    assert finished(start(package)) == (False, "")
    (package / "tiny" / "compiled.py").write_text(SOURCE.replace("nb.int64(0)", "nb.int64(0) * 2"))
    assert finished(start(package)) == (True, "")
    (newer,) = kept(package)
    assert newer != path


def test_what_users_ask_of_numba_for_their_own_code(package):
    """Such as to measure the coverage of functions that are not compiled, or to look for errors in them."""
    users = dict.fromkeys(("NUMBA_DISABLE_JIT", "NUMBA_BOUNDSCHECK", "NUMBA_DEBUGINFO"), "1")
    assert finished(start(package, **users)) == (True, "")
    assert finished(start(package)) == (False, "")


@pytest.mark.slow
def test_processes_that_compile_at_once(package):
    assert [finished(process) for process in [start(package), start(package)]] == [(True, "")] * 2
    assert len(kept(package)) == 1
    assert finished(start(package)) == (False, "")


def test_a_full_disk(package):
    has_compiled, errors = finished(start(package, 100))
    assert has_compiled
    assert errors.count("cannot be written") == 1
    assert "set NUMBA_CACHE_DIR" in errors
    assert not kept(package)


@pytest.mark.slow
def test_a_directory_of_the_user(package):
    """Where `NUMBA_CACHE_DIR` says, or else in the user's cache directory if the source is in a directory of others."""
    (package / "tiny" / "__pycache__").touch()  # which cannot be a directory, even for root
    assert finished(start(package)) == (True, "")
    assert finished(start(package)) == (False, "")
    (path,) = kept(package)
    assert path.is_relative_to(package / "user" / "late-interaction" / "kernels") or sys.platform != "linux"
    given = package / "given"
    assert finished(start(package, NUMBA_CACHE_DIR=str(given))) == (False, "")  # found where it is
    path.unlink()
    assert finished(start(package, NUMBA_CACHE_DIR=str(given))) == (True, "")
    assert finished(start(package, NUMBA_CACHE_DIR=str(given))) == (False, "")
    assert kept(given) == kept(package)


CODE = Code({"total": [[["numbers", "int64", 1, False]], None]}, bytes(range(256)))


@pytest.fixture
def cache(tmp_path, monkeypatch):
    """The cache of a source, with compiled kernels in it."""
    monkeypatch.delenv("NUMBA_CACHE_DIR", raising=False)
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "user"))
    (tmp_path / "compiled.py").write_text("first")
    cache = CodeCache(tmp_path / "compiled.py", ["versions", "processor"])
    cache.write(CODE)
    return cache


def test_what_was_written_is_read(cache):
    assert cache.read() == CODE


def test_every_damage_is_noticed(cache, tmp_path):
    (path,) = kept(tmp_path)
    content = path.read_bytes()
    damaged = [content[:length] for length in (0, 1, 30, 100, len(content) - 1)]
    damaged += [content + b"0", b"\0" * len(content)]
    for bit in range(0, 8 * len(content), 5):
        flipped = bytearray(content)
        flipped[bit // 8] ^= 1 << bit % 8
        damaged.append(bytes(flipped))
    for one in damaged:
        path.write_bytes(one)
        assert cache.read() is None
        assert not path.exists()
    cache.write(CODE)
    assert cache.read() == CODE


def test_other_versions_keep_their_files_and_older_sources_do_not(cache, tmp_path):
    others = [tmp_path / "__pycache__" / name for name in ("compiled.cpython-311.pyc", "other.1.2.kernels")]
    for other in others:
        other.write_bytes(b"of others")
    other_versions = CodeCache(tmp_path / "compiled.py", ["other versions", "processor"])
    assert other_versions.read() is None
    other_versions.write(CODE._replace(object_code=b"other"))
    (tmp_path / "compiled.py").write_text("second")
    assert cache.read() is None
    cache.write(CODE)
    assert cache.read() == CODE
    (tmp_path / "compiled.py").write_text("first")
    assert cache.read() is None
    assert other_versions.read().object_code == b"other"
    assert all(other.exists() for other in others)


def test_a_damaged_file_that_cannot_be_removed_is_not_read(cache, tmp_path):
    (path,) = kept(tmp_path)
    path.unlink()
    path.mkdir()
    assert cache.read() is None
    cache.write(CODE)  # elsewhere
    assert cache.read() == CODE
