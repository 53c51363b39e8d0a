"""`NamedEncoder`: encoders of checkpoints are pickled as the name of their checkpoint, and not copied."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from collections.abc import Callable

    from typing_extensions import Self

    from late_interaction.encoders.protocol import LoadedEncoder

__all__ = ["NamedEncoder"]


class NamedEncoder:
    """The base of encoders that `load_encoder` loads.

    A pickled encoder is loaded by its name where it arrives, once in each process. A copy is the encoder itself, which
    does not change and which any thread may call.

    Attributes:
        source: What `load_encoder` loads the encoder from; None if only the caller can load it.
        revision: Branch, tag or commit of ``source``.
        given_dtype: The precision that was given to load it; None for the default of the machine.
    """

    source: str | None
    revision: str | None
    given_dtype: str | None = None

    def __copy__(self) -> Self:
        return self

    def __deepcopy__(self, memo: dict[int, Any]) -> Self:
        return self

    def __reduce__(self) -> tuple[Callable[..., LoadedEncoder], tuple[Any, ...]]:
        if self.source is None:
            raise TypeError(
                f"This {type(self).__name__} cannot be pickled: it was made from a model object or runs code of its "
                "checkpoint, so it cannot be loaded again by a name. Use a name that load_encoder takes, or load the "
                "encoder in each process."
            )
        options = {**getattr(self, "options", {}), "dtype": self.given_dtype}
        return _load, (self.source, self.revision, options)


def _load(source: str, revision: str | None, options: dict[str, Any]) -> LoadedEncoder:
    from late_interaction.encoders.sharing import shared_encoder

    return shared_encoder(source, revision=revision, **options)
