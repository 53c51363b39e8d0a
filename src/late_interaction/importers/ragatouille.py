"""Read an index that RAGatouille wrote: one of colbert-ai, with texts, ids and metadata in three JSON files.

RAGatouille splits a document into passages that share its id. Its ``delete_from_index`` keeps the numbers of the other
passages in ``pid_docid_map.json``, and shortens the list in ``collection.json``. A second call then removes texts at
the old numbers from the shortened list, which are the wrong ones. So texts are taken from the settings of colbert-ai,
and from ``collection.json`` only for passages that are not in these.
"""

from __future__ import annotations

from collections import Counter, defaultdict
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np

from late_interaction.documents import Document
from late_interaction.errors import InvalidDocumentError
from late_interaction.importers.files import damaged, has_file, read_json
from late_interaction.importers.foreign import ForeignFormat
from late_interaction.importers.plaid_files import PlaidFolder, is_ragatouille_folder
from late_interaction.importers.stanford import StanfordIndex, open_stanford
from late_interaction.validation import is_id
from late_interaction.wording import counted

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping, Sequence
    from pathlib import Path

    from numpy.typing import NDArray

    from late_interaction.importers.foreign import SourceOptions

__all__ = ["RAGATOUILLE", "open_ragatouille"]

_TEXTS = "collection.json"
_IDS = "pid_docid_map.json"
_METADATA = "docid_metadata_map.json"
_MAX_JSON_BYTES = 2**30
_MAX_ADDED_TOKENS = 8  # [CLS], [SEP], the marker of documents, and the space that some tokenizers put first
_MAX_DIGITS = 18
_ADDED_KEYS = ("document_id", "passage")


def open_ragatouille(folder: Path, options: SourceOptions) -> StanfordIndex:
    """Open an index of RAGatouille. Documents of the caller, one for each passage, replace its texts, ids and metadata.

    Raises:
        CorruptIndexError: A file is missing, damaged, or contradicts another one.
        InvalidRequestError: The documents of the caller are more or fewer than the passages.
        DuplicateIdError: Two of them have the same id.
    """
    if options.documents is not None:
        return open_stanford(folder, options)
    files = PlaidFolder.open(folder)
    passages = _Passages.open(files)
    return StanfordIndex(files, passages, passages.notes)


@dataclass(frozen=True)
class _Passages:
    """The passages that are not deleted.

    Attributes:
        folder: The folder of the index, for errors.
        texts: Their texts.
        documents: The id of the document that each is a part of.
        ids: Their own ids.
        metadata: The metadata of the documents, by their ids.
        notes: What is lost or unknown.
    """

    folder: Path
    texts: Sequence[str]
    documents: Sequence[str]
    ids: Sequence[str]
    metadata: Mapping[str, Mapping[str, Any]]
    notes: Sequence[str]

    @classmethod
    def open(cls, files: PlaidFolder) -> _Passages:
        """Read the three files, and check that they fit each other and the token vectors."""
        folder, live = files.folder, files.live_numbers()
        texts = _texts(files, live)
        _check_lengths(files, live, texts)
        documents, unused = _document_ids(files, live)
        ids = _unique_ids(documents)
        metadata = _metadata(folder)
        notes = [
            *_about_ids(files, documents, ids),
            *_about_metadata(metadata, documents),
            *_about_deletions(files, unused),
        ]
        return cls(folder, texts, documents, ids, metadata, notes)

    def from_position(self, start: int) -> Iterator[Document]:
        """Yield the documents without the first ``start`` ones."""
        numbers: defaultdict[str, int] = defaultdict(int)
        for at, (text, document, passage_id) in enumerate(zip(self.texts, self.documents, self.ids, strict=True)):
            number = numbers[document]
            numbers[document] += 1
            if at < start:
                continue
            added = dict(zip(_ADDED_KEYS, (document, number), strict=True))
            try:
                yield Document(text, id=passage_id, metadata={**added, **self.metadata.get(document, {})})
            except InvalidDocumentError as error:
                raise damaged(self.folder, f"has a passage that cannot be stored ({error})") from None


def _texts(files: PlaidFolder, live: NDArray[np.int64]) -> list[str]:
    """Return the texts of the passages that are not deleted."""
    built = files.texts
    if len(built) == files.passages:
        return [built[number] for number in live.tolist()]
    path = files.folder / _TEXTS
    listed = read_json(files.folder, _TEXTS, list, max_bytes=_MAX_JSON_BYTES)
    if not all(isinstance(text, str) for text in listed):
        raise damaged(path, "must contain strings")
    if len(listed) == files.passages:
        listed = [listed[number] for number in live.tolist()]
    if len(listed) != len(live):
        raise damaged(
            path,
            f"has {counted(len(listed), 'text')}, and there are vectors of {counted(len(live), 'passage')}; "
            "delete_from_index of RAGatouille may have lost some, so pass the texts of the passages as `documents`",
        )
    return [built[number] if number < len(built) else text for number, text in zip(live.tolist(), listed, strict=True)]


