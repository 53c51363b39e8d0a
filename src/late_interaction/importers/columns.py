"""Token vectors of foreign indexes that store a code and a packed residual for each token."""

from __future__ import annotations

from dataclasses import dataclass
from functools import cached_property
from typing import TYPE_CHECKING, Any

import numpy as np

from late_interaction.importers.arrays import INTEGERS, read_npy
from late_interaction.importers.files import damaged
from late_interaction.importers.residuals import check_codec, check_tokens, decompress

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Mapping
    from pathlib import Path

    from numpy.typing import NDArray

__all__ = [
    "MAX_CHUNKS",
    "MAX_DOCUMENT_TOKENS",
    "Codec",
    "Columns",
    "CompressedIndex",
    "read_codec",
    "read_count",
    "read_integers",
]

MAX_CHUNKS = 1_000_000
MAX_DOCUMENT_TOKENS = 2**31
"""Tokens of a document are fewer, so that the sum of the documents of a file stays within 64 bits."""
_MAX_COUNT = 2**40
_BLOCK_TOKENS = 16_384
"""Tokens that are decompressed at a time, unless one document has more."""


@dataclass(frozen=True)
class Codec:
    """What all tokens of an index share.

    Attributes:
        centroids: (centroids, dim).
        bucket_weights: (2 ** nbits,) the residual that each bucket stands for.
        nbits: Bits per dimension.
    """

    centroids: NDArray[np.floating]
    bucket_weights: NDArray[np.floating]
    nbits: int

    @classmethod
    def checked(
        cls,
        centroids: NDArray[np.floating],
        bucket_weights: NDArray[np.floating],
        nbits: object,
        *,
        centroids_file: Path,
        weights_file: Path,
    ) -> Codec:
        """Make a codec of what a source says.

        Raises:
            CorruptIndexError: As for `check_codec`.
        """
        check_codec(centroids, bucket_weights, nbits, centroids_file=centroids_file, weights_file=weights_file)
        return cls(centroids, bucket_weights, nbits)  # type: ignore[arg-type]  # an int, as just checked

    @property
    def dim(self) -> int:
        """Dimension of the token vectors."""
        return int(self.centroids.shape[1])


@dataclass(frozen=True)
class Columns:
    """Codes and residuals of some documents, one after the other.

    Attributes:
        lengths: (documents,) their numbers of tokens.
        codes_file: Where the codes are from, for errors.
        residuals_file: Where the residuals are from, for errors.
        read: Returns the codes, (tokens,), and the residuals, (tokens, dim * nbits / 8). Files are mapped anew each
            time, since a source may have more of them than a process may hold open.
    """

    lengths: NDArray[np.int64]
    codes_file: Path
    residuals_file: Path
    read: Callable[[], tuple[NDArray[np.integer], NDArray[np.uint8]]]

    @cached_property
    def _starts(self) -> NDArray[np.int64]:
        """Where the tokens of each document begin, (documents,)."""
        starts: NDArray[np.int64] = np.cumsum(self.lengths) - self.lengths
        return starts

    def vectors(self, codec: Codec, places: NDArray[np.integer]) -> Iterator[NDArray[np.float32]]:
        """Yield the vectors of the documents at these places, (tokens, dim), normalized.

        Raises:
            CorruptIndexError: A file is damaged, or a code is not the number of a centroid.
        """
        if not len(places):
            return
        all_codes, all_residuals = self.read()
        lengths, starts = self.lengths[places], self._starts[places]
        ends = np.cumsum(lengths)
        at = 0
        while at < len(places):
            first = ends[at] - lengths[at]
            after = max(int(np.searchsorted(ends, first + _BLOCK_TOKENS, side="right")), at + 1)
            block = slice(at, after)
            shifts = starts[block] - (ends[block] - lengths[block])  # from a token's place in the result to its row
            rows = np.arange(first, ends[after - 1]) + np.repeat(shifts, lengths[block])
            codes, residuals = all_codes[rows], all_residuals[rows]
            check_tokens(
                codes,
                residuals,
                codec.centroids,
                codec.nbits,
                codes_file=self.codes_file,
                residuals_file=self.residuals_file,
            )
            vectors = decompress(codes, residuals, codec.centroids, codec.bucket_weights, codec.nbits)
            yield from np.split(vectors, ends[at : after - 1] - first)
            at = after


class CompressedIndex:
    """The part of a `ForeignIndex` that sources share which store codes and residuals, and not the model's name.

    Args:
        codec: What all tokens share.
        lengths: (documents,) numbers of tokens of the documents that are not deleted.
        numbers: (documents,) the source's numbers of these documents, ascending.
    """

    def __init__(self, codec: Codec, lengths: NDArray[np.int64], numbers: NDArray[np.int64]) -> None:
        self._codec = codec
        self._lengths = lengths
        self._numbers = numbers

    @property
    def numbers(self) -> NDArray[np.int64]:
        """The source's numbers of the documents, (documents,), ascending."""
        return self._numbers

    @property
    def lengths(self) -> NDArray[np.int64]:
        """The numbers of tokens of the documents, (documents,)."""
        return self._lengths

    @property
    def dim(self) -> int:
        """Dimension of the token vectors."""
        return self._codec.dim

    @property
    def documents(self) -> int:
        """The number of documents that are not deleted."""
        return len(self._lengths)

    @property
    def tokens(self) -> int:
        """The number of token vectors."""
        return int(self._lengths.sum())

    @property
    def encoder(self) -> str | None:
        """None: the source does not know the model."""
        return None

    @property
    def settings(self) -> Mapping[str, Any]:
        """Bits per dimension, and the number of centroids."""
        return {"bits": self._codec.nbits, "centroids": len(self._codec.centroids)}


def read_codec(folder: Path, nbits: object) -> Codec:
    """Read ``centroids.npy`` and ``bucket_weights.npy``.

    Args:
        folder: The folder of the source.
        nbits: Bits per dimension, as the source says.

    Raises:
        CorruptIndexError: A file is missing, truncated, or does not fit ``nbits``.
    """
    centroids_file, weights_file = "centroids.npy", "bucket_weights.npy"
    return Codec.checked(
        read_npy(folder, centroids_file, shape=(None, None)),
        read_npy(folder, weights_file, shape=(None,)),
        nbits,
        centroids_file=folder / centroids_file,
        weights_file=folder / weights_file,
    )


def read_count(
    path: Path, settings: dict[str, Any], key: str, *, most: int = _MAX_COUNT, default: int | None = None
) -> int:
    """Return a count that a source states about itself.

    Args:
        path: The JSON file, for the error.
        settings: What is in it.
        key: The name of the count.
        most: The largest that is accepted.
        default: What a missing one is; None if it has to be there.

    Raises:
        CorruptIndexError: It is missing, or not a number from 0 to ``most``.
    """
    value = settings.get(key, default)
    if type(value) is not int or not 0 <= value <= most:
        raise damaged(path, f"must have a count {key!r} from 0 to {most:,}, got {value!r:.80}")
    return value


def read_integers(folder: Path, name: str, *, below: int) -> NDArray[np.int64]:
    """Return the numbers of an ``.npy`` file of one dimension, from 0 to below the limit.

    Raises:
        CorruptIndexError: The file is missing, truncated, or contains anything else.
    """
    values = read_npy(folder, name, dtypes=INTEGERS, shape=(None,), map_file=False)
    if len(values) and not (int(values.min()) >= 0 and int(values.max()) < below):
        raise damaged(
            folder / name, f"must contain numbers from 0 to {below - 1:,}, got {values.min()} to {values.max()}"
        )
    return np.asarray(values, np.int64)
