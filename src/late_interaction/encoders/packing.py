"""Keep the weights of a projection in the order in which oneDNN multiplies them.

torch's products of bfloat16 on a processor are oneDNN's, which brings the weights into an order of its own at every
call. For a query of few tokens that takes as long as a third of the product. The operators used here are those of
torch's own compiler; their results are the same to the last bit.
"""

from __future__ import annotations

import platform
from typing import Any

import torch

__all__ = ["pack_weights"]


def pack_weights(model: torch.nn.Module) -> None:
    """Pack the projections of a model in bfloat16, where this build of torch can. Memory: their weights once more.

    Args:
        model: A model on the processor, whose weights nobody changes afterwards.
    """
    if not _can_pack():
        return
    for module in model.modules():
        if type(module) is torch.nn.Linear and module.weight.dtype == torch.bfloat16 and module.weight.is_cpu:
            module.forward = _Packed(module)  # type: ignore[assignment]


class _Packed:
    """The forward pass of a projection with packed weights.

    Args:
        linear: The projection, in bfloat16.
    """

    def __init__(self, linear: torch.nn.Linear) -> None:
        self._weight, self._bias = linear.weight.detach(), linear.bias
        with torch.inference_mode():
            self._packed: Any = torch.ops.mkldnn._reorder_linear_weight(self._weight, None)

    def __call__(self, inputs: torch.Tensor) -> torch.Tensor:
        if inputs.numel() == 0 or torch.is_grad_enabled():
            return torch.nn.functional.linear(inputs, self._weight, self._bias)
        lower = inputs.to(torch.bfloat16)
        product: torch.Tensor = torch.ops.mkldnn._linear_pointwise(lower, self._packed, self._bias, "none", [], "")
        return product


def _can_pack() -> bool:
    """Return whether this is an x86 processor and torch has the operators."""
    if platform.machine().lower() not in ("x86_64", "amd64") or not torch.backends.mkldnn.is_available():  # type: ignore[no-untyped-call]
        return False
    operators = torch.ops.mkldnn
    return hasattr(operators, "_reorder_linear_weight") and hasattr(operators, "_linear_pointwise")
