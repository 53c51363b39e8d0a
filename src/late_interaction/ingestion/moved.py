"""Find stored passages whose vectors passages with new ids can take over: of renamed files, and at other positions."""

from __future__ import annotations

import hashlib
import os
from collections import Counter, defaultdict
from typing import TYPE_CHECKING

from late_interaction.ingestion.roots import is_folder
from late_interaction.ingestion.vanished import is_empty, is_in

if TYPE_CHECKING:
    from collections.abc import Callable, Collection, Iterator, Mapping, Sequence
    from pathlib import Path
    from typing import TypeAlias

    from late_interaction.documents import Document
    from late_interaction.index import Index
    from late_interaction.ingestion.naming import Passage
    from late_interaction.ingestion.roots import Root, Roots
    from late_interaction.ingestion.vanished import Reading

    _Content: TypeAlias = tuple[str, int] | str

__all__ = ["Moved"]

_BATCH = 512


class Moved:
    """Finds stored passages with the content of new ones.

    A stored passage can be taken over if its file was removed from a place to read, or if another passage of the batch
    replaces it, or if it comes later in a file that has changed. A page image can if its file was removed anywhere.

    Args:
        index: The index.
        roots: Its roots.
        reading: The places to read.
        kept: Returns the files and folders whose passages are kept.
    """

    def __init__(self, index: Index, roots: Roots, reading: Reading, kept: Callable[[], Collection[Path]]) -> None:
        self._index = index
        self._roots = roots
        self._reading = reading
        self._kept = kept
        self._removed: dict[_Content, list[str]] | None = None

    def find(
        self, batch: Sequence[Passage], changed: Mapping[str, Passage], held: Mapping[str, Document]
    ) -> dict[str, Document]:
        """Return the stored passages that passages of a batch can take over, by the id of the new passage.

        Args:
            batch: The batch.
            changed: Passages of it that are new or differ from the stored ones, by id.
            held: Stored passages with these ids.
        """
        replaced = self._by_root([*(held[new] for new in changed if new in held), *self._later(batch, changed)])
        taken: dict[str, str] = {}  # by the new id
        for document_id, passage in changed.items():
            content = _content(passage.document)
            for pool in (replaced[passage.root], self._of_removed_files()):
                if pool.get(content):
                    taken[document_id] = pool[content].pop()
                    break
        stored = {document.id: document for document in self._index.get(list(taken.values()))}
        return {
            new: stored[old]
            for new, old in taken.items()
            if old in stored and changed[new].document.encoded_content == stored[old].encoded_content
        }

    def _by_root(self, candidates: list[Document]) -> defaultdict[int, dict[_Content, list[str]]]:
        """Return the ids of stored passages by root and content."""
        owners = self._index.engine.roots_of([document.id for document in candidates])
        pools: defaultdict[int, dict[_Content, list[str]]] = defaultdict(dict)
        for document in reversed(candidates):  # so that the first one is taken first
            root = owners.get(document.id)
            if root is not None:
                pools[root].setdefault(_content(document), []).append(document.id)
        return pools

    def _later(self, batch: Sequence[Passage], changed: Mapping[str, Passage]) -> list[Document]:
        """Return stored passages of the same files behind those of the batch, as many as have changed in the file."""
        texts = [passage.document for passage in batch if passage.document.image is None]
        last = {document.metadata["source"]: document.metadata["passage"] for document in texts}
        counts = Counter(document.metadata["source"] for document in texts if document.id in changed)
        numbers = ((source, last[source] + 1 + at) for source, count in counts.items() for at in range(count))
        documents = self._index.get([f"{source}#{number}" for source, number in numbers])
        return [document for document in documents if document.image is None]

    def _of_removed_files(self) -> dict[_Content, list[str]]:
        """Return the ids of stored passages of removed files by content, found out at the first call."""
        if self._removed is None:
            self._removed = {}
            ids = [document_id for root in self._roots for document_id in self._ids_of_removed(root)][::-1]
            for start in range(0, len(ids), _BATCH):
                for document in self._index.get(ids[start : start + _BATCH]):
                    self._removed.setdefault(_content(document), []).append(document.id)
        return self._removed

    def _ids_of_removed(self, root: Root) -> Iterator[str]:
        if not is_folder(root.path):
            return
        are_movable: dict[tuple[str, bool], bool] = {}  # by name, and whether a page image
        for document in self._index.engine.scan(root=root.number, fields=("metadata", "image")):
            name = (document.metadata or {}).get("source")
            if not isinstance(name, str):
                continue
            key = name, document.image is not None
            if key not in are_movable:
                are_movable[key] = self._is_movable(root.path_of(name), is_page=key[1])
            if are_movable[key]:
                yield document.id

    def _is_movable(self, path: Path, *, is_page: bool) -> bool:
        """Return whether a file was removed, so that its content may be in another file now.

        The hash of a file identifies a page image wherever the file was. The texts of two files may be equal by chance,
        so those of files outside of the places stay.
        """
        if not _is_missing(path) or is_in(path, self._kept()):
            return False
        if is_in(path, self._reading.places):
            return True
        folder = next(parent for parent in path.parents if is_folder(parent))
        return is_page and not is_empty(folder)  # a disk that is not mounted looks like an empty folder


def _content(document: Document) -> _Content:
    """Return what is equal for documents that are encoded alike, and hardly ever for others."""
    if document.image is not None:
        return document.image.digest, document.image.page
    return hashlib.sha256(document.text_to_encode.encode()).hexdigest()[:32]


def _is_missing(path: Path) -> bool:
    """Return whether a file does not exist; False if permissions or a failing disk prevent the check."""
    try:
        os.lstat(path)
    except (FileNotFoundError, NotADirectoryError):
        return True
    except (OSError, ValueError):
        return False
    return False
