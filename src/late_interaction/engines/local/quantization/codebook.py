"""The codebook: centroids of the token vectors, trained once and then only extended.

Codes of old segments stay valid, since an extended codebook begins with the centroids of the previous one. Centroids
are stored in rotated coordinates (see `rotation`) and rounded like residuals. A residual is the difference from the
rounded centroid, so the rounding loses no accuracy, and a codebook is a small part of the index.
"""

from __future__ import annotations

import math
from dataclasses import dataclass, replace
from functools import cached_property
from typing import TYPE_CHECKING, Any

import numpy as np

from late_interaction.engines.clustering import NearestCentroids
from late_interaction.engines.local.quantization.residual.grid import Grid
from late_interaction.engines.local.storage.columns import ColumnFile, ColumnFolder, ColumnWriter
from late_interaction.engines.local.storage.files import CODEBOOKS, disk_errors, is_name, make_directories
from late_interaction.errors import CorruptIndexError

if TYPE_CHECKING:
    from pathlib import Path

    from numpy.typing import NDArray

__all__ = [
    "CENTROID_BITS",
    "MAX_CENTROIDS",
    "Codebook",
    "CodebookEntry",
    "direction_of",
    "open_codebook",
    "stretch_of",
    "stretched",
    "write_codebook",
]

MAX_CENTROIDS = 2**16  # a code has two bytes
CENTROID_BITS = 4  # of the codec that rounds centroids; part of the format on disk
_FILES = ["along.npy", "centroids.npy", "direction.npy", "scales.npy"]
_FILES_BEFORE_5 = ["centroids.npy", "scales.npy"]
_POINT_LANES, _BLOCK_CENTROIDS = 32, 4096
_MIN_DIRECTED_DIM = 16
"""With fewer dimensions there is no common direction: without it too little would be left of a vector."""


@dataclass(frozen=True)
class CodebookEntry:
    """The entry of a codebook in the catalog.

    Attributes:
        name: The name of its directory.
        centroids: The number of centroids.
        residual_norm: Mean distance from a token to its centroid, over the tokens it was trained on.
        files: Its columns.
    """

    name: str
    centroids: int
    residual_norm: float
    files: tuple[ColumnFile, ...]

    @classmethod
    def from_json(cls, entry: dict[str, Any]) -> CodebookEntry:
        """Return the entry that `to_json` wrote.

        Raises:
            CorruptIndexError: The value is not such an entry.
        """
        try:
            found = cls(**{**entry, "files": tuple(ColumnFile(*file) for file in entry["files"])})
            if problem := found._problem():
                raise ValueError(problem)
            return replace(found, residual_norm=float(found.residual_norm))
        except (TypeError, KeyError, ValueError, OverflowError) as error:
            raise CorruptIndexError(
                f"The setting 'codebook' of the catalog is damaged: {error}. Restore the index from a copy."
            ) from None

    def _problem(self) -> str | None:
        if not is_name(self.name):
            return f"the name {self.name!r:.80}"
        names = sorted(str(file.name) for file in self.files)
        if names not in (_FILES, _FILES_BEFORE_5) or not all(file.is_sound for file in self.files):
            return f"the files {self.files!r:.200}"
        if type(self.centroids) is not int or not 1 <= self.centroids <= MAX_CENTROIDS:
            return f"{self.centroids!r:.80} centroids"
        if type(self.residual_norm) not in (int, float) or not 0 <= self.residual_norm < math.inf:
            return f"the residual_norm {self.residual_norm!r:.80}"
        return None

    @property
    def has_direction(self) -> bool:
        """Whether it has a common direction; those of formats before 5 have none."""
        return any(file.name == "direction.npy" for file in self.files)

    def to_json(self) -> dict[str, Any]:
        """Return the entry as JSON values."""
        files = [[file.name, file.size, file.checksum] for file in self.files]
        return {"name": self.name, "centroids": self.centroids, "residual_norm": self.residual_norm, "files": files}


