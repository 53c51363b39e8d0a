"""Let the engine write segments and codebooks as releases before format 5 did."""

from __future__ import annotations

from contextlib import contextmanager

import numpy as np

from late_interaction.engines.local import compaction
from late_interaction.engines.local.quantization import codecs
from late_interaction.engines.local.quantization.codebook import CodebookEntry
from late_interaction.engines.local.quantization.residual import BITS, ResidualCodec
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


@contextmanager
def as_before_format_5():
    """Indexes that are opened and closed inside write segments and codebooks of format 4."""
    write_codebook = compaction.write_codebook
    codecs._CODECS.update(dict.fromkeys(BITS, OldCodec))
    compaction.write_codebook = _write_codebook
    try:
        yield
    finally:
        codecs._CODECS.update(dict.fromkeys(BITS, ResidualCodec))
        compaction.write_codebook = write_codebook
