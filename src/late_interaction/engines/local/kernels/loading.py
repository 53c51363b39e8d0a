"""Load compiled kernels. Those that are kept on disk are loaded without importing numba or their module."""

from __future__ import annotations

import hashlib
import importlib.util
import os
import re
import sys
from importlib import import_module
from pathlib import Path
from types import SimpleNamespace
from typing import TYPE_CHECKING, Any

import llvmlite
import llvmlite.binding as llvm
import numpy as np

from late_interaction import __version__
from late_interaction.engines.local.kernels import arguments
from late_interaction.engines.local.kernels.arguments import Argument, ArrayObject, Kernel
from late_interaction.engines.local.kernels.cache import CodeCache

if TYPE_CHECKING:
    from collections.abc import Iterable

    from late_interaction.engines.local.kernels.cache import Code

__all__ = ["bind", "cache_of", "load", "symbol_of", "target_machine"]

_PACKAGE = __name__.partition(".")[0]
_IMPORTED = re.compile(rf"^from ({_PACKAGE}[.\w]*) import", re.MULTILINE)

_engines: list[Any] = []  # which own the machine code: kept as long as the process


def load(name: str) -> SimpleNamespace:
    """Return the kernels of a module by name; import the module, and numba, only if they are not on disk."""
    specification = importlib.util.find_spec(name)
    if specification is None or specification.origin is None:
        raise ModuleNotFoundError(f"There is no module {name}.")
    code = cache_of(specification.origin).read()
    if code is None:
        from late_interaction.engines.local.kernels.compilation import own_settings

        with own_settings():
            module = import_module(name)
        return SimpleNamespace(**{one: getattr(module, one) for one in module.__all__})
    kernels = [
        Kernel(name, [Argument(*one) for one in taken], result) for name, (taken, result) in code.kernels.items()
    ]
    bind(code, kernels)
    return SimpleNamespace(**{kernel.__name__: kernel for kernel in kernels})


def bind(code: Code, kernels: Iterable[Kernel]) -> None:
    """Load object code, and give its kernels their addresses."""
    engine = llvm.create_mcjit_compiler(llvm.parse_assembly(""), target_machine())
    engine.add_object_file(llvm.ObjectFileRef.from_data(code.object_code))
    engine.finalize_object()
    _engines.append(engine)
    for kernel in kernels:
        kernel.bind(engine.get_function_address(symbol_of(kernel.__name__)))


def symbol_of(kernel: str) -> str:
    """Return the name that a kernel has in object code."""
    return f"late_interaction.{kernel}"


def target_machine() -> Any:
    """Return LLVM's target machine: this processor, or what ``NUMBA_CPU_NAME`` and ``NUMBA_CPU_FEATURES`` say.

    LLVM's code model for code that is loaded at any address makes no assumption about distances.
    """
    llvm.initialize_native_target()
    llvm.initialize_native_asmprinter()
    name, features = _processor()
    target = llvm.Target.from_triple(llvm.get_process_triple())
    reloc = "static" if target.name.startswith("x86") else "default"  # as numba has it
    return target.create_target_machine(
        cpu=name, features=features, opt=3, reloc=reloc, codemodel="jitdefault", jit=True
    )


def _processor() -> tuple[str, str]:
    """Return the name and the features of the processor that kernels are compiled for."""
    features = os.environ.get("NUMBA_CPU_FEATURES")
    return (
        os.environ.get("NUMBA_CPU_NAME") or llvm.get_host_cpu_name(),
        llvm.get_host_cpu_features().flatten() if features is None else features,
    )


def cache_of(source: str) -> CodeCache:
    """Return where the compiled kernels of a source file are kept, for this machine and these versions."""
    path = Path(source).absolute()
    versions = [sys.implementation.cache_tag or "", __version__, np.__version__, llvmlite.__version__, _numba_version()]
    called = [str(ArrayObject.flags.offset), _digest_of(arguments.__file__), _digest_of(__file__)]
    return CodeCache(path, [*versions, *called, llvm.get_process_triple(), *_processor(), *_imported(path)])


def _imported(source: Path) -> list[str]:
    """Return digests of the modules of this package from which a source imports, such as those of constants."""
    names = sorted(set(_IMPORTED.findall(source.read_text(encoding="utf-8"))))
    found = [importlib.util.find_spec(name) for name in names]
    return [_digest_of(one.origin) for one in found if one is not None and one.origin is not None]


def _numba_version() -> str:
    """Return what tells versions of numba apart, without importing it."""
    found = importlib.util.find_spec("numba")
    if found is None or found.origin is None:
        raise ModuleNotFoundError("The package numba is missing. Install it: pip install numba")
    return _digest_of(str(Path(found.origin).with_name("_version.py")))


def _digest_of(file: str) -> str:
    return hashlib.blake2b(Path(file).read_bytes(), digest_size=16).hexdigest()
