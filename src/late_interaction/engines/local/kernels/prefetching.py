"""An instruction for kernels: ask for memory that will be read soon."""

from __future__ import annotations

from typing import Any

import numba as nb
from llvmlite import ir
from numba.core.cgutils import get_or_insert_function

__all__ = ["prefetch"]


@nb.extending.intrinsic
def prefetch(_context: Any, column: Any, row: Any) -> Any:
    """Ask for the row of a C-ordered array: the documents that are scored lie far from each other."""

    def generate(context: Any, builder: Any, signature: Any, arguments: Any) -> Any:
        array = context.make_array(signature.args[0])(context, builder, arguments[0])
        stride = builder.extract_value(array.strides, 0)
        address = builder.add(builder.ptrtoint(array.data, stride.type), builder.mul(arguments[1], stride))
        pointer, number = ir.IntType(8).as_pointer(), ir.IntType(32)
        kind = ir.FunctionType(ir.VoidType(), [pointer, number, number, number])
        function = get_or_insert_function(builder.module, kind, "llvm.prefetch.p0")  # type: ignore[no-untyped-call]
        # To be read (0), kept in all caches (3), data (1).
        builder.call(function, [builder.inttoptr(address, pointer), number(0), number(3), number(1)])
        return context.get_dummy_value()

    return nb.void(column, nb.intp), generate
