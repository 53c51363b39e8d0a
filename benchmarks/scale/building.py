"""Build an index of recombined documents out of the compressed columns of another index.

    python -m benchmarks.scale.building SOURCE TARGET TOKENS

SOURCE is an index with one compressed segment, whose ids are the numbers of its documents; further numbers are the ids
of the recombined ones. Its codebook stays, and no vector is compressed again. This module uses the internals of the
engine, those of the version on ``PYTHONPATH``.
"""

from __future__ import annotations

import shutil
import sys
from pathlib import Path

import numpy as np

from benchmarks.scale.spans import Spans
from late_interaction import Document
from late_interaction.engines import LocalEngine, Record
from late_interaction.engines.local import compaction
from late_interaction.engines.local.storage.names import Taken

BLOCK_DOCUMENTS = 8_192


def build(source: Path, target: Path, tokens: int) -> None:
    """Copy the index, add documents without tokens, give them tokens, and delete the documents of the source."""
    shutil.copytree(source, target)
    with LocalEngine.open(target) as engine:
        spans = Spans.drawn(tokens, engine.info()["tokens"])
        real = [document.id for document in engine.scan()]
        ids = range(len(real), len(real) + spans.documents)
        nothing = np.empty((0, engine.dim), np.float32)
        engine.upsert(Record(Document("", id=str(number)), nothing) for number in ids)
        with engine._states.reading() as (_, snapshot):
            pass  # its files stay mapped
        replacement = _recombined(target, snapshot, Taken(engine._transactions.names), spans)
        engine._transactions.commit(lambda writer: writer.replace_segments(replacement))
        engine.delete(ids=real)


def _recombined(root: Path, snapshot, names, spans: Spans) -> compaction.Replacement:
    """Write a segment of the spans, which replaces that of the documents without tokens."""
    (given,) = (segment for segment in snapshot.segments.values() if segment.entry.is_compressed)
    (empty,) = (number for number, segment in snapshot.segments.items() if not segment.entry.is_compressed)
    with compaction.SegmentWriter(root, names.take(), snapshot.dim, snapshot.codec) as files:
        for first in range(0, spans.documents, BLOCK_DOCUMENTS):
            lengths, rows = spans.rows(first, min(first + BLOCK_DOCUMENTS, spans.documents))
            files.append_documents(lengths, **{name: column[rows] for name, column in given.token_columns.items()})
        origins = tuple((empty, at) for at in range(spans.documents))
        return compaction.Replacement((empty,), files.finish_segment(), origins)


if __name__ == "__main__":
    build(Path(sys.argv[1]), Path(sys.argv[2]), int(sys.argv[3]))
