"""The settings of stored token vectors that an evaluation compares: bits, pooling and dimension."""

from __future__ import annotations

from dataclasses import dataclass
from itertools import product
from typing import TYPE_CHECKING, Any

from late_interaction.errors import InvalidRequestError
from late_interaction.wording import shown_bits

if TYPE_CHECKING:
    from collections.abc import Iterable

__all__ = ["Setting", "check_bits", "check_dim", "check_pooling", "grid"]

_BITS = (0, 1, 2, 3, 4, 8, None)


@dataclass(frozen=True)
class Setting:
    """How token vectors are stored. The arguments are those of `Index.open`.

    Attributes:
        bits: Bits for each dimension; 0 for codes alone, None for float16.
        pooling: Tokens that become one vector.
        dim: Dimensions that are kept.
    """

    bits: int | None
    pooling: int
    dim: int

    def name(self, full_dim: int) -> str:
        """Return the setting in words, without what it leaves as the encoder makes it.

        Example:
            >>> Setting(2, 1, 128).name(128), Setting(None, 2, 64).name(128)
            ('2 bits', 'float16, pooling 2, dim 64')
        """
        words = [shown_bits(self.bits)]
        words += [f"pooling {self.pooling}"] if self.pooling > 1 else []
        words += [f"dim {self.dim}"] if self.dim != full_dim else []
        return ", ".join(words)

    def to_dict(self) -> dict[str, Any]:
        """Return the setting as JSON values."""
        return {"bits": self.bits, "pooling": self.pooling, "dim": self.dim}


def check_bits(bits: Iterable[Any]) -> None:
    """Raise `InvalidRequestError` unless all of these bits are possible."""
    for one in bits:
        if not (one is None or _is_integer(one)) or one not in _BITS:
            raise InvalidRequestError(
                f"bits must be of 0 (codes alone), 1, 2, 3, 4, 8 and None (float16), got {one!r}."
            )


def check_pooling(pooling: Iterable[Any]) -> None:
    """Raise `InvalidRequestError` unless these are positive integers."""
    for one in pooling:
        if not _is_integer(one) or one < 1:
            raise InvalidRequestError(f"pooling must be positive integers, got {one!r}.")


def check_dim(dim: Iterable[Any], highest: int) -> None:
    """Raise `InvalidRequestError` unless these are dimensions that an encoder of ``highest`` ones can be reduced to."""
    for one in dim:
        if not _is_integer(one) or not 0 < one <= highest:
            raise InvalidRequestError(f"dim must be integers between 1 and the encoder's {highest}, got {one!r}.")


def grid(base: Setting, bits: Iterable[int | None], pooling: Iterable[int], dim: Iterable[int]) -> list[Setting]:
    """Return every combination of the values asked for, where none are asked those of ``base``; without ``base``.

    Example:
        >>> [setting.bits for setting in grid(Setting(4, 1, 128), [1, 2, 4], [], [])]
        [1, 2]
    """
    combinations = product([*bits] or [base.bits], [*pooling] or [base.pooling], [*dim] or [base.dim])
    return [setting for setting in dict.fromkeys(Setting(*values) for values in combinations) if setting != base]


def _is_integer(value: object) -> bool:
    return isinstance(value, int) and not isinstance(value, bool)
