"""What an import reports at its end."""

from __future__ import annotations

from dataclasses import dataclass

from late_interaction.wording import counted, shown_bits

__all__ = ["ImportReport"]


@dataclass(frozen=True)
class ImportReport:
    """What an import has done. ``str`` gives it in sentences.

    Attributes:
        format: The kind of the source, for example ``fast-plaid``.
        documents: Documents of the source, all of which the index holds now.
        tokens: Token vectors of the source.
        dim: Dimension of the token vectors.
        added: Documents that were written.
        unchanged: Documents that the index held already, from an earlier import that was interrupted.
        only_in_index: Documents of the index that the source does not have.
        encoder: The model that the source names; None if it names none. It was not loaded because of that.
        agreement: With ``encoder=``, the mean cosine similarity of its token vectors and the source's, of some
            documents; None without ``encoder=``, or without documents that can be encoded.
        source_bytes: Size of the files of the source.
        source_bits: Bits per dimension of the source's vectors; None if it does not say.
        index_bytes: Size of the index; None for an index in a database.
        index_bits: Bits per dimension of compressed vectors of the index; None if it has none.
        cosine: The mean cosine similarity of a token vector of the source and the stored one, of a sample; None if it
            was not measured.
        error: The mean length of their difference, as a share of the length of the token vector.
        queries: How many documents were searched with: their first 32 token vectors.
        recall: The share of the ten best documents by exact MaxSim of the source's token vectors that are among the ten
            best of the index; None if it was not measured.
        seconds: How long it took.
        notes: What is lost or unknown, and what to do next, one sentence or more each.
    """

    format: str
    documents: int
    tokens: int
    dim: int
    added: int
    unchanged: int
    only_in_index: int
    encoder: str | None
    agreement: float | None
    source_bytes: int
    source_bits: int | None
    index_bytes: int | None
    index_bits: int | None
    cosine: float | None
    error: float | None
    queries: int
    recall: float | None
    seconds: float
    notes: tuple[str, ...] = ()

    def __str__(self) -> str:
        first = (
            f"{counted(self.documents, 'document')} with {counted(self.tokens, 'token vector')} of dimension "
            f"{self.dim} imported from {self.format}: {self.added:,} added, {self.unchanged:,} imported before, in "
            f"{self.seconds:,.1f} s."
        )
        lines = [first]
        if self.index_bytes is not None:
            source, index = _size(self.source_bytes, self.source_bits), _size(self.index_bytes, self.index_bits)
            lines.append(f"The source takes {source}, the index {index}.")
        if self.cosine is not None and self.error is not None:
            lines.append(
                f"Stored token vectors have a mean cosine similarity of {self.cosine:.4f} to those of the source, and "
                f"differ by {self.error:.1%} of their length."
            )
        if self.recall is not None:
            lines.append(
                f"Verified with {counted(self.queries, 'document')} as queries: {self.recall:.1%} of the ten best "
                "documents by exact MaxSim of the source's vectors are among the index's ten best."
            )
        if self.agreement is not None:
            lines.append(
                f"The encoder fits: its token vectors of some documents have a mean cosine similarity of "
                f"{self.agreement:.3f} to those of the source."
            )
        if self.only_in_index:
            lines.append(f"{counted(self.only_in_index, 'document')} only in the index, not deleted.")
        return "\n".join([*lines, *self.notes])


def _size(number: int, bits: int | None) -> str:
    value = float(number)
    for unit in ("bytes", "kB", "MB", "GB"):
        if value < 1_000 or unit == "GB":
            break
        value /= 1_000
    size = f"{value:,.0f} {unit}" if unit == "bytes" else f"{value:,.1f} {unit}"
    if bits is None:
        return size
    return f"{size} at {shown_bits(bits)} per dimension" if bits else f"{size} as {shown_bits(bits)}"
