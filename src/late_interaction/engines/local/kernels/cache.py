"""Keep compiled kernels on disk, and read only what is undamaged and still right.

A file contains the object code of the kernels of one module, and what it was made from. It is in the directory
``NUMBA_CACHE_DIR``, if that is set; otherwise beside the source or, where that cannot be written, in the user's own
cache directory; never in the directory of an index. A checksum detects damage, not forgery: anyone who can write there
can already change the source. Nothing in a file is executed before its checksum was compared.
"""

from __future__ import annotations

import hashlib
import json
import logging
import os
import sys
from contextlib import suppress
from pathlib import Path
from typing import TYPE_CHECKING, Any, NamedTuple
from uuid import uuid4

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

__all__ = ["Code", "CodeCache"]

_logger = logging.getLogger(__name__)
_MAGIC = b"late-interaction kernels 1\n"
_DIGEST_BYTES = 32


class Code(NamedTuple):
    """The compiled kernels of a module.

    Attributes:
        kernels: By name, the arguments and the result of each kernel, as JSON values.
        object_code: What LLVM emitted.
    """

    kernels: Mapping[str, Any]
    object_code: bytes


class CodeCache:
    """Where the compiled kernels of one module are kept.

    Args:
        source: The file of the module.
        origin: What the compiled kernels depend on, besides the content of the source.
    """

    def __init__(self, source: Path, origin: Sequence[str]) -> None:
        self._source = source
        self._origin = _digest("\n".join(origin).encode())[:16].hex()

    def read(self) -> Code | None:
        """Return what is kept; None if there is nothing, or only what is damaged or was made from other sources."""
        for directory in self._directories():
            path = directory / self._name()
            try:
                content = path.read_bytes()
            except OSError:
                continue
            if (code := _parsed(content)) is not None:
                return code
            with suppress(OSError):
                path.unlink()
        return None

    def write(self, code: Code) -> None:
        """Keep compiled kernels instead of those of older sources. Warn if they cannot be kept."""
        content = _serialized(code)
        failures = []
        for directory in self._directories():
            try:
                directory.mkdir(mode=0o700, parents=True, exist_ok=True)
                self._replace(directory, content)
            except OSError as error:
                failures.append(f"{directory} ({error.strerror or error})")
            else:
                return
        _logger.warning(
            "Compiled kernels cannot be written to %s, so each process compiles them again, which takes a few seconds. "
            "Free space there, or set NUMBA_CACHE_DIR to a writable directory.",
            " or ".join(failures),
        )

    def _replace(self, directory: Path, content: bytes) -> None:
        path = directory / self._name()
        unfinished = path.with_name(f"{path.name}.{uuid4().hex[:16]}")
        try:
            unfinished.write_bytes(content)
            unfinished.replace(path)
        except OSError:
            with suppress(OSError):
                unfinished.unlink(missing_ok=True)
            raise
        for older in directory.glob(f"{self._source.stem}.{self._origin}.*.kernels"):
            if older != path:
                with suppress(OSError):  # another process removed it
                    older.unlink(missing_ok=True)

    def _name(self) -> str:
        return f"{self._source.stem}.{self._origin}.{_digest(self._source.read_bytes())[:12].hex()}.kernels"

    def _directories(self) -> list[Path]:
        """Return the directories to look in, the first that can be written being the one to write to."""
        folder = self._source.parent
        of_source = f"{folder.name}_{_digest(os.fsencode(folder))[:8].hex()}"
        shared = [os.environ.get("NUMBA_CACHE_DIR"), _user_directory()]
        given, of_user = (None if one is None else Path(one) / of_source for one in (one or None for one in shared))
        return [one for one in (given, folder / "__pycache__", of_user) if one is not None]


def _user_directory() -> str | None:
    """Return the directory of this user for what can be made again; None if the user has no home directory."""
    home = os.path.expanduser("~")  # noqa: PTH111  # `Path.home` raises an error if there is none
    if sys.platform == "win32":
        base = os.environ.get("LOCALAPPDATA") or home
    elif sys.platform == "darwin":
        base = f"{home}/Library/Caches"
    else:
        base = os.environ.get("XDG_CACHE_HOME") or f"{home}/.cache"
    return f"{base}/late-interaction/kernels" if os.path.isabs(base) else None  # noqa: PTH117  # of a string


def _serialized(code: Code) -> bytes:
    header = json.dumps(code.kernels).encode()
    content = len(header).to_bytes(8, "little") + header + code.object_code
    return _MAGIC + _digest(content) + content


def _parsed(content: bytes) -> Code | None:
    start = len(_MAGIC) + _DIGEST_BYTES
    body = content[start:]
    if content[:start] != _MAGIC + _digest(body):
        return None
    length = 8 + int.from_bytes(body[:8], "little")
    return Code(json.loads(body[8:length]), body[length:])


def _digest(content: bytes) -> bytes:
    return hashlib.blake2b(content, digest_size=_DIGEST_BYTES).digest()