def _check_lengths(files: PlaidFolder, live: NDArray[np.int64], texts: Sequence[str]) -> None:
    """Refuse texts that are too short for the tokens of their passages: these are other texts.

    No tokenizer makes more than two tokens of a byte, also not after Unicode normalization.
    """
    lengths = np.concatenate(files.lengths)[live]
    most = np.array([2 * len(text.encode("utf-8", "surrogatepass")) for text in texts], np.int64) + _MAX_ADDED_TOKENS
    if len(wrong := np.flatnonzero(lengths > most)):
        first = wrong[0]
        raise damaged(
            files.folder / _TEXTS,
            f"has texts that are not those of the vectors: passage {live[first]:,} has {lengths[first]:,} tokens, and "
            f"its text is {texts[first]!r:.80}; pass the texts of the passages as `documents`",
        )


def _document_ids(files: PlaidFolder, live: NDArray[np.int64]) -> tuple[list[str], int]:
    """Return the document of each passage that is not deleted, and how many numbers of passages are not in use."""
    folder = files.folder
    if not has_file(folder, _IDS):
        return [str(number) for number in live.tolist()], 0
    entries = read_json(folder, _IDS, dict, max_bytes=_MAX_JSON_BYTES)
    by_number = {_number(folder, key): _document_id(folder, key, value) for key, value in entries.items()}
    unused = max(by_number, default=-1) + 1 - len(by_number)
    if len(by_number) == len(live):
        return [by_number[number] for number in sorted(by_number)], unused
    if len(by_number) == files.passages and not unused:
        return [by_number[number] for number in live.tolist()], 0
    raise damaged(
        folder / _IDS,
        f"has the ids of {counted(len(by_number), 'passage')}, and there are vectors of {len(live):,}",
    )


def _number(folder: Path, key: str) -> int:
    if not (key.isascii() and key.isdecimal() and len(key) < _MAX_DIGITS and str(int(key)) == key):
        raise damaged(folder / _IDS, f"must have numbers of passages as keys, got {key!a:.80}")
    return int(key)


def _document_id(folder: Path, key: str, value: object) -> str:
    document = str(value) if type(value) is int else value
    if not is_id(document):
        raise damaged(folder / _IDS, f"must have ids of documents as values, got {value!a:.80} for {key}")
    return document


def _unique_ids(documents: Sequence[str]) -> list[str]:
    """Return an id for each passage: that of its document; of one of several passages, with the passage's number.

    If that makes two equal, because an id ends in such a number, every id gets the number.
    """
    counts = Counter(documents)
    numbers: defaultdict[str, int] = defaultdict(int)
    numbered = []
    for document in documents:
        numbered.append(f"{document}#{numbers[document]}")
        numbers[document] += 1
    ids = [one if counts[document] > 1 else document for document, one in zip(documents, numbered, strict=True)]
    return ids if len(set(ids)) == len(ids) else numbered


def _metadata(folder: Path) -> dict[str, dict[str, Any]]:
    """Return the metadata of the documents that have some."""
    if not has_file(folder, _METADATA):
        return {}
    entries = read_json(folder, _METADATA, dict, max_bytes=_MAX_JSON_BYTES)
    if wrong := [key for key, value in entries.items() if value is not None and not isinstance(value, dict)]:
        raise damaged(folder / _METADATA, f"must have an object for each document, not so for {wrong[0]!a:.80}")
    return {key: value for key, value in entries.items() if value}


def _about_ids(files: PlaidFolder, passages: Sequence[str], ids: Sequence[str]) -> Iterator[str]:
    if not has_file(files.folder, _IDS):
        yield f"The source has no {_IDS}, as of early releases of RAGatouille: ids are the numbers of the passages."
        return
    yield "Metadata has the id of the document as `document_id`, and the number of the passage in it as `passage`."
    if changed := [one for document, one in zip(passages, ids, strict=True) if one != document]:
        yield (
            f"RAGatouille gives all passages of a document the same id. Ids must be unique, so those of "
            f"{counted(len(changed), 'passage')} end in its number, for example {changed[0]!r:.80}."
        )


def _about_metadata(metadata: Mapping[str, Mapping[str, Any]], documents: Sequence[str]) -> Iterator[str]:
    known = set(documents)
    if unknown := [key for key in metadata if key not in known]:
        yield f"Left out: metadata of {counted(len(unknown), 'document')} without passages, such as {unknown[0]!r:.80}."
    for key in _ADDED_KEYS:
        if own := sum(key in values for name, values in metadata.items() if name in known):
            yield f"{counted(own, 'document')} with a `{key}` in the metadata: this is kept instead."


def _about_deletions(files: PlaidFolder, unused: int) -> Iterator[str]:
    """Say what is uncertain if passages were deleted by more than one call, which the files do not tell."""
    deleted = files.passages - files.live
    if unused > max(1, deleted):  # the passages were numbered anew when documents were added
        uncertain, count = "the ids and metadata", unused
    elif deleted > 1 and len(files.texts) < files.passages:
        uncertain, count = "the texts", deleted
    else:
        return
    yield (
        f"{count:,} passages were deleted. If delete_from_index was called more than once, RAGatouille has removed "
        f"wrong texts from {_TEXTS}, so some passages may have {uncertain} of others. Compare some of them, or pass "
        "the texts of the passages as `documents`."
    )


RAGATOUILLE = ForeignFormat(
    name="RAGatouille",
    matches=is_ragatouille_folder,
    open=open_ragatouille,
    layout="the files of colbert-ai, collection.json, pid_docid_map.json, perhaps docid_metadata_map.json",
)
