"""Read pickles of strings, integers, or a dict of these, without unpickling.

A pickle is a program. The few instructions that make such values are carried out here; any other one is refused, above
all those that name a class or a function. Values cannot be nested, so memory is bounded by a small multiple of the
number of bytes.
"""

from __future__ import annotations

import io
import os
from struct import Struct
from typing import TYPE_CHECKING, Any, TypeAlias

from late_interaction.importers.files import damaged, open_file

if TYPE_CHECKING:
    from pathlib import Path
    from typing import BinaryIO

__all__ = ["Plain", "parsed_pickle", "read_pickle"]

Plain: TypeAlias = str | int | dict[str | int, str | int]

_MAX_BYTES = 2**28  # ids of more than 10 million documents
_MAX_STRING_BYTES = 2**20
_NUMBERS = {b"K": Struct("<B"), b"M": Struct("<H"), b"J": Struct("<i")}
_LENGTHS_OF_STRINGS = {b"\x8c": Struct("<B"), b"X": Struct("<I"), b"\x8d": Struct("<Q")}
_STORES = {b"q": Struct("<B"), b"r": Struct("<I")}
_LOADS = {b"h": Struct("<B"), b"j": Struct("<I")}
_MARK: Any = object()


class _RefusedError(Exception):
    """A pickle is damaged, or has an instruction that is not carried out."""


def read_pickle(folder: Path, name: str) -> Plain:
    """Return the value of a pickle in a file.

    Args:
        folder: The folder of the source.
        name: The name of the file, as for `files.open_file`.

    Raises:
        CorruptIndexError: The file is missing, damaged, or contains anything else.
    """
    with open_file(folder, name) as file:
        if (size := os.fstat(file.fileno()).st_size) > _MAX_BYTES:
            raise damaged(folder / name, f"is too large: {size:,} bytes, at most {_MAX_BYTES:,} are read")
        return _value(folder / name, io.BufferedReader(file, 2**20))


def parsed_pickle(path: Path, content: bytes) -> Plain:
    """Return the value of a pickle.

    Raises:
        CorruptIndexError: It is damaged, or contains anything else. The message names the path.
    """
    return _value(path, io.BytesIO(content))


def _value(path: Path, file: BinaryIO) -> Plain:
    try:
        return _Machine(file).run()
    except _RefusedError as error:
        raise damaged(
            path, f"is not a pickle of strings and numbers alone ({error}), and nothing else is loaded"
        ) from None


class _Machine:
    """Carries out the instructions of one pickle."""

    def __init__(self, file: BinaryIO) -> None:
        self._file = file
        self._stack: list[Any] = []
        self._memo: list[Any] = []

    def run(self) -> Plain:
        while (opcode := self._exactly(1)) != b".":
            try:
                self._step(opcode)
            except (IndexError, TypeError, ValueError):
                raise _RefusedError(f"the instruction {opcode!r} does not fit those before it") from None
        if self._file.read(1) or len(self._stack) != 1 or self._stack[0] is _MARK:
            raise _RefusedError("it does not end with one value")
        value: Plain = self._stack[0]
        return value

    def _step(self, opcode: bytes) -> None:
        stack = self._stack
        if opcode in _LENGTHS_OF_STRINGS:
            stack.append(self._string(self._number(_LENGTHS_OF_STRINGS[opcode])))
        elif opcode in _NUMBERS:
            stack.append(self._number(_NUMBERS[opcode]))
        elif opcode == b"\x8a":
            stack.append(int.from_bytes(self._exactly(self._exactly(1)[0]), "little", signed=True))
        elif opcode == b"\x94":
            self._memo.append(stack[-1])
        elif opcode in _STORES:
            if self._number(_STORES[opcode]) != len(self._memo):  # `pickle` counts, too
                raise ValueError
            self._memo.append(stack[-1])
        elif opcode in _LOADS:
            stack.append(self._memo[self._number(_LOADS[opcode])])
        elif opcode == b"(":
            stack.append(_MARK)
        else:
            self._compose(opcode)

    def _compose(self, opcode: bytes) -> None:
        if opcode == b"}" and not self._stack:
            self._stack.append({})
        elif opcode == b"s":
            value, key = self._stack.pop(), self._stack.pop()
            self._insert([key, value])
        elif opcode == b"u":
            start = len(self._stack) - self._stack[::-1].index(_MARK)  # after the last mark
            values = self._stack[start:]
            del self._stack[start - 1 :]
            self._insert(values)
        elif opcode == b"\x80":
            if self._exactly(1)[0] not in range(2, 6):
                raise ValueError
        elif opcode == b"\x95":
            self._exactly(8)
        else:
            raise _RefusedError(f"it has the instruction {opcode!r}")

    def _insert(self, values: list[Any]) -> None:
        target = self._stack[-1]
        if not isinstance(target, dict) or any(type(value) not in (str, int) for value in values):
            raise ValueError
        target.update(zip(values[::2], values[1::2], strict=True))

    def _number(self, form: Struct) -> int:
        number: int = form.unpack(self._exactly(form.size))[0]
        return number

    def _string(self, size: int) -> str:
        if size > _MAX_STRING_BYTES:
            raise _RefusedError(f"it has a string of {size:,} bytes, at most {_MAX_STRING_BYTES:,} are read")
        return self._exactly(size).decode("utf-8")

    def _exactly(self, size: int) -> bytes:
        content = self._file.read(size)
        if len(content) != size:
            raise _RefusedError("it is truncated")
        return content
