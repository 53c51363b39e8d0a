"""Compile the kernels of a module with numba, each for the types that its signature names, into object code.

This module, and with it numba, is only imported if there is no object code of the kernels on disk (see `loading`).

numba compiles each kernel behind a function with C's calling convention, `_entry`, that takes addresses, numbers of
elements and scalars. A few lines of LLVM's language, `_callers`, check arrays and read their addresses and shapes. All
are linked together, and LLVM emits them as one object file. It refers to nothing outside of itself: LLVM ends the
process if it cannot resolve a name. So a kernel must not allocate memory and must not raise exceptions.
"""

from __future__ import annotations

import ctypes
import inspect
from contextlib import contextmanager
from typing import TYPE_CHECKING, Any

import llvmlite.binding as llvm
import numba as nb
import numpy as np
from llvmlite import ir

from late_interaction.engines.local.kernels.arguments import (
    ALIGNED_C_ORDER,
    WRITEABLE,
    Argument,
    ArrayObject,
    Kernel,
)
from late_interaction.engines.local.kernels.cache import Code
from late_interaction.engines.local.kernels.loading import bind, cache_of, symbol_of, target_machine

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Mapping, Sequence

__all__ = ["Compiler", "own_settings", "readable"]

_OF_C = {
    "memcpy",
    "memmove",
    "memset",
    "sqrt",
    "sqrtf",
    "exp",
    "expf",
    "log",
    "logf",
    "floor",
    "floorf",
    "ceil",
    "ceilf",
}
"""Functions of C's libraries that kernels may use: every process of Python has them."""


_SETTINGS = {"DISABLE_JIT": 0, "BOUNDSCHECK": None, "DEBUGINFO_DEFAULT": 0}
"""Settings of numba that kernels are compiled with."""


@contextmanager
def own_settings() -> Iterator[None]:
    """Compile kernels, inside the block, as this package needs them.

    The environment (such as ``NUMBA_DISABLE_JIT`` while coverage is measured) says how numba compiles users' code.
    """
    usual = {name: getattr(nb.config, name) for name in _SETTINGS}
    try:
        vars(nb.config).update(_SETTINGS)
        yield
    finally:
        vars(nb.config).update(usual)


class Compiler:
    """Compiles the kernels of one module, which calls `finish` after the last.

    Functions that kernels call are declared with ``numba.njit`` and the same options. Constants are imported from the
    modules that define them: kernels are compiled again when these modules change, and looked at no others.

    Args:
        source: ``__file__`` of the module.
        options: Options of numba for every kernel.

    Example:
        >>> source = tmp / "doubling.py"  # a module has __file__
        >>> source.touch()
        >>> _compiler = Compiler(str(source), {})
        >>> @_compiler.kernel(nb.void(readable(nb.int64), nb.int64[::1]))
        ... def double(numbers, doubled):
        ...     for i in range(len(numbers)):
        ...         doubled[i] = 2 * numbers[i]
        >>> _compiler.finish()
        >>> doubled = np.empty(2, np.int64)
        >>> double(np.array([3, 4]), doubled)
        >>> doubled
        array([6, 8])
    """

    def __init__(self, source: str, options: Mapping[str, Any]) -> None:
        self._cache = cache_of(source)
        self._options = {"boundscheck": False, "error_model": "numpy", **options}
        self._kernels: list[Kernel] = []
        self._compilations: list[Callable[[], tuple[str, Any]]] = []

    def kernel(self, signature: Any, **options: Any) -> Callable[[Any], Kernel]:
        """Return a decorator that declares a kernel with the types of its arguments and its result."""
        options = {**self._options, **options}

        def declared(function: Any) -> Kernel:
            names = inspect.signature(function).parameters
            arguments = [_argument(*one) for one in zip(names, signature.args, strict=True)]
            result = None if signature.return_type == nb.void else str(signature.return_type)
            kernel = Kernel(function.__name__, arguments, result)
            self._kernels.append(kernel)
            self._compilations.append(lambda: _entry(function, signature, options))
            return kernel

        return declared

    def finish(self) -> None:
        """Compile the kernels, unless that was done before, and load them."""
        code = self._cache.read()
        if code is None:
            code = self._compiled()
            self._cache.write(code)
        bind(code, self._kernels)

    def _compiled(self) -> Code:
        entries = [compilation() for compilation in self._compilations]
        machine = target_machine()
        linked = llvm.parse_assembly(str(_callers(self._kernels, [name for name, _ in entries], machine)))
        for kernel, (_, module) in zip(self._kernels, entries, strict=True):
            linked.link_in(module)
            _check_is_closed(kernel, linked, [name for name, _ in entries])
        described = {kernel.__name__: [kernel.arguments, kernel.result] for kernel in self._kernels}
        return Code(described, machine.emit_object(linked))


def readable(kind: Any, dimensions: int = 1) -> Any:
    """Return the type of a C-ordered array that may be read-only, as columns mapped from files are."""
    return nb.types.Array(kind, dimensions, "C", readonly=True)


def _argument(name: str, type_: Any) -> Argument:
    if not isinstance(type_, nb.types.Array):
        return Argument(name, str(type_), 0, is_written=False)
    if type_.layout != "C":
        raise TypeError(f"{name} must be declared as a C-contiguous array, got {type_}.")
    return Argument(name, str(type_.dtype), type_.ndim, is_written=type_.mutable)


