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

from late_interaction.engines.local.kernels.libraries import faiss_module
from late_interaction.engines.local.quantization.residual.grid import Grid
from late_interaction.engines.local.storage.columns import ColumnFile, ColumnFolder, ColumnWriter
from late_interaction.engines.local.storage.files import CODEBOOKS, disk_errors, is_name, make_directories
from late_interaction.errors import CorruptIndexError

if TYPE_CHECKING:
    from pathlib import Path

    from numpy.typing import NDArray

__all__ = ["CENTROID_BITS", "MAX_CENTROIDS", "Codebook", "CodebookEntry", "open_codebook", "write_codebook"]

MAX_CENTROIDS = 2**16  # a code has two bytes
CENTROID_BITS = 4  # of the codec that rounds centroids; part of the format on disk
_FILES = ["centroids.npy", "direction.npy", "scales.npy"]
_FILES_BEFORE_5 = ["centroids.npy", "scales.npy"]
_MIN_DIRECTED_DIM = 16
"""With fewer dimensions there is no common direction: without it too little would be left of a vector."""

_ITERATIONS = 6
_PROBED_CELLS = 6
_MAX_FLAT_CENTROIDS = _PROBED_CELLS**3  # up to this many, all centroids are compared
_SEED = 1


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
        packed: Centroids as the grid encodes them, (centroids, bytes) u8.
        scales: Their scales, (centroids,) f16.
        direction: Of the mean of the first centroids, (dim,) f32, of unit length. Zeros if there is none.
    """

    dim: int
    packed: NDArray[np.uint8]
    scales: NDArray[np.float16]
    direction: NDArray[np.float32]

    @classmethod
    def rounded(cls, centroids: NDArray[np.float32]) -> Codebook:
        """Return the codebook of some centroids, (centroids, dim), with the direction of their mean."""
        dim = centroids.shape[1]
        columns = Grid(dim, CENTROID_BITS).encode(np.ascontiguousarray(centroids))
        return cls(dim, *columns, np.zeros(dim, np.float32)).directed()

    def directed(self) -> Codebook:
        """Return the codebook with the direction of the mean of its centroids."""
        mean = self.centroids.mean(axis=0, dtype=np.float64)
        length = np.linalg.norm(mean) if self.dim >= _MIN_DIRECTED_DIM else 0
        direction = mean / length if length > 0 else np.zeros(self.dim)
        return replace(self, direction=direction.astype(np.float32))

    def __len__(self) -> int:
        return len(self.scales)

    @cached_property
    def centroids(self) -> NDArray[np.float32]:
        """The centroids, (centroids, dim)."""
        return np.ascontiguousarray(Grid(self.dim, CENTROID_BITS).decode(self.packed, self.scales))

    @cached_property
    def along(self) -> NDArray[np.float32]:
        """The components of the centroids in the common direction, (centroids,)."""
        return np.asarray(self.centroids @ self.direction)

    def extended(self, more: Codebook) -> Codebook:
        """Return this codebook with more centroids after its own, which keep their numbers, and the same direction."""
        packed, scales = np.concatenate([self.packed, more.packed]), np.concatenate([self.scales, more.scales])
        return replace(self, packed=packed, scales=scales)

    def assign(self, vectors: NDArray[np.float32]) -> NDArray[np.uint16]:
        """Return the number of the nearest centroid of each vector, (n,), or of one that is nearly as close.

        Centroids are grouped into cells, about √centroids of them, and only the nearest cells of a vector are searched.
        """
        _, codes = self._cells.search(vectors, 1)
        if len(missing := np.flatnonzero(codes[:, 0] < 0)):  # the cells searched are empty
            codes[missing] = self._all_centroids.search(vectors[missing], 1)[1]
        return np.asarray(codes[:, 0], np.uint16)

    @cached_property
    def _cells(self) -> Any:
        if len(self) <= _MAX_FLAT_CENTROIDS:
            return self._all_centroids
        faiss = faiss_module()
        index = faiss.IndexIVFFlat(faiss.IndexFlatL2(self.dim), self.dim, round(math.sqrt(len(self))))
        index.cp.seed, index.cp.niter, index.cp.min_points_per_centroid = _SEED, _ITERATIONS, 1
        index.nprobe = _PROBED_CELLS
        index.train(self.centroids)
        index.add(self.centroids)
        return index

    @cached_property
    def _all_centroids(self) -> Any:
        index = faiss_module().IndexFlatL2(self.dim)
        index.add(self.centroids)
        return index


def write_codebook(root: Path, name: str, codebook: Codebook, residual_norm: float) -> CodebookEntry:
    """Write a codebook durably into a directory of this name. Readers see it once the catalog names it."""
    parent = root / CODEBOOKS
    with disk_errors(parent):
        make_directories(parent)
    columns = {
        "centroids": (np.uint8, codebook.packed.shape[1:]),
        "scales": (np.float16, ()),
        "direction": (np.float32, ()),
    }
    with ColumnWriter(parent, name, columns) as writer:
        writer.append(centroids=codebook.packed, scales=codebook.scales, direction=codebook.direction)
        return CodebookEntry(writer.name, len(codebook), residual_norm, writer.finish())


def open_codebook(root: Path, entry: CodebookEntry, dim: int) -> tuple[ColumnFolder, Codebook]:
    """Open a codebook; return its files and their content.

    Raises:
        CorruptIndexError: A file is missing, has another size than the catalog says, or is not a column.
    """
    width = Grid(dim, CENTROID_BITS).width
    columns = {"centroids": (np.uint8, (entry.centroids, width)), "scales": (np.float16, (entry.centroids,))}
    if entry.has_direction:
        columns["direction"] = (np.float32, (dim,))
    folder = ColumnFolder(root / CODEBOOKS / entry.name, entry.files, columns)
    direction = np.array(folder.columns["direction"]) if entry.has_direction else np.zeros(dim, np.float32)
    if not np.isfinite(direction).all():
        raise CorruptIndexError(f"{folder.path / 'direction.npy'} is damaged. Restore the index from a copy.")
    return folder, Codebook(dim, folder.columns["centroids"], folder.columns["scales"], direction)
