"""Let the engine write segments and codebooks as releases before format 5 did."""

from __future__ import annotations

from contextlib import contextmanager
from unittest.mock import patch

import numpy as np

from late_interaction.engines.local import compaction
from late_interaction.engines.local.quantization import codecs
from late_interaction.engines.local.quantization.codebook import Codebook, CodebookEntry
from late_interaction.engines.local.quantization.residual import BITS, ResidualCodec
from late_interaction.engines.local.quantization.training import train
from late_interaction.engines.local.storage import segment_writer
from late_interaction.engines.local.storage.columns import ColumnWriter


class OldCodec(ResidualCodec):
    """Writes residuals with the common direction in them, and without ``along``."""

    @property
    def columns(self):
        return {name: column for name, column in super().columns.items() if name != "along"}

    def encode(self, vectors, codes, codebook):
        packed, scales = self.grid.encode(vectors - codebook.centroids[codes])
        return {"scales": scales, "residuals": packed}


def _write_codebook(root, name, codebook, residual_norm):
    """Write a codebook without a direction."""
    (root / "codebooks").mkdir(exist_ok=True)
    columns = {"centroids": (np.uint8, codebook.packed.shape[1:]), "scales": (np.float16, ())}
    with ColumnWriter(root / "codebooks", name, columns) as writer:
        writer.append(centroids=codebook.packed, scales=codebook.scales)
        return CodebookEntry(writer.name, len(codebook), residual_norm, writer.finish())


def _train(sample, centroids, _direction=None, *, threads=1):
    """Train centroids as if there were no common direction."""
    return train(sample, centroids, np.zeros(sample.shape[1], np.float32), threads=threads)


@contextmanager
def as_before_format_7():
    """Indexes that are written inside have no posting lists."""
    with (
        patch.object(segment_writer, "are_worthwhile", lambda *_: False),
        patch.object(compaction, "_adding_postings", lambda *_: None),
    ):
        yield


@contextmanager
def as_before_format_5():
    """Indexes that are opened and closed inside write segments and codebooks of format 4."""
    codecs._CODECS.update(dict.fromkeys(BITS, OldCodec))
    try:
        with (
            as_before_format_7(),
            patch.object(compaction, "write_codebook", _write_codebook),
            patch.object(compaction, "train", _train),
            patch.object(Codebook, "directed", lambda codebook: codebook),
        ):
            yield
    finally:
        codecs._CODECS.update(dict.fromkeys(BITS, ResidualCodec))
