"""Rows of MTEB's corpora and queries as documents and texts, read by MTEB's own loader."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from late_interaction.documents import Document
from late_interaction.encoders.protocol import reads_images, reads_text
from late_interaction.errors import UnsupportedError

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator

    from mteb.abstasks.task_metadata import TaskMetadata
    from mteb.types import CorpusDatasetType, QueryDatasetType

    from late_interaction.encoders import Encoder

__all__ = ["documents_of", "query_texts"]


def documents_of(
    corpus: CorpusDatasetType, task_metadata: TaskMetadata, encoder: Encoder, *, batch_size: int, num_proc: int | None
) -> Iterator[Document]:
    """Return the documents of a corpus, read when they are needed.

    Raises:
        UnsupportedError: The encoder does not read them, or they are texts with images, encoded as one.
    """
    from mteb.types import PromptType

    modalities = set(task_metadata.get_modalities(PromptType.document))
    reads = {"text": reads_text(encoder), "image": reads_images(encoder)}
    read = {modality for modality in modalities if reads.get(modality)}
    if not read:
        raise UnsupportedError(
            f"The documents of {task_metadata.name} are {_names(modalities)}, and {type(encoder).__name__} reads "
            f"{_names({modality for modality, does in reads.items() if does})}. Use an encoder that reads them."
        )
    if len(read) > 1:
        raise UnsupportedError(
            f"The documents of {task_metadata.name} are texts with images, encoded as one, which an index does not "
            "hold. Use MTEB's own wrapper of the model for this task."
        )
    loader = _loader(corpus, task_metadata, PromptType.document, batch_size, num_proc)
    return _documents(loader, read.pop())


def _documents(loader: Any, modality: str) -> Iterator[Document]:
    for batch in loader:
        for document_id, content in zip(batch["id"], batch[modality], strict=True):
            yield Document(id=document_id, **{modality: content})


def query_texts(
    queries: QueryDatasetType, task_metadata: TaskMetadata, *, batch_size: int, num_proc: int | None
) -> tuple[list[str], list[str]]:
    """Return the ids of the queries, and their texts with their instructions.

    Raises:
        UnsupportedError: The queries are not texts.
    """
    from mteb.types import PromptType

    modalities = set(task_metadata.get_modalities(PromptType.query))
    if modalities != {"text"}:
        raise UnsupportedError(
            f"The queries of {task_metadata.name} are {_names(modalities)}, and IndexedSearch takes texts alone. Use "
            "MTEB's own wrapper of the model for this task."
        )
    loader = _loader(queries, task_metadata, PromptType.query, batch_size, num_proc)
    return list(queries["id"]), [text for batch in loader for text in batch["text"]]


def _loader(rows: Any, task_metadata: TaskMetadata, prompt_type: Any, batch_size: int, num_proc: int | None) -> Any:
    # MTEB has no public name for it; all its wrappers use it, so the texts are the same.
    from mteb._create_dataloaders import create_dataloader

    return create_dataloader(
        rows, task_metadata=task_metadata, prompt_type=prompt_type, batch_size=batch_size, num_proc=num_proc
    )


def _names(modalities: Iterable[str]) -> str:
    return " and ".join(sorted(modalities)) or "nothing"
