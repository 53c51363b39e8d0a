"""Read the files of a PLAID index as colbert-ai writes them: settings, lengths of passages, compressed token vectors.

A passage is numbered from 0 (its *pid*), in the order in which it was added. ``IndexUpdater`` of colbert-ai removes
the vectors of a deleted passage and keeps its number, with 0 tokens. So a passage without tokens is a deleted one:
every other one has at least the tokens of its markers. An index of a list of texts has this list in the settings, as it
was when the index was built, so the text of a passage is certain whatever was deleted since; passages that were added
later are not in it. ``num_embeddings`` in ``metadata.json`` is not used, because
that class adds the whole index to it instead of the added passages. Nor are ``avg_residual.pt`` and the inverted lists.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np

from late_interaction.importers.arrays import FLOATS, INTEGERS
from late_interaction.importers.columns import MAX_DOCUMENT_TOKENS, Codec, Columns
from late_interaction.importers.files import damaged, file_names, has_file, read_json
from late_interaction.importers.torch_files import read_tensor, read_tensors

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping, Sequence
    from pathlib import Path

    from numpy.typing import NDArray

__all__ = ["PlaidFolder", "is_plaid_folder", "is_ragatouille_folder"]

_MAX_METADATA_BYTES = 2**30  # with all texts
_METADATA = "metadata.json"
_CENTROIDS = "centroids.pt"
_BUCKETS = "buckets.pt"


def is_plaid_folder(folder: Path) -> bool:
    """Return whether a folder has the files of colbert-ai; an unfinished index has ``plan.json`` alone."""
    has_settings = has_file(folder, _METADATA) or has_file(folder, "plan.json")
    return has_settings and has_file(folder, _CENTROIDS) and has_file(folder, _BUCKETS)


def is_ragatouille_folder(folder: Path) -> bool:
    """Return whether a folder has the files that RAGatouille adds to an index of colbert-ai."""
    return is_plaid_folder(folder) and (has_file(folder, "collection.json") or has_file(folder, "pid_docid_map.json"))


@dataclass(frozen=True)
class PlaidFolder:
    """An opened index of colbert-ai.

    Attributes:
        folder: The folder.
        config: The settings in ``metadata.json``, a ``ColBERTConfig``.
        texts: The texts of the first passages, deleted ones included; empty if the index was built from a file.
        codec: What all tokens share.
        lengths: The number of tokens of each passage, one array for each chunk. 0: the passage was deleted.
    """

    folder: Path
    config: Mapping[str, Any]
    texts: Sequence[str]
    codec: Codec
    lengths: tuple[NDArray[np.int64], ...]

    @classmethod
    def open(cls, folder: Path) -> PlaidFolder:
        """Read everything but the token vectors, and check it.

        Raises:
            CorruptIndexError: A file is missing, damaged, or contradicts another one.
        """
        metadata = read_json(folder, _METADATA, dict, max_bytes=_MAX_METADATA_BYTES)
        config, chunks = metadata.get("config"), metadata.get("num_chunks")
        if not isinstance(config, dict):
            raise damaged(folder / _METADATA, "must contain an object 'config' with the settings")
        if type(chunks) is not int or chunks < 1:
            raise damaged(folder / _METADATA, f"must contain the number of chunks, 1 or more, got {chunks!r:.80}")
        centroids = read_tensor(folder, _CENTROIDS, dtypes=FLOATS, map_file=False)
        buckets = read_tensors(folder, _BUCKETS, dtypes=FLOATS, map_file=False)
        if len(buckets) != 2:
            raise damaged(folder / _BUCKETS, f"must contain the cutoffs and the weights, got {len(buckets)} tensors")
        codec = Codec.checked(
            centroids,
            buckets[1],
            config.get("nbits"),
            centroids_file=folder / _CENTROIDS,
            weights_file=folder / _BUCKETS,
        )
        if config.get("dim") != codec.dim:
            raise damaged(
                folder / _METADATA,
                f"claims dim={config.get('dim')!r:.80}, and {_CENTROIDS} has {codec.dim} dimensions",
            )
        lengths = tuple(_lengths(folder, chunks))
        texts = _texts(folder, config, sum(map(len, lengths)))
        return cls(folder, config, texts, codec, lengths)

    @property
    def dim(self) -> int:
        """Dimension of the token vectors."""
        return self.codec.dim

    @property
    def passages(self) -> int:
        """The number of passages, deleted ones included."""
        return sum(map(len, self.lengths))

    @property
    def live(self) -> int:
        """The number of passages that are not deleted."""
        return sum(int(np.count_nonzero(lengths)) for lengths in self.lengths)

    @property
    def tokens(self) -> int:
        """The number of token vectors."""
        return sum(int(lengths.sum()) for lengths in self.lengths)

    @property
    def unused_chunks(self) -> int:
        """The number of chunks whose files are in the folder, but beyond the number in ``metadata.json``."""
        found = (name.split(".") for name in file_names(self.folder) if name.endswith(".codes.pt"))
        return sum(parts[0].isdecimal() and int(parts[0]) >= len(self.lengths) for parts in found)

    def live_numbers(self) -> NDArray[np.int64]:
        """Return the numbers of the passages that are not deleted, ascending."""
        return np.flatnonzero(np.concatenate(self.lengths))

    def read(self, start: int = 0) -> Iterator[NDArray[np.float32]]:
        """Yield the vectors, (tokens, dim), of each passage that is not deleted.

        Args:
            start: How many of these to skip. Chunks that are skipped as a whole are not opened.

        Raises:
            CorruptIndexError: A chunk is missing, damaged, or contradicts the lengths.
        """
        for chunk, lengths in enumerate(self.lengths):
            live = np.flatnonzero(lengths)
            if start < len(live):
                yield from self._columns(chunk).vectors(self.codec, live[start:])
            start = max(0, start - len(live))

    def _columns(self, chunk: int) -> Columns:
        codes_file, residuals_file = f"{chunk}.codes.pt", f"{chunk}.residuals.pt"
        tokens, row = int(self.lengths[chunk].sum()), self.dim * self.codec.nbits // 8

        def read() -> tuple[NDArray[Any], NDArray[Any]]:
            codes = read_tensor(self.folder, codes_file, dtypes=INTEGERS, shape=(None,))
            if len(codes) != tokens:
                raise damaged(
                    self.folder / codes_file, f"has {len(codes):,} tokens, and {_lengths_file(chunk)} claims {tokens:,}"
                )
            return codes, read_tensor(self.folder, residuals_file, dtypes=("uint8",), shape=(tokens, row))

        return Columns(self.lengths[chunk], self.folder / codes_file, self.folder / residuals_file, read)


def _lengths(folder: Path, chunks: int) -> Iterator[NDArray[np.int64]]:
    """Yield the lengths of the passages of each chunk, compared with the chunk's own metadata."""
    passages = 0
    for chunk in range(chunks):
        name = _lengths_file(chunk)
        values = read_json(folder, name, list)
        if wrong := [value for value in values if type(value) is not int or not 0 <= value < MAX_DOCUMENT_TOKENS]:
            raise damaged(folder / name, f"must contain numbers of tokens, 0 or more, got {wrong[0]!r:.80}")
        lengths = np.array(values, np.int64)
        if not len(lengths):
            raise damaged(folder / name, "is an empty list")
        about = read_json(folder, f"{chunk}.metadata.json", dict)
        expected = {"passage_offset": passages, "num_passages": len(lengths), "num_embeddings": int(lengths.sum())}
        for key, value in expected.items():
            if about.get(key) != value:
                raise damaged(
                    folder / f"{chunk}.metadata.json",
                    f"has {key}={about.get(key)!r:.80}, and by {name} and the chunks before it is {value}",
                )
        passages += len(lengths)
        yield lengths


def _texts(folder: Path, config: Mapping[str, Any], passages: int) -> list[str]:
    texts = config.get("collection")
    if not isinstance(texts, list):
        return []
    if len(texts) > passages or not all(isinstance(text, str) for text in texts):
        raise damaged(
            folder / _METADATA, f"must have at most {passages:,} strings as 'collection', one for each passage"
        )
    return texts


def _lengths_file(chunk: int) -> str:
    return f"doclens.{chunk}.json"
