"""The progress bar of an update: passages or pages out of an estimated total, their rate, and the time left."""

from __future__ import annotations

from typing import TYPE_CHECKING

from tqdm import tqdm

if TYPE_CHECKING:
    from collections.abc import Mapping
    from types import TracebackType

    from typing_extensions import Self

__all__ = ["Progress"]

_WITH_TOTAL = "{desc}: {percentage:3.0f}%|{bar}| {n_fmt}/{total_fmt}{unit} [{elapsed}<{remaining}, {rate_noinv_fmt}]"
_WITHOUT_TOTAL = "{desc}: {n_fmt}{unit} [{elapsed}, {rate_noinv_fmt}]"


class Progress:
    """A progress bar on standard error. A context manager.

    Args:
        expected: About how many passages each file has, by the ``source`` of its passages. Files that were read correct
            the estimate of the others. Empty if nothing is known: then the bar has no total.
        unit: ``passages`` or ``pages``.
        is_shown: Whether to show it.
    """

    def __init__(self, expected: Mapping[str, int], unit: str, *, is_shown: bool) -> None:
        self._expected = dict(expected)  # of the files that were not begun yet
        self._left = sum(self._expected.values())
        self._finished = self._finished_expected = 0  # passages of finished files, as read and as expected
        self._file: str | None = None  # that is being read
        self._file_read = self._file_expected = 0
        self._bar = tqdm(
            desc="Indexing",
            total=self._left or None,
            unit=f" {unit}",
            disable=not is_shown,
            bar_format=_WITH_TOTAL if self._left else _WITHOUT_TOTAL,
        )

    def read(self, source: str) -> None:
        """Note the next passage that was read, by its source. The passages of a file come one after the other."""
        if source != self._file:
            self._finished += self._file_read
            self._finished_expected += self._file_expected
            self._file, self._file_read = source, 0
            self._file_expected = self._expected.pop(source, 0)
            self._left -= self._file_expected
        self._file_read += 1
        if self._bar.total is not None:
            factor = self._finished / self._finished_expected if self._finished_expected else 1.0
            file = max(self._file_read, round(factor * self._file_expected))
            self._bar.total = self._finished + file + round(factor * self._left)

    def done(self, number: int) -> None:
        """Note passages that are stored, or will be when the current batch is committed."""
        self._bar.update(number)

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, traceback: TracebackType | None
    ) -> None:
        if kind is None and self._bar.total is not None:
            self._bar.total = self._finished + self._file_read  # exact now
            self._bar.refresh()
        self._bar.close()
