"""The precision in which a model multiplies matrices: bfloat16 where the processor multiplies it natively.

torch's autocast multiplies in the lower precision and keeps the rest, such as layer norms and sums of layers, in
float32. The token vectors of a query or a passage have a cosine of 0.9999 with those of float32, and take half the time
or less (``benchmarks/encoding.py``). Where a processor has no instructions for bfloat16, torch emulates them, which is
about 80 times slower than float32.
"""

from __future__ import annotations

import time
from contextlib import AbstractContextManager, nullcontext
from functools import cache, partial
from pathlib import Path
from typing import TYPE_CHECKING, Any

from late_interaction.errors import InvalidRequestError
from late_interaction.forking import openmp_is_used

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping

__all__ = [
    "DTYPES",
    "autocast",
    "check_dtype",
    "chosen_dtype",
    "default_dtype",
    "lower_weights",
    "multiplies_bfloat16",
    "weight_options",
]

DTYPES = ("float32", "bfloat16", "float16")
"""The precisions that can be chosen, by their names in torch."""

_CUDA_DTYPE = "float32"
"""The default precision of text models on a CUDA device."""

_INSTRUCTIONS = ("amx_bf16", "avx512_bf16", "bf16", "sve_bf16", "svebf16")
"""Names of the instructions that multiply bfloat16, in `torch.cpu.get_capabilities` and in ``/proc/cpuinfo``."""

_MAX_TIME, _HOPELESS = 0.8, 4.0
"""Shares of the time of a product in float32: what one in bfloat16 may take to be worth its rounding, and from which no
further run is timed."""

_TIMED_ROWS, _TIMED_COLUMNS = 128, 512  # a product of less than 1 ms on one core
_MIN_TIMED_RUNS, _MAX_TIMED_RUNS = 3, 20  # the first run compiles a kernel; on a busy machine most are interrupted


def check_dtype(dtype: object) -> None:
    """Raise `InvalidRequestError` unless this is a precision, or None for the default."""
    if dtype is not None and dtype not in DTYPES:
        raise InvalidRequestError(f"dtype must be one of {', '.join(DTYPES)}, or None, got {dtype!r}.")


def default_dtype(device_type: str) -> str:
    """Return the precision of a text model whose weights are in float32.

    Args:
        device_type: The type of a torch device: ``"cpu"``, ``"cuda"``…
    """
    if device_type == "cuda":
        return _CUDA_DTYPE
    return "bfloat16" if device_type == "cpu" and multiplies_bfloat16() else "float32"


def chosen_dtype(model: Any, dtype: str | None) -> str:
    """Return the precision of a model: the one given; else that of its weights, or the default if that is float32.

    Args:
        model: A module of torch.
        dtype: One of `DTYPES`; None for the default.

    Raises:
        InvalidRequestError: ``dtype`` is something else, or the model pools tokens, which sentence-transformers cannot
            do in a lower precision.
    """
    check_dtype(dtype)
    stored = _stored(model)
    only_float32 = "float32" in stored and _pools(model)
    if dtype is not None:
        if only_float32 and dtype != "float32":
            raise InvalidRequestError(f"The model pools tokens, so its dtype must be float32, got {dtype!r}.")
        return dtype
    lower = stored & set(DTYPES) - {"float32"}
    if only_float32:
        return "float32"
    return lower.pop() if len(lower) == 1 else default_dtype(model.device.type)


def autocast(model: Any, dtype: str) -> Callable[[], AbstractContextManager[Any]]:
    """Return a function that gives a context, in which this thread multiplies the matrices of a model in a precision.

    Args:
        model: A module of torch. If no weight is in float32, its own precision remains.
        dtype: One of `DTYPES`.
    """
    if dtype == "float32" or "float32" not in _stored(model):
        return nullcontext
    import torch

    return partial(torch.autocast, model.device.type, dtype=getattr(torch, dtype))


def weight_options(device: str | None, dtype: str | None) -> dict[str, Any]:
    """Return the arguments with which transformers loads the weights of a text model.

    By default it leaves them in the precision of the files. On a processor that emulates bfloat16, float32 is faster.

    Args:
        device: The torch device; None for the default of sentence-transformers.
        dtype: The precision given for the model.
    """
    import torch
    from sentence_transformers.util import get_device_name

    if dtype is None and torch.device(device or get_device_name()).type == "cpu" and not multiplies_bfloat16():
        dtype = "float32"
    return {"dtype": torch.float32} if dtype == "float32" else {}


def lower_weights(model: Any, dtype: str) -> None:
    """Store the weights of all projections of a model in a precision, so that `autocast` need not convert them.

    In bfloat16 on a processor they are also packed, see `packing`.

    Args:
        model: A module of torch, which nothing else uses.
        dtype: One of `DTYPES`. In float32 nothing changes.
    """
    if dtype == "float32":
        return
    import torch

    shared = {id(module.weight) for module in model.modules() if isinstance(module, torch.nn.Embedding)}
    for module in model.modules():
        if isinstance(module, torch.nn.Linear) and id(module.weight) not in shared:
            module.to(getattr(torch, dtype))
    if dtype == "bfloat16" and model.device.type == "cpu":
        from late_interaction.encoders.packing import pack_weights

        pack_weights(model)


def _pools(model: Any) -> bool:
    """Return whether a model pools several tokens into one vector."""
    from sentence_transformers.multi_vector_encoder.modules import BaseTokenPooling

    return any(isinstance(module, BaseTokenPooling) for module in model)


def _stored(model: Any) -> set[str]:
    """Return the precisions of a model's weights."""
    return {str(weight.dtype).removeprefix("torch.") for weight in model.parameters()}


@cache
def multiplies_bfloat16() -> bool:
    """Return whether this processor multiplies bfloat16 natively, and faster than float32. Measured once a process.

    It is asked for its instructions first, because the product takes long where they are emulated; then a product is
    timed, because virtual machines may emulate instructions that they announce.
    """
    instructions = _instructions()
    return any(instructions.get(name) for name in _INSTRUCTIONS) and _is_faster()


def _instructions() -> Mapping[str, Any]:
    """Return the instructions of the processor as keys with a true value."""
    import torch

    capabilities: Callable[[], Mapping[str, Any]] | None = getattr(torch.cpu, "get_capabilities", None)
    if capabilities is not None:
        return capabilities()
    try:  # torch before 2.11
        lines = Path("/proc/cpuinfo").read_text("utf-8", errors="replace").splitlines()
    except OSError:  # not Linux
        return {}
    flags = next((line for line in lines if line.startswith(("flags", "Features"))), "")
    return dict.fromkeys(flags.partition(":")[2].split(), True)


def _is_faster() -> bool:
    """Return whether a product of bfloat16 takes clearly less time than one of float32."""
    import torch

    openmp_is_used("torch")
    single = torch.ones(_TIMED_ROWS, _TIMED_COLUMNS), torch.ones(_TIMED_COLUMNS, _TIMED_COLUMNS)
    half = tuple(matrix.bfloat16() for matrix in single)
    best = {"single": float("inf"), "half": float("inf")}
    with torch.inference_mode():
        for run in range(_MAX_TIMED_RUNS):
            for name, (rows, weights) in (("single", single), ("half", half)):
                start = time.perf_counter()
                torch.nn.functional.linear(rows, weights)
                best[name] = min(best[name], time.perf_counter() - start)
            share = best["half"] / max(best["single"], 1e-9)
            if run >= _MIN_TIMED_RUNS and not _MAX_TIME < share <= _HOPELESS:
                break
    return share <= _MAX_TIME
