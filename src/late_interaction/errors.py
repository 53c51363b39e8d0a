"""All errors that this package raises on purpose. Each message says what is wrong and what to do."""

from __future__ import annotations

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Sequence


class LateInteractionError(Exception):
    """Base class of all errors of this package."""


class InvalidRequestError(LateInteractionError, ValueError):
    """An argument is invalid."""


class UnsupportedError(InvalidRequestError):
    """The engine of the index does not support this operation."""


class InvalidDocumentError(LateInteractionError, ValueError):
    """A document cannot be stored: wrong types, or metadata that is not JSON."""


class DuplicateIdError(InvalidDocumentError):
    """Two documents in one call have the same id."""


class InvalidVectorsError(LateInteractionError, ValueError):
    """Token vectors cannot be stored or searched: wrong shape, wrong dimension, NaN or infinity."""


class InvalidFilterError(LateInteractionError, ValueError):
    """A ``where`` filter is malformed, or the engine cannot apply it."""


class UnknownIdError(LateInteractionError, LookupError):
    """The index does not contain a document with this id."""


class UnsupportedCheckpointError(LateInteractionError, ValueError):
    """A checkpoint has no trained token vectors, or its format cannot be loaded."""


class MissingEncoderError(LateInteractionError):
    """An encoder is needed, and the index does not have one that can be used."""


class IncompatibleEncoderError(LateInteractionError):
    """The encoder differs from the one that the index was built with."""


class IndexNotFoundError(LateInteractionError, FileNotFoundError):
    """The path does not contain an index."""


class IndexLockedError(LateInteractionError):
    """Another writer has the index open."""


class IndexClosedError(LateInteractionError):
    """The index was closed."""


class ReadOnlyIndexError(LateInteractionError):
    """The index was opened with ``read_only=True``."""


class CorruptIndexError(LateInteractionError):
    """The index files are damaged or incomplete, or are not index files."""


class StorageError(LateInteractionError, OSError):
    """Reading or writing the index files failed: the disk is full, unavailable or not permitted.

    The last commit is intact.
    """


class IndexReplacedError(StorageError):
    """The directory or collection of the index was moved, replaced or removed after it was opened. Open it again."""


class EngineUnavailableError(LateInteractionError, ConnectionError):
    """The server of an engine cannot be reached, does not answer in time, or is overloaded. Trying again may help."""


class EngineRefusedError(LateInteractionError):
    """The server of an engine refuses a request: a credential, a permission, a limit, or a version that lacks it."""


class PartialWriteError(LateInteractionError):
    """An engine without transactions failed after it had written a part. The same call again completes it.

    Attributes:
        written: Ids of the documents that are certainly written, in order.
        not_written: Ids of the documents that are perhaps not written, in order; those of an iterator that were not
            read yet are not among them.
    """

    def __init__(self, message: str, *, written: Sequence[str], not_written: Sequence[str]) -> None:
        super().__init__(message)
        self.written = tuple(written)
        self.not_written = tuple(not_written)


class TruncationWarning(UserWarning):
    """Texts are longer than the encoder reads, so their ends were not encoded. Given once for a call.

    To make it an error: ``warnings.simplefilter("error", TruncationWarning)``, which raises before anything is stored,
    or ``truncate=False`` in the call.

    Attributes:
        count: The number of texts.
        first: The id of the first document; for queries, the first query.
    """

    def __init__(self, message: str, *, count: int, first: str) -> None:
        super().__init__(message)
        self.count = count
        self.first = first


class ImageUnavailableError(LateInteractionError):
    """A page image cannot be loaded.

    Attributes:
        reason: The reason, without the name of the file.
    """

    def __init__(self, name: str, reason: str) -> None:
        super().__init__(f"{name}: {reason}.")
        self.reason = reason


class OptionalDependencyError(LateInteractionError, ImportError):
    """A feature needs a package that is not installed. The message contains the pip command."""

    def __init__(self, package: str, *, feature: str, extra: str) -> None:
        super().__init__(
            f"{feature} needs the package {package!r}, which is not installed. "
            f"Install it with: pip install 'late-interaction[{extra}]'"
        )
