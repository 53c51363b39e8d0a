"""The codebook: centroids that stand for regions of the token vectors, trained once and then only extended.

Codes of old segments stay valid, since an extended codebook begins with the centroids of the one before. Centroids are
kept in rotated coordinates and rounded like residuals (see `codec`): tokens keep their residual from the rounded
centroid, so the rounding costs nothing and a codebook is a small part of the index.
"""

from __future__ import annotations

import math
from dataclasses import dataclass, replace
from functools import cached_property
from typing import TYPE_CHECKING, Any

import numpy as np

from late_interaction.engines.local.quantization.codecs import codec_for
from late_interaction.engines.local.storage.columns import ColumnFile, ColumnFolder, ColumnWriter
from late_interaction.engines.local.storage.files import CODEBOOKS, disk_errors, is_name, make_directories
from late_interaction.errors import CorruptIndexError
from late_interaction.forking import imports, openmp_is_used

if TYPE_CHECKING:
    from pathlib import Path
    from types import ModuleType

    from numpy.typing import NDArray

__all__ = ["Codebook", "CodebookEntry", "centroids_for", "open_codebook", "train", "write_codebook"]

_MAX_CENTROIDS = 2**16  # what a code of two bytes can name
_PER_ROOT_TOKEN = 10
_BYTES_PER_TOKEN = 1.7  # the room that a codebook may take on disk, as a share of each token
_CENTROID_BITS = 4
_FILES = ["centroids.npy", "scales.npy"]

_ITERATIONS = 6
_POINTS_PER_CENTROID = 128
_PROBES = 6
_SEED = 1


@dataclass(frozen=True)
class CodebookEntry:
    """What the catalog knows of a codebook.

    Attributes:
        name: Of its directory.
        centroids: How many.
        residual_norm: Mean distance of a token from its centroid, of those it was trained on.
        files: Its columns.
    """

    name: str
    centroids: int
    residual_norm: float
    files: tuple[ColumnFile, ...]

    @classmethod
    def from_json(cls, entry: dict[str, Any]) -> CodebookEntry:
        """The entry that `to_json` has written.

        Raises:
            CorruptIndexError: It is none.
        """
        try:
            found = cls(**{**entry, "files": tuple(ColumnFile(*file) for file in entry["files"])})
            if problem := found._problem():
                raise ValueError(problem)
            return replace(found, residual_norm=float(found.residual_norm))
        except (TypeError, KeyError, ValueError, OverflowError) as error:
            raise CorruptIndexError(
                f"The setting 'codebook' of the catalog describes no codebook: {error}. Restore the index from a copy."
            ) from None

    def _problem(self) -> str | None:
        if not is_name(self.name):
            return f"the name {self.name!r:.80}"
        if [file.name for file in self.files] != _FILES or not all(file.is_sound for file in self.files):
            return f"the files {self.files!r:.200}"
        if type(self.centroids) is not int or not 1 <= self.centroids <= _MAX_CENTROIDS:
            return f"{self.centroids!r:.80} centroids"
        if type(self.residual_norm) not in (int, float) or not 0 <= self.residual_norm < math.inf:
            return f"the residual_norm {self.residual_norm!r:.80}"
        return None

    def to_json(self) -> dict[str, Any]:
        """Return the entry as JSON values."""
        files = [[file.name, file.size, file.checksum] for file in self.files]
        return {"name": self.name, "centroids": self.centroids, "residual_norm": self.residual_norm, "files": files}


@dataclass(frozen=True)
class Codebook:
    """Centroids as they are stored.

    Attributes:
        dim: Dimension of the vectors.
        packed: Grid points, (centroids, bytes) u8.
        scales: (centroids,) f16.
    """

    dim: int
    packed: NDArray[np.uint8]
    scales: NDArray[np.float16]

    @classmethod
    def rounded(cls, centroids: NDArray[np.float32]) -> Codebook:
        """The codebook of some centroids, (centroids, dim)."""
        dim = centroids.shape[1]
        return cls(dim, *codec_for(dim, _CENTROID_BITS).encode(np.ascontiguousarray(centroids)))

    def __len__(self) -> int:
        return len(self.scales)

    @cached_property
    def centroids(self) -> NDArray[np.float32]:
        """(centroids, dim)."""
        return np.ascontiguousarray(codec_for(self.dim, _CENTROID_BITS).decode(self.packed, self.scales))

    def extended(self, more: Codebook) -> Codebook:
        """This codebook with more centroids after its own, whose numbers stay what they are."""
        packed, scales = np.concatenate([self.packed, more.packed]), np.concatenate([self.scales, more.scales])
        return Codebook(self.dim, packed, scales)

    def assign(self, vectors: NDArray[np.float32]) -> NDArray[np.uint16]:
        """The nearest centroid of each vector, (n,), or one nearly as near.

        Centroids are grouped into cells, about the square root of their number, and only the nearest cells of a vector
        are searched.
        """
        _, codes = self._cells.search(vectors, 1)
        if len(lost := np.flatnonzero(codes[:, 0] < 0)):  # none of the cells searched has a centroid in it
            codes[lost] = self._everything.search(vectors[lost], 1)[1]
        return np.asarray(codes[:, 0], np.uint16)

    @cached_property
    def _cells(self) -> Any:
        if len(self) <= _PROBES**3:
            return self._everything
        faiss = _faiss()
        index = faiss.IndexIVFFlat(faiss.IndexFlatL2(self.dim), self.dim, round(math.sqrt(len(self))))
        index.cp.seed, index.cp.niter, index.cp.min_points_per_centroid = _SEED, _ITERATIONS, 1
        index.nprobe = _PROBES
        index.train(self.centroids)
        index.add(self.centroids)
        return index

    @cached_property
    def _everything(self) -> Any:
        index = _faiss().IndexFlatL2(self.dim)
        index.add(self.centroids)
        return index


