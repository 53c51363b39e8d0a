"""The files in which numba keeps compiled kernels, checked before it reads them.

numba trusts its cache: a truncated file is an error at import, and a flipped bit is machine code. So this package keeps
a checksum of each of these files beside them. Files without the right one are removed, and numba compiles again.

The files are pickles and machine code. They are only ever in the directory that numba chose for the source of the
kernels, beside it or in the user's own cache directory, and never in the directory of an index. A checksum finds damage
and not forgery: who can write there can already change the source.
"""

from __future__ import annotations

import json
import logging
import re
import sys
import zlib
from pathlib import Path
from typing import TYPE_CHECKING
from uuid import uuid4

if TYPE_CHECKING:
    import os

__all__ = ["KernelCache"]

_logger = logging.getLogger(__name__)
_PYTHON = f"py{sys.version_info[0]}{sys.version_info[1]}{getattr(sys, 'abiflags', '')}"


class KernelCache:
    """The cache files of one module.

    Args:
        directory: Where numba keeps them; None where it finds no place.
        module: The name of the module's file, without its suffix.

    Attributes:
        is_usable: Whether numba may read them.
        is_full: Whether one could not be written.
    """

    def __init__(self, directory: str | os.PathLike[str] | None, module: str) -> None:
        self.is_usable = directory is not None
        self.is_full = False
        self._directory = Path(directory or "")
        self._checksums = self._directory / f"{module}.{_PYTHON}.checksums.json"
        self._names = re.compile(rf"{re.escape(module)}\.(?P<kernel>\w+)-\d+\.{re.escape(_PYTHON)}(\.\d+)?\.nb[ic]")
        if self.is_usable:
            try:
                self._remove_damaged()
            except OSError as error:
                self.is_usable = False
                self._warn(error)

    def helps(self, kernel: str) -> bool:
        """Whether the kernel may be read from the cache, or written to it."""
        return self.is_usable and not (self.is_full and not any(self._files(kernel)))

    def write_failed(self, reason: OSError) -> None:
        """Write no more files. Kernels that have theirs are still read."""
        if not self.is_full:
            self._warn(reason)
        self.is_full = True

    def _warn(self, reason: OSError) -> None:
        _logger.warning(
            "Compiled kernels cannot be kept in %s (%s), so each process compiles them again, which takes some "
            "seconds. Free space there, or name a writable directory in NUMBA_CACHE_DIR.",
            self._directory,
            reason,
        )

    def record(self) -> None:
        """Write the checksums of the files as they are now."""
        if not self.is_usable:
            return
        unfinished = self._checksums.with_name(f"{self._checksums.name}.{uuid4().hex[:16]}")
        try:
            found = {path.name: _checksum(path) for path in self._files()}
            if found != self._recorded():
                unfinished.write_text(json.dumps(found))
                unfinished.replace(self._checksums)
        except OSError as error:
            self.write_failed(error)
            unfinished.unlink(missing_ok=True)

    def _remove_damaged(self) -> None:
        recorded = self._recorded()
        for path in self._files():
            try:
                is_sound = recorded.get(path.name) == _checksum(path)
            except FileNotFoundError:  # replaced by another process
                continue
            except OSError:
                is_sound = False
            if not is_sound:
                path.unlink(missing_ok=True)

    def _files(self, kernel: str | None = None) -> list[Path]:
        """The files of a kernel, or of all, that numba may read."""
        if not self._directory.is_dir():
            return []
        matches = ((path, self._names.fullmatch(path.name)) for path in sorted(self._directory.iterdir()))
        return [path for path, match in matches if match and kernel in (None, match["kernel"])]

    def _recorded(self) -> dict[str, list[int]]:
        try:
            recorded = json.loads(self._checksums.read_bytes())
        except (OSError, ValueError, RecursionError):
            return {}
        return recorded if isinstance(recorded, dict) else {}


def _checksum(path: Path) -> list[int]:
    """The size of a file and its CRC-32."""
    content = path.read_bytes()
    return [len(content), zlib.crc32(content)]
