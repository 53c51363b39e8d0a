"""Compile the kernels of a module with numba, each for the types that its signature names, and keep the machine code.

Kernels are compiled once per machine, when their module is first imported. numba keeps the result on disk (see
`cache`), beside the source or, where that cannot be written, in the user's cache directory. A file that is damaged or
cannot be written is compiled again.
"""

from __future__ import annotations

from pathlib import Path
from types import FunctionType
from typing import TYPE_CHECKING, Any

import numba as nb

from late_interaction.engines.local.kernels.cache import KernelCache

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping

__all__ = ["Compiler", "readable"]


class Compiler:
    """Compiles the kernels of one module, which calls `finish` after the last.

    Args:
        source: ``__file__`` of the module.
        options: Options of numba for every kernel. They are written in the module itself: numba compiles a kernel again
            when the file that contains it has changed, and looks at no other file.

    Attributes:
        cache: The files in which numba keeps the kernels.
    """

    def __init__(self, source: str, options: Mapping[str, Any]) -> None:
        self.cache = KernelCache(_cache_directory(source), Path(source).stem)
        self._options = dict(options)

    def kernel(self, signature: Any, **options: Any) -> Callable[[Any], Any]:
        """Return a decorator that compiles a function for one signature, or loads what was compiled before."""
        options = {**self._options, **options}

        def compiled(function: Any) -> Any:
            if self.cache.helps(function.__name__):
                try:
                    return nb.njit([signature], cache=True, **options)(function)
                except OSError as error:  # the disk is full, for example
                    self.cache.write_failed(error)
            return nb.njit([signature], **options)(function)

        return compiled

    def finish(self) -> None:
        """Record the checksums of the cache files."""
        self.cache.record()


def readable(kind: Any, dimensions: int = 1) -> Any:
    """Return the type of a C-ordered array that may be read-only, as columns mapped from files are."""
    return nb.types.Array(kind, dimensions, "C", readonly=True)


def _cache_directory(source: str) -> str | None:
    """Return the directory in which numba keeps compiled code of this file; None if it finds no place."""
    probe = FunctionType((lambda: None).__code__.replace(co_filename=source), globals())
    try:
        return str(nb.njit(cache=True)(probe).stats.cache_path)
    except (RuntimeError, OSError):
        return None