def centroids_for(tokens: int, dim: int) -> int:
    """Return the target number of centroids for this many tokens, within the size budget."""
    affordable = int(_BYTES_PER_TOKEN * tokens / (dim * _CENTROID_BITS / 8 + 2))
    return max(1, min(int(_PER_ROOT_TOKEN * math.sqrt(tokens)), affordable, _MAX_CENTROIDS))


def train(sample: NDArray[np.float32], centroids: int) -> Codebook:
    """k-means in two levels: coarse cells, then within each a number of centroids by its size and spread.

    A flat k-means costs the number of centroids per token and iteration, this twice the square root of it; what it
    loses is made good by a few more centroids. A cell's share is √size · spread, after TACHIOM (arXiv 2604.28142).

    Args:
        sample: (n, dim).
        centroids: How many to make; no more than there are vectors.
    """
    centroids = min(centroids, len(sample))
    coarse, nearest, distances = _kmeans(sample, max(1, round(math.sqrt(centroids))))
    sizes = np.bincount(nearest, minlength=len(coarse))
    spreads = np.sqrt(np.bincount(nearest, weights=distances, minlength=len(coarse)) / np.maximum(sizes, 1))
    shares = _apportion(np.sqrt(sizes) * spreads, sizes, centroids)
    members = np.split(np.argsort(nearest, kind="stable"), np.cumsum(sizes)[:-1])
    parts = [
        sample[chosen] if share == len(chosen) else _kmeans(sample[chosen], share)[0]
        for chosen, share in zip(members, shares.tolist(), strict=True)
        if share
    ]
    return Codebook.rounded(np.concatenate(parts))


def write_codebook(root: Path, name: str, codebook: Codebook, residual_norm: float) -> CodebookEntry:
    """Make a codebook durable, in a directory of this name. It exists for readers once the catalog names it."""
    parent = root / CODEBOOKS
    with disk_errors(parent):
        make_directories(parent)
    columns = {"centroids": (np.uint8, codebook.packed.shape[1:]), "scales": (np.float16, ())}
    with ColumnWriter(parent, name, columns) as writer:
        writer.append(centroids=codebook.packed, scales=codebook.scales)
        return CodebookEntry(writer.name, len(codebook), residual_norm, writer.finish())


def open_codebook(root: Path, entry: CodebookEntry, dim: int) -> tuple[ColumnFolder, Codebook]:
    """The files of a codebook and what is in them.

    Raises:
        CorruptIndexError: A file is missing, has another size than the catalog says, or is not a column.
    """
    width = codec_for(dim, _CENTROID_BITS).width
    columns = {"centroids": (np.uint8, (entry.centroids, width)), "scales": (np.float16, (entry.centroids,))}
    folder = ColumnFolder(root / CODEBOOKS / entry.name, entry.files, columns)
    return folder, Codebook(dim, *(folder.columns[name] for name in columns))


def _kmeans(
    points: NDArray[np.float32], centroids: int
) -> tuple[NDArray[np.float32], NDArray[np.int64], NDArray[np.float32]]:
    """Centroids, and of each point the nearest and the squared distance from it."""
    kmeans = _faiss().Kmeans(
        points.shape[1],
        centroids,
        niter=_ITERATIONS,
        seed=_SEED,
        min_points_per_centroid=1,
        max_points_per_centroid=_POINTS_PER_CENTROID,
    )
    kmeans.train(points)
    distances, nearest = kmeans.index.search(points, 1)
    return kmeans.centroids, nearest[:, 0], distances[:, 0]


def _apportion(weights: NDArray[np.float64], limits: NDArray[np.int64], total: int) -> NDArray[np.int64]:
    """``total`` parts in whole numbers, about proportional to weights, each at most its limit; their sum is enough."""
    shares = np.minimum(limits, 1)  # a cell of nearly equal tokens, such as markers, has next to no weight
    while missing := total - int(shares.sum()):
        room = limits - shares
        claims = np.where(room > 0, np.maximum(weights, np.finfo(np.float64).tiny), 0)
        wanted = missing * claims / claims.sum()
        more = np.minimum(wanted.astype(np.int64), room)
        if not more.any():  # fewer parts are left than cells: to those that want most
            more[np.argsort(-wanted, kind="stable")[:missing]] = 1
        shares += np.minimum(more, room)
    return shares


def _faiss() -> ModuleType:
    """Faiss, imported late: only writers of large collections need it."""
    with imports:
        import faiss

    openmp_is_used("faiss")
    return faiss