def _entry(function: Any, signature: Any, options: Mapping[str, Any]) -> tuple[str, Any]:
    """Compile a kernel behind a function of addresses, numbers of elements and scalars.

    Returns:
        Its name in LLVM's module, and the module.
    """
    compiled = nb.njit(inline="always", **options)(function)
    parameters: list[str] = []
    types: list[Any] = []
    values: list[str] = []
    address_of: Any = nb.types.CPointer
    for at, type_ in enumerate(signature.args):
        if isinstance(type_, nb.types.Array):
            lengths = [f"length{at}_{axis}" for axis in range(type_.ndim)]
            parameters += [f"data{at}", *lengths]
            types += [address_of(type_.dtype), *(nb.intp for _ in lengths)]
            values.append(f"nb.carray(data{at}, ({', '.join(lengths)},))")
        else:
            parameters.append(f"value{at}")
            types.append(type_)
            values.append(f"value{at}")
    source = f"def entry({', '.join(parameters)}):\n    return kernel({', '.join(values)})\n"
    namespace: dict[str, Any] = {"kernel": compiled, "nb": nb}
    exec(source, namespace)  # noqa: S102  # numba needs a function with this number of parameters
    of_c = nb.cfunc(signature.return_type(*types), forceinline=True, **options)(namespace["entry"])
    return of_c.native_name, llvm.parse_assembly(of_c.inspect_llvm())


def _callers(kernels: Sequence[Kernel], entries: Sequence[str], machine: Any) -> Any:
    """Return the functions that `Kernel` calls, in LLVM's language."""
    module = ir.Module("callers")
    module.triple = machine.triple
    module.data_layout = str(machine.target_data)
    for kernel, entry in zip(kernels, entries, strict=True):
        _add_caller(module, kernel, entry)
    return module


def _add_caller(module: Any, kernel: Kernel, entry: str) -> None:
    """Add the function that checks the arrays for a kernel, and passes on their addresses and shapes."""
    arrays = [one for one in kernel.arguments if one.dimensions]
    scalars = [_llvm_type(one.kind) for one in kernel.arguments if not one.dimensions]
    result = ir.VoidType() if kernel.result is None else _llvm_type(kernel.result)
    results = [] if kernel.result is None else [_POINTER]
    kind = ir.FunctionType(_I64, [_POINTER, *(_POINTER for _ in arrays), *scalars, *results])
    function = ir.Function(module, kind, symbol_of(kernel.__name__))
    types, *given = function.args
    builder = ir.IRBuilder(function.append_basic_block())
    for at, (argument, array) in enumerate(zip(arrays, given, strict=False)):
        wanted = _load(builder, types, at * _POINTER_BYTES, _I64)
        accepted = builder.and_(
            builder.icmp_signed("==", _field(builder, array, "nd"), _I32(argument.dimensions)),
            builder.icmp_signed("==", _field(builder, array, "descr"), wanted),
        )
        flags = _I32(ALIGNED_C_ORDER | (WRITEABLE if argument.is_written else 0))
        has_flags = builder.icmp_signed("==", builder.and_(_field(builder, array, "flags"), flags), flags)
        with builder.if_then(builder.not_(builder.and_(accepted, has_flags)), likely=False):
            builder.ret(_I64(at + 1))
    of_arrays, of_scalars = iter(given), iter(given[len(arrays) :])
    values: list[Any] = []
    for argument in kernel.arguments:
        if argument.dimensions:
            array = next(of_arrays)
            shape = _pointer(builder, _field(builder, array, "dimensions"))
            values.append(_pointer(builder, _field(builder, array, "data")))
            values += [_load(builder, shape, axis * _POINTER_BYTES, _I64) for axis in range(argument.dimensions)]
        else:
            values.append(next(of_scalars))
    called = ir.Function(module, ir.FunctionType(result, [value.type for value in values]), entry)
    returned = builder.call(called, values)
    if results:
        builder.store(returned, builder.bitcast(given[-1], result.as_pointer()))
    builder.ret(_I64(0))


_I8, _I32, _I64 = ir.IntType(8), ir.IntType(32), ir.IntType(64)
_POINTER = _I8.as_pointer()
_POINTER_BYTES = ctypes.sizeof(ctypes.c_void_p)


def _llvm_type(kind: str) -> Any:
    """Return LLVM's type of a scalar in a call of C."""
    type_ = np.dtype(kind)
    if type_.kind == "f":
        return ir.FloatType() if type_.itemsize == 4 else ir.DoubleType()
    return ir.IntType(1 if type_.kind == "b" else 8 * type_.itemsize)


def _field(builder: Any, array: Any, name: str) -> Any:
    """Load a field of an array object; an address as an integer."""
    field = getattr(ArrayObject, name)
    return _load(builder, array, field.offset, _I32 if field.size == 4 else _I64)


def _load(builder: Any, pointer: Any, offset: int, type_: Any) -> Any:
    return builder.load(builder.bitcast(builder.gep(pointer, [_I64(offset)]), type_.as_pointer()))


def _pointer(builder: Any, address: Any) -> Any:
    return builder.inttoptr(address, _POINTER)


def _check_is_closed(kernel: Kernel, module: Any, entries: Sequence[str]) -> None:
    """Refuse a kernel that refers to anything outside of the code that is linked so far, besides other kernels.

    Raises:
        TypeError: It allocates memory, raises exceptions, or is too large for LLVM to find out that it does not.
    """
    declared = {one.name for one in [*module.functions, *module.global_variables] if one.is_declaration}
    of_c = {name for name in _OF_C if llvm.address_of_symbol(name)}
    missing = {name for name in declared - {*entries, *of_c} if not name.startswith("llvm.")}
    missing |= {one.name for one in module.global_variables if one.name.startswith("numba.dynamic")}
    if missing:
        raise TypeError(
            f"The kernel {kernel.__name__} refers to {', '.join(sorted(missing))}. Kernels and the functions that they "
            "call must not allocate memory, raise exceptions (as an assignment of one array to another may), or use "
            "constant arrays of more than a megabyte. Functions that they call need the option "
            'error_model="numpy", and long ones forceinline=True.'
        )
