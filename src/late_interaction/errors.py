"""Every error this package raises on purpose. Each message says what is wrong and what to do."""

from __future__ import annotations


class LateInteractionError(Exception):
    """Base of all errors of this package."""


class InvalidRequestError(LateInteractionError, ValueError):
    """An argument of a call cannot be used as given."""


class UnsupportedError(InvalidRequestError):
    """The engine of the index cannot do what was asked."""


class InvalidDocumentError(LateInteractionError, ValueError):
    """A document cannot be stored: wrong types, or metadata that is not JSON."""


class DuplicateIdError(InvalidDocumentError):
    """One call names the same id twice."""


class InvalidVectorsError(LateInteractionError, ValueError):
    """Token vectors that cannot be stored or searched: wrong shape, wrong dimension, NaN or infinity."""


class InvalidFilterError(LateInteractionError, ValueError):
    """A ``where`` filter that cannot be understood."""


class UnknownIdError(LateInteractionError, LookupError):
    """An id that the index does not hold."""


class UnsupportedCheckpointError(LateInteractionError, ValueError):
    """A checkpoint without trained token vectors, or in a format that cannot be loaded."""


class MissingEncoderError(LateInteractionError):
    """The call needs an encoder and none is known."""


class IncompatibleEncoderError(LateInteractionError):
    """The encoder is not the one the index was built with."""


class IndexNotFoundError(LateInteractionError, FileNotFoundError):
    """There is no index at this path."""


class IndexLockedError(LateInteractionError):
    """Another writer has the index open."""


class IndexClosedError(LateInteractionError):
    """The index was closed."""


class ReadOnlyIndexError(LateInteractionError):
    """The index was opened with ``read_only=True``."""


class CorruptIndexError(LateInteractionError):
    """The files of the index are damaged, incomplete or not an index."""


class StorageError(LateInteractionError, OSError):
    """Reading or writing the index files failed: the disk is full, gone or not permitted. The last commit stands."""


class IndexReplacedError(StorageError):
    """The directory of the index was moved, replaced or removed after it was opened. Open it again."""


class ImageUnavailableError(LateInteractionError):
    """A page image cannot be read or given back.

    Attributes:
        reason: Why, without the name of the file.
    """

    def __init__(self, name: str, reason: str) -> None:
        super().__init__(f"{name}: {reason}.")
        self.reason = reason


class OptionalDependencyError(LateInteractionError, ImportError):
    """A feature needs a package that is not installed; the message has the pip line."""

    def __init__(self, package: str, *, feature: str, extra: str) -> None:
        super().__init__(
            f"{feature} needs the package {package!r}, which is not installed. "
            f"Install it with: pip install 'late-interaction[{extra}]'"
        )
