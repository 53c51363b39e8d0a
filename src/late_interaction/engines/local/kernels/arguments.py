"""Call compiled kernels with NumPy arrays, which the compiled code checks and reads itself.

It reads ``PyArrayObject``, the structure of NumPy's C interface that every compiled extension reads in place. So a call
with a dozen arrays takes two microseconds. To ask NumPy for the address of one array from Python takes as long.
"""

from __future__ import annotations

import ctypes
from operator import index
from typing import TYPE_CHECKING, Any, NamedTuple

import numpy as np

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

__all__ = ["ALIGNED_C_ORDER", "WRITEABLE", "Argument", "ArrayObject", "Kernel"]

ALIGNED_C_ORDER, WRITEABLE = 0x0101, 0x0400
"""Flags of arrays in NumPy's C interface."""

_SCALARS: dict[str, tuple[Any, Callable[[Any], Any]]] = {
    "bool": (ctypes.c_bool, bool),
    "int8": (ctypes.c_int8, index),
    "uint8": (ctypes.c_uint8, index),
    "int16": (ctypes.c_int16, index),
    "uint16": (ctypes.c_uint16, index),
    "int32": (ctypes.c_int32, index),
    "uint32": (ctypes.c_uint32, index),
    "int64": (ctypes.c_int64, index),
    "uint64": (ctypes.c_uint64, index),
    "float32": (ctypes.c_float, float),
    "float64": (ctypes.c_double, float),
}
"""By the name of a scalar's type in NumPy, its type in C, and what makes a Python number of a scalar."""


class ArrayObject(ctypes.Structure):
    """The first fields of ``PyArrayObject``."""

    _fields_ = (
        ("head", ctypes.c_char * object.__basicsize__),
        ("data", ctypes.c_void_p),
        ("nd", ctypes.c_int),
        ("dimensions", ctypes.c_void_p),
        ("strides", ctypes.c_void_p),
        ("base", ctypes.c_void_p),
        ("descr", ctypes.c_void_p),
        ("flags", ctypes.c_int),
    )


class Argument(NamedTuple):
    """An argument of a kernel.

    Attributes:
        name: Its name in the source.
        kind: The type of a scalar, or of the elements of an array: its name in NumPy.
        dimensions: Of an array; 0 for a scalar.
        is_written: Whether the array must be writable.
    """

    name: str
    kind: str
    dimensions: int
    is_written: bool

    def __str__(self) -> str:
        if not self.dimensions:
            return f"a scalar of type {self.kind}"
        order = "C-contiguous, aligned and writable" if self.is_written else "C-contiguous and aligned"
        return f"an array of {self.kind} with {self.dimensions} dimension(s), {order}"


class Kernel:
    """A compiled function of arrays and scalars. It releases the GIL.

    The compiled code takes the addresses of the types of its arrays; the array objects; the scalars; and, unless it
    returns nothing, where its result goes. It returns 0, or the number, from 1, of an array that it does not accept.

    Args:
        name: Its name.
        arguments: What it takes.
        result: The type of the scalar it returns; None if it returns nothing.

    Raises:
        TypeError: When it is called: an argument is not what it takes.
    """

    def __init__(self, name: str, arguments: Sequence[Argument], result: str | None) -> None:
        self.__name__ = name
        self.arguments = tuple(arguments)
        self.result = result
        self._arrays = [at for at, one in enumerate(arguments) if one.dimensions]
        self._scalars = [(at, _SCALARS[one.kind][1]) for at, one in enumerate(arguments) if not one.dimensions]
        self._types = [np.dtype(arguments[at].kind) for at in self._arrays]
        self._type_addresses = (ctypes.c_void_p * len(self._arrays))(*map(id, self._types))
        self._result_type = None if result is None else _SCALARS[result][0]
        self._function: Callable[..., int] | None = None

    def bind(self, address: int) -> None:
        """Set the address of the compiled code."""
        scalars = [_SCALARS[self.arguments[at].kind][0] for at, _ in self._scalars]
        results = [] if self.result is None else [ctypes.c_void_p]
        pointers = [ctypes.c_void_p] * (1 + len(self._arrays))
        self._function = ctypes.CFUNCTYPE(ctypes.c_int64, *pointers, *scalars, *results)(address)

    def __call__(self, *arguments: Any) -> Any:
        """Run the compiled code; return its result."""
        if len(arguments) != len(self.arguments):
            raise TypeError(f"{self.__name__} takes {len(self.arguments)} arguments, got {len(arguments)}.")
        arrays = [arguments[at] for at in self._arrays]
        if {*map(type, arrays)} != _ARRAYS_ALONE:
            self._check_arrays(arrays)
        scalars = [number(arguments[at]) for at, number in self._scalars]
        if self._result_type is None:
            refused = self._function(self._type_addresses, *map(id, arrays), *scalars)  # type: ignore[misc]
        else:
            result = self._result_type()
            refused = self._function(  # type: ignore[misc]
                self._type_addresses, *map(id, arrays), *scalars, ctypes.addressof(result)
            )
        if refused:
            return self._with_usual_types(arguments, self._arrays[refused - 1])
        return None if self._result_type is None else result.value

    def _check_arrays(self, arrays: Sequence[Any]) -> None:
        for at, array in zip(self._arrays, arrays, strict=True):
            if not isinstance(array, np.ndarray):
                raise TypeError(self._refusal(at, type(array).__name__))

    def _with_usual_types(self, arguments: Sequence[Any], refused: int) -> Any:
        """Call with the object that NumPy usually has for a type, if another one equal to it is why it was refused."""
        array, type_ = arguments[refused], np.dtype(self.arguments[refused].kind)
        if array.dtype is type_ or array.dtype != type_:
            flags = ", ".join(name for name in ("C_CONTIGUOUS", "ALIGNED", "WRITEABLE") if array.flags[name])
            raise TypeError(self._refusal(refused, f"{array.dtype} with {array.ndim} dimension(s) and flags {flags}"))
        return self(*arguments[:refused], array.view(type_), *arguments[refused + 1 :])

    def _refusal(self, at: int, got: str) -> str:
        return f"{self.__name__}: {self.arguments[at].name} must be {self.arguments[at]}, got {got}."


_ARRAYS_ALONE = {np.ndarray}


def _check_layout() -> None:
    """Check that this NumPy has the structure as it is documented.

    Raises:
        ImportError: It has not.
    """
    probe = np.arange(6, dtype=np.uint16).reshape(2, 3)
    seen = ArrayObject.from_address(id(probe))
    shape = (ctypes.c_ssize_t * 2).from_address(seen.dimensions or 0) if seen.nd == probe.ndim else ()
    if (
        tuple(shape) != probe.shape
        or seen.data != probe.ctypes.data
        or seen.descr != id(probe.dtype)
        or seen.flags & 0xFFFF != probe.flags.num & 0xFFFF
    ):
        raise ImportError(f"The arrays of NumPy {np.__version__} are not laid out as documented for PyArrayObject.")


_check_layout()