@dataclass(frozen=True)
class Codebook:
    """Centroids, compressed, and the common direction of the token vectors.

    Attributes:
        dim: Dimension of the vectors.
        packed: Centroids without their components in the common direction as the grid encodes them, (centroids, bytes)
            u8.
        scales: Their scales, (centroids,) f16.
        along: Their components in the common direction, (centroids,) f32.
        direction: The common direction, (dim,) f32, of unit length. Zeros if there is none.
    """

    dim: int
    packed: NDArray[np.uint8]
    scales: NDArray[np.float16]
    along: NDArray[np.float32]
    direction: NDArray[np.float32]

    @classmethod
    def rounded(cls, centroids: NDArray[np.float32], direction: NDArray[np.float32] | None = None) -> Codebook:
        """Return the codebook of some centroids, (centroids, dim), and a common direction, by default that of them."""
        centroids, dim = np.ascontiguousarray(centroids), centroids.shape[1]
        direction = direction_of(centroids) if direction is None else direction
        along = _along(centroids, direction)
        across = np.ascontiguousarray(centroids - along[:, None] * direction)
        return cls(dim, *Grid(dim, CENTROID_BITS).encode(across), along, direction)

    def directed(self) -> Codebook:
        """Return a codebook without a common direction with that of its centroids, which stay the same."""
        direction = direction_of(self.centroids)
        return replace(self, along=_along(self.centroids, direction), direction=direction)

    def __len__(self) -> int:
        return len(self.scales)

    @cached_property
    def centroids(self) -> NDArray[np.float32]:
        """The centroids, (centroids, dim)."""
        decoded = Grid(self.dim, CENTROID_BITS).decode(self.packed, self.scales)
        decoded += (self.along - _along(decoded, self.direction))[:, None] * self.direction
        return np.ascontiguousarray(decoded)

    @cached_property
    def points(self) -> NDArray[np.int8]:
        """The centroids as points of the grid, doubled, which makes them integers; with zeros, (centroids, padded dim).

        Without its component in the common direction, a centroid is its point times `point_scales` without the point's.
        """
        points = np.zeros((len(self), -(-self.dim // _POINT_LANES) * _POINT_LANES), np.int8)
        grid = Grid(self.dim, CENTROID_BITS)
        for start in range(0, len(self), _BLOCK_CENTROIDS):
            packed = self.packed[start : start + _BLOCK_CENTROIDS]
            points[start : start + len(packed), : self.dim] = (
                2 * grid.points(packed, np.arange(len(packed)))[:, : self.dim]
            )
        return points

    @cached_property
    def point_scales(self) -> NDArray[np.float32]:
        """What `points` are multiplied by, (centroids,)."""
        return np.asarray(self.scales.astype(np.float32) / 2, np.float32)

    @cached_property
    def mean(self) -> NDArray[np.float32]:
        """The mean of the centroids, (dim,)."""
        across = np.einsum("i,ij->j", self.point_scales, self.points[:, : self.dim]) / np.float32(max(len(self), 1))
        return np.asarray(across + (self.along.mean() - (across * self.direction).sum()) * self.direction, np.float32)

    def extended(self, more: Codebook) -> Codebook:
        """Return this codebook with more centroids after its own, which keep their numbers.

        Args:
            more: Centroids with the same common direction.
        """
        return replace(
            self,
            packed=np.concatenate([self.packed, more.packed]),
            scales=np.concatenate([self.scales, more.scales]),
            along=np.concatenate([self.along, more.along]),
        )

    def assign(self, vectors: NDArray[np.float32]) -> NDArray[np.uint16]:
        """Return the number of the nearest centroid of each vector, (n,), or of one that is nearly as close.

        Distances are those of `stretched` vectors.
        """
        return np.asarray(self._nearest.search(stretched(vectors, self.direction, self.stretch)), np.uint16)

    @cached_property
    def _nearest(self) -> NearestCentroids:
        return NearestCentroids(stretched(self.centroids, self.direction, self.stretch))

    @cached_property
    def stretch(self) -> float:
        """How much more a difference along the common direction counts than another. See `stretch_of`."""
        return stretch_of(self.centroids, self.direction)


def direction_of(vectors: NDArray[np.float32]) -> NDArray[np.float32]:
    """Return the direction of the mean of some vectors, (n, dim), of unit length; zeros if there is none."""
    dim = vectors.shape[1]
    mean = vectors.mean(axis=0, dtype=np.float64) if len(vectors) and dim >= _MIN_DIRECTED_DIM else np.zeros(dim)
    length = np.linalg.norm(mean)
    return np.asarray(mean / length if length > 0 else mean, np.float32)


def stretch_of(vectors: NDArray[np.float32], direction: NDArray[np.float32]) -> float:
    """Return how much more a difference along the common direction of some vectors, (n, dim), counts than another.

    It is the length of queries in that direction, relative to the rest of them, if queries are like these vectors; at
    least 1. After the score-aware loss of ScaNN (Guo et al., ICML 2020).
    """
    along = float(_along(vectors, direction).mean())
    across = float(np.einsum("ij,ij->i", vectors, vectors).sum(dtype=np.float64)) / max(len(vectors), 1) - along**2
    return max(1.0, along / math.sqrt(across)) if across > 0 else 1.0


def stretched(vectors: NDArray[np.float32], direction: NDArray[np.float32], stretch: float) -> NDArray[np.float32]:
    """Return vectors, (n, dim), with their components in a direction multiplied, C-ordered."""
    if stretch == 1:
        return vectors
    return np.asarray(vectors + ((stretch - 1) * _along(vectors, direction))[:, None] * direction, np.float32)


def _along(vectors: NDArray[np.float32], direction: NDArray[np.float32]) -> NDArray[np.float32]:
    """Return the components of vectors, (n, dim), in a direction, (n,).

    Each row is summed alone: a product of NumPy gives other last bits in an extended codebook, and starts
    threads, which the first search would wait for, too.
    """
    return np.asarray(np.einsum("ij,j->i", vectors, direction), np.float32)


def write_codebook(root: Path, name: str, codebook: Codebook, residual_norm: float) -> CodebookEntry:
    """Write a codebook durably into a directory of this name. Readers see it once the catalog names it."""
    parent = root / CODEBOOKS
    with disk_errors(parent):
        make_directories(parent)
    columns = {
        "centroids": (np.uint8, codebook.packed.shape[1:]),
        "scales": (np.float16, ()),
        "along": (np.float32, ()),
        "direction": (np.float32, ()),
    }
    with ColumnWriter(parent, name, columns) as writer:
        writer.append(centroids=codebook.packed, scales=codebook.scales)
        writer.append(along=codebook.along, direction=codebook.direction)
        return CodebookEntry(writer.name, len(codebook), residual_norm, writer.finish())


def open_codebook(root: Path, entry: CodebookEntry, dim: int) -> tuple[ColumnFolder, Codebook]:
    """Open a codebook; return its files and their content.

    Raises:
        CorruptIndexError: A file is missing, has another size than the catalog says, or is not a column.
    """
    width = Grid(dim, CENTROID_BITS).width
    columns = {"centroids": (np.uint8, (entry.centroids, width)), "scales": (np.float16, (entry.centroids,))}
    if entry.has_direction:
        columns |= {"along": (np.float32, (entry.centroids,)), "direction": (np.float32, (dim,))}
    folder = ColumnFolder(root / CODEBOOKS / entry.name, entry.files, columns)
    zeros = {"along": np.zeros(entry.centroids, np.float32), "direction": np.zeros(dim, np.float32)}
    along, direction = (np.array(folder.columns.get(name, zeros[name])) for name in zeros)
    for name, column in {"along": along, "direction": direction}.items():
        if not np.isfinite(column).all():
            raise CorruptIndexError(f"{folder.path / name}.npy has NaN or infinity. Restore the index from a copy.")
    return folder, Codebook(dim, folder.columns["centroids"], folder.columns["scales"], along, direction)
