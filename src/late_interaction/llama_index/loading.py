"""What LlamaIndex keeps of an index in a storage context, from which it is opened again."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from llama_index.core.data_structs.data_structs import IndexStruct
from llama_index.core.data_structs.registry import INDEX_STRUCT_TYPE_TO_INDEX_STRUCT_CLASS
from llama_index.core.indices.registry import INDEX_STRUCT_TYPE_TO_INDEX_CLASS

from late_interaction.errors import IndexNotFoundError, InvalidRequestError
from late_interaction.index import Index
from late_interaction.wording import shown_location

if TYPE_CHECKING:
    import os

    from llama_index.core.indices.base import BaseIndex

    from late_interaction.adapters.arguments import EncoderOrName

__all__ = ["LateInteractionStruct", "open_existing", "open_named", "register"]


@dataclass
class LateInteractionStruct(IndexStruct):
    """The path or address of an index, in LlamaIndex's index store.

    Attributes:
        path: The directory or address; None for an index that cannot be opened again.
    """

    path: str | None = None

    @classmethod
    def get_type(cls) -> str:  # type: ignore[override]  # core has an enumeration of its own types
        """Return the key of this type in LlamaIndex's registries: the module that adds it to them."""
        return "late_interaction.llama_index"

    @property
    def location(self) -> str:
        """The path or address.

        Raises:
            InvalidRequestError: The index had neither.
        """
        if self.path is None:
            raise InvalidRequestError(
                "The index was neither in a directory nor at an address, so it must be given: index=."
            )
        return self.path


def register(index_class: type[BaseIndex[Any]]) -> None:
    """Let LlamaIndex's `load_index_from_storage` load a class of index whose struct is `LateInteractionStruct`."""
    kind: Any = LateInteractionStruct.get_type()
    INDEX_STRUCT_TYPE_TO_INDEX_STRUCT_CLASS[kind] = LateInteractionStruct
    INDEX_STRUCT_TYPE_TO_INDEX_CLASS[kind] = index_class


def open_named(struct: LateInteractionStruct, encoder: EncoderOrName | None, *, read_only: bool = False) -> Index:
    """Open the index whose path or address a storage context keeps. See `open_existing`.

    Raises:
        InvalidRequestError: The index had neither.
        IndexNotFoundError: It is not there any more.
    """
    path = struct.location
    try:
        return open_existing(path, encoder, read_only=read_only)
    except IndexNotFoundError:
        raise IndexNotFoundError(
            f"There is no index at {shown_location(path)}, the path that the storage context names. If it has moved, "
            "load_index_from_storage(…, index=PATH) opens it at its new place."
        ) from None


def open_existing(path: str | os.PathLike[str], encoder: EncoderOrName | None, *, read_only: bool = False) -> Index:
    """Open the index in a directory or at an address, for writing unless ``read_only``.

    Raises:
        IndexNotFoundError: The directory has no index: none is created, also with an encoder.
    """
    if encoder is not None:
        Index.open(path, read_only=True).close()
    return Index.open(path, encoder=encoder, read_only=read_only)
