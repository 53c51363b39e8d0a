"""Check the files in which numba keeps compiled kernels before numba reads them.

numba trusts its cache: a truncated file raises an error at import, and a flipped bit runs as machine code. So this
package keeps a checksum of each file. A file without a matching checksum is removed, and numba compiles it again.

The files contain pickles and machine code. They are only ever in the directory that numba chose for the source of the
kernels: beside it or in the user's own cache directory, never in the directory of an index. A checksum detects damage,
not forgery: anyone who can write there can already change the source.
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
        directory: Where numba keeps the files; None where it found no writable directory.
        module: The name of the module's file, without its suffix.

    Attributes:
        is_usable: Whether numba may read the files.
        is_full: Whether a file could not be written.
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
        """Return whether the kernel may be read from the cache or written to it."""
        return self.is_usable and not (self.is_full and not any(self._files(kernel)))

    def write_failed(self, reason: OSError) -> None:
        """Stop writing files. Kernels that are in the cache are still read."""
        if not self.is_full:
            self._warn(reason)
        self.is_full = True

    def _warn(self, reason: OSError) -> None:
        _logger.warning(
            "Compiled kernels cannot be written to %s (%s), so each process compiles them again, which takes a few "
            "seconds. Free space there, or set NUMBA_CACHE_DIR to a writable directory.",
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
        """Return the files of a kernel, or of all kernels, that numba may read."""
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
    """Return the size of a file in bytes and its CRC-32."""
    content = path.read_bytes()
    return [len(content), zlib.crc32(content)]
