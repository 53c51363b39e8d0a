"""What a transfer says before it starts, and what it reports at the end."""

from __future__ import annotations

from dataclasses import dataclass
from itertools import islice
from typing import TYPE_CHECKING, Any

from late_interaction.index_encoder import read_record
from late_interaction.validation import is_invisible
from late_interaction.wording import counted, shown_bits

if TYPE_CHECKING:
    from late_interaction.engines import Engine

__all__ = ["TransferReport", "can_encode_again", "source_statements", "target_statements"]

_MEASURED_RECALL = {
    8: "0.995",
    4: "0.978 (0.963 to 0.983)",
    3: "0.963",
    2: "0.92 (0.90 to 0.96)",
    1: "0.89 (0.82 to 0.89)",
    0: "0.62",
}
"""Recall@10 of an index with so many bits for each dimension, and of other collections and dimensions.

Figures of benchmarks/README.md: `benchmarks.latency` (4 bits), `benchmarks.recall` and `benchmarks.pages`.
"""

_LOOKED_AT = 100  # documents, to see whether there are texts that can be encoded again


@dataclass(frozen=True)
class TransferReport:
    """What a transfer has done. ``str`` gives it in a few lines.

    Attributes:
        added: Documents that the target did not hold.
        replaced: Documents of which the target held another version.
        unchanged: Documents that the target held already, equal in everything but their vectors, which are not
            compared. Their roots are corrected.
        vanished: Documents that others have deleted from the source meanwhile.
        only_in_target: Documents of the target that the source does not hold. They stay.
        missing: Documents that were written and are not in the target: others have deleted them.
        encoded_again: Whether the documents were encoded again; else their stored vectors were copied.
        queries: How many queries both were searched with: the first token vectors of documents.
        overlap: The share of the source's ten best documents that are among the target's ten best; None without
            queries.
        score_difference: The greatest difference between the two scores of a document that both find; None without
            queries.
        seconds: How long it took.
        notes: What does not carry over, and what else is worth knowing, one sentence each.
    """

    added: int
    replaced: int
    unchanged: int
    vanished: int
    only_in_target: int
    missing: int
    encoded_again: bool
    queries: int
    overlap: float | None
    score_difference: float | None
    seconds: float
    notes: tuple[str, ...] = ()

    @property
    def documents(self) -> int:
        """How many documents of the source the target holds."""
        return self.added + self.replaced + self.unchanged - self.missing

    def __str__(self) -> str:
        how = "encoded again" if self.encoded_again else "with their vectors"
        first = (
            f"{counted(self.documents, 'document')} of the source in the target, {how}: {self.added:,} added, "
            f"{self.replaced:,} replaced, {self.unchanged:,} unchanged, in {self.seconds:,.1f} s."
        )
        lines = [first]
        if self.missing:
            lines.append(f"{counted(self.missing, 'document')} of these missing: others have deleted them meanwhile.")
        if self.vanished:
            lines.append(f"{counted(self.vanished, 'document')} deleted from the source meanwhile.")
        if self.only_in_target:
            lines.append(f"{counted(self.only_in_target, 'document')} only in the target, not deleted.")
        if self.overlap is not None and self.score_difference is not None:
            lines.append(
                f"Verified with {counted(self.queries, 'query').replace('querys', 'queries')}: {self.overlap:.1%} of "
                f"the source's ten best documents are among the target's; scores differ by {self.score_difference:.2g} "
                "at most."
            )
        return "\n".join([*lines, *self.notes])


def source_statements(source: Engine, *, encodes: bool) -> list[str]:
    """Return what the vectors of the source can give, one sentence each; none if they are exact.

    Args:
        source: The source.
        encodes: Whether documents are encoded again.
    """
    bits = _compressed_bits(source.info())
    if bits is None or encodes:
        return []
    statement = (
        f"The source stores vectors compressed to {_compression(bits)}, and the target gets what is "
        f"stored. Recall@10 against the encoder's own vectors, as measured: {_MEASURED_RECALL[bits]} "
        f"(python -m benchmarks.{'latency' if bits == 4 else 'recall'})."
    )
    if not can_encode_again(source):
        return [statement]
    again = (
        "For exact vectors, encode the documents again: `late-interaction transfer --encode-again`, or "
        "transfer(…, encoder=…)."
    )
    return [statement, again]


def can_encode_again(source: Engine) -> bool:
    """Return whether the first documents of the source have texts or page images."""
    some = list(islice(source.scan(fields=("text", "encoded_text", "image")), _LOOKED_AT))
    return bool(some) and all(
        one.image is not None or not is_invisible(one.text if one.encoded_text is None else one.encoded_text)  # type: ignore[arg-type]
        for one in some
    )


def target_statements(source: Engine, target: Engine) -> list[str]:
    """Return what of the source the target does not take over, one sentence each."""
    can, could = target.capabilities, source.capabilities
    info, source_info = target.info(), source.info()
    statements = []
    if could.lexical and not can.lexical:
        statements.append("The target has no lexical search, so the modes 'lexical' and 'hybrid' are not available.")
    languages = source_info.get("language", ...), info.get("language", ...)
    if ... not in languages and languages[0] != languages[1] and can.lexical:
        statements.append(
            f"The source reduces words to stems of the language {languages[0]!r}, the target of {languages[1]!r}. "
            "Create the target with language=… to change this."
        )
    if missing := sorted(could.filter_operators - can.filter_operators):
        statements.append(f"The target cannot filter by {', '.join(missing)}.")
    if could.sources and source.roots and not can.sources:
        statements.append("The target does not remember the folders of files, so `index` cannot update it from files.")
    if source_info.get("truncated_documents") and "truncated_documents" not in info:
        statements.append("The target does not count documents that were truncated.")
    if info.get("bits") is not None:
        statements.append(f"The target compresses vectors to {_compression(info['bits'])}.")
    record = read_record(source)
    if record is not None and "image" in record.modalities:
        statements.append(
            "Page images are references to files, and thumbnails where there are some. The files are not copied: they "
            "must exist at the same paths on every machine that loads the images."
        )
    return statements


def _compression(bits: int) -> str:
    return f"{shown_bits(bits)} per dimension" if bits else "codes alone: each is the nearest centroid"


def _compressed_bits(info: dict[str, Any]) -> int | None:
    """Return the bits per dimension of compressed vectors; None if all are exact."""
    bits = info.get("bits")
    if bits not in _MEASURED_RECALL or info.get("tokens") == info.get("exact_tokens"):
        return None
    return int(bits)
