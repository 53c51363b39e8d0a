"""Check a pickle of Qdrant's local mode, which may come from a stranger, without running anything of it.

The client stores each point as a pickle of two of its classes and of JSON values. Neither class runs code when an
object is made of it or gets its state. So a pickle is unpickled here with all other classes and functions refused,
after a check that it has no opcode that takes more memory than it has bytes.
"""

from __future__ import annotations

import io
import pickle
import re
from struct import Struct
from typing import Any, NoReturn

from qdrant_client import models

__all__ = ["ForeignClassError", "is_point"]

_STORED_CLASSES = {(one.__module__, one.__name__): one for one in (models.PointStruct, models.SparseVector)}

_MAX_EXPANDED_BYTES = 2**28  # of a point in which every reference to an earlier object is a copy of it

# Of protocols 2 to 5, without numbers of places in the memo and lengths of buffers, for which memory is reserved.
_OPCODES_OF_FIXED_SIZE = re.compile(
    rb"""(?:
    (?:G.{8}){1,1000}                         # floats: together, which is four times as fast
    | J.{4} | K. | M..                        # integers
    | [\x88\x89N]                             # True, False, None
    | [\]}()tlda\x8f\x85\x86\x87eus\x90]       # containers
    | \x94 | h. | j.{4} | q.                  # the memo
    | \x93 | c[^\n]*\n[^\n]*\n                 # classes and functions
    | \x81 | R | b                            # objects and their state
    | \x80[\x02-\x05] | \x95.{8}               # header and frames
    ){0,1000}""",  # bounded, since each repetition takes memory
    re.DOTALL | re.VERBOSE,
)
_LENGTHS = {b"\x8c": Struct("<B"), b"X": Struct("<I"), b"\x8d": Struct("<Q"), b"\x8a": Struct("<B")}
"""Of what follows the opcodes of strings, and of integers of any size."""
_STOP = b"."


class ForeignClassError(Exception):
    """A pickle names a class or function that the client does not store."""


class _TooLargeError(Exception):
    """A point takes too much memory."""


class _Unpickler(pickle.Unpickler):
    def find_class(self, module: str, name: str, /) -> Any:
        try:
            return _STORED_CLASSES[module, name]
        except KeyError:
            raise ForeignClassError(f"{module}.{name}") from None

    def persistent_load(self, pid: Any) -> NoReturn:
        raise ForeignClassError(f"the persistent object {pid!r:.80}")


class _Limit:
    """A file that only counts what is written."""

    def __init__(self, size: int) -> None:
        self._left = size

    def write(self, data: Any) -> int:
        self._left -= len(data)
        if self._left < 0:
            raise _TooLargeError
        return len(data)


def is_point(data: object) -> bool:
    """Return whether this is the pickle of a point.

    Raises:
        ForeignClassError: It names another class or function than those that the client stores.
    """
    if not isinstance(data, bytes):
        return False
    try:
        if not _has_known_opcodes(data):
            return False
        point = _Unpickler(io.BytesIO(data)).load()
        if type(point) is not models.PointStruct or type(point.id) not in (int, str):
            return False
        copier = pickle.Pickler(_Limit(_MAX_EXPANDED_BYTES), protocol=4)
        copier.fast = True  # references become copies, as when the client makes arrays and JSON of them
        copier.dump((point.vector, point.payload))
    except ForeignClassError:
        raise
    except Exception:  # noqa: BLE001  # a damaged pickle raises almost anything
        return False
    return True


def _has_known_opcodes(data: bytes) -> bool:
    place = 0
    while match := _OPCODES_OF_FIXED_SIZE.match(data, place):
        place = match.end()
        if match[0]:
            continue
        opcode = data[place : place + 1]
        length = _LENGTHS.get(opcode)
        if length is None or len(data) - place <= length.size:
            break
        place += 1 + length.size + length.unpack_from(data, place + 1)[0]
    return data[place:] == _STOP
