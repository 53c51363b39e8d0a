"""The values of Python, numpy and pandas that are stored as JSON although JSON has no type for them."""

from __future__ import annotations

import dataclasses
import datetime
from decimal import Decimal
from enum import Enum
from pathlib import PurePath
from typing import Any
from uuid import UUID

import numpy as np

from late_interaction.errors import InvalidDocumentError

__all__ = ["json_value", "refusal"]

_DAYS = frozenset("YMWD")  # units of numpy's datetime64 that have no time of day


def json_value(value: Any, name: str) -> Any:
    """Return the value of JSON that stands for one of Python, numpy or pandas; any other value unchanged.

    Elements of lists and dicts are not converted.

    ===============================  ==================================================================================
    given                            stored
    ===============================  ==================================================================================
    `datetime.datetime`              ISO 8601 text. With a time zone it is converted to UTC, so that the text of equal
                                     instants is equal and texts sort by time; the offset is not kept. Without a time
                                     zone it stays as it is.
    `datetime.date`, `time`          ISO 8601 text.
    `datetime.timedelta`             Seconds, a float.
    `decimal.Decimal`                An integer if it is one, else the nearest float (15 to 17 significant digits).
    `uuid.UUID`, `pathlib.PurePath`  Text.
    `enum.Enum`                      Its value.
    numpy scalar                     The number, boolean or date.
    numpy array, tuple               A list.
    ===============================  ==================================================================================

    Args:
        value: The value.
        name: What it is, for errors.

    Raises:
        InvalidDocumentError: A date that is missing (NaT) or that no calendar of Python has, or a decimal that is not
            finite.

    Example:
        >>> json_value(datetime.datetime(2024, 1, 2, 3, 4, tzinfo=datetime.timezone(datetime.timedelta(hours=2))), "x")
        '2024-01-02T01:04:00+00:00'
        >>> json_value(Decimal("19.99"), "price"), json_value(np.int64(3), "year")
        (19.99, 3)
    """
    if isinstance(value, Enum):
        return json_value(value.value, name)
    if isinstance(value, datetime.date):  # datetime.datetime is one, too, and pandas.Timestamp
        return _date_text(value, name)
    if isinstance(value, datetime.time):
        return value.isoformat()
    if isinstance(value, datetime.timedelta):
        return value.total_seconds()
    if isinstance(value, Decimal):
        return _decimal_number(value, name)
    if isinstance(value, (UUID, PurePath)):
        return str(value)
    if isinstance(value, np.generic):
        return _numpy_scalar(value, name)
    if type(value) is np.ndarray:  # a subclass may mask elements, or stay a matrix however deep it is indexed
        return list(value) if value.ndim else json_value(value[()], name)
    return value


def refusal(value: object) -> str:
    """Return why a value cannot be stored and what to do, to follow its name in an error."""
    kind = type(value).__name__
    if hasattr(value, "model_dump"):
        advice = "Store `value.model_dump()`."
    elif dataclasses.is_dataclass(value) and not isinstance(value, type):
        advice = "Store `dataclasses.asdict(value)`."
    elif isinstance(value, (bytes, bytearray, memoryview)):
        advice = "Decode it, or encode it as base64."
    elif isinstance(value, (set, frozenset)):
        advice = "Store `sorted(value)`."
    elif hasattr(value, "tolist"):
        advice = "Store `value.tolist()`."
    else:
        advice = "Use strings, numbers, booleans, None, dates, lists and dicts."
    return f"is a {kind}, which JSON cannot hold. {advice}"


def _date_text(value: datetime.date, name: str) -> str:
    if value != value:  # pandas.NaT equals nothing, like NaN
        raise InvalidDocumentError(f"{name} is NaT, which JSON cannot hold. Use None.")
    if isinstance(value, datetime.datetime) and value.utcoffset() is not None:
        try:
            return value.astimezone(datetime.timezone.utc).isoformat()
        except OverflowError:
            raise InvalidDocumentError(f"{name} is {value}, which has no year in UTC. Use a string.") from None
    return value.isoformat()


def _decimal_number(value: Decimal, name: str) -> int | float:
    if not value.is_finite():
        raise InvalidDocumentError(f"{name} is {value}, which JSON cannot hold. Use None.")
    is_integer = -(2**63) <= value < 2**63 and value == value.to_integral_value()
    number = int(value) if is_integer else float(value)
    if number in (float("inf"), float("-inf")):
        raise InvalidDocumentError(f"{name} is {value}, which is beyond the range of floats. Use a string.")
    return number


def _numpy_scalar(value: np.generic, name: str) -> Any:
    if isinstance(value, np.timedelta64):  # which is a number, too
        return _seconds(value, name)
    if isinstance(value, np.datetime64):
        return _datetime64_text(value, name)
    if isinstance(value, np.bool_):
        return bool(value)
    if isinstance(value, np.integer):
        return int(value)
    if isinstance(value, np.floating):
        return float(value)
    return value


def _seconds(value: np.timedelta64, name: str) -> float:
    if np.isnat(value):
        raise InvalidDocumentError(f"{name} is NaT, which JSON cannot hold. Use None.")
    try:
        return float(value / np.timedelta64(1, "s"))
    except TypeError:
        raise InvalidDocumentError(f"{name} is {value}, which is no fixed number of seconds. Use a string.") from None


def _datetime64_text(value: np.datetime64, name: str) -> str:
    if np.isnat(value):
        raise InvalidDocumentError(f"{name} is NaT, which JSON cannot hold. Use None.")
    if np.datetime_data(value.dtype)[0] in _DAYS:
        rounded = value.astype("datetime64[D]")
    else:
        rounded = value.astype("datetime64[us]")
    known: Any = rounded.item()
    if not isinstance(known, datetime.date):
        raise InvalidDocumentError(f"{name} is {value}, which is not in the years 1 to 9999. Use a string.")
    return known.isoformat() if rounded == value else str(value)  # str: of nanoseconds, as pandas writes them
