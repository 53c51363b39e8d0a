"""`PAGE_MODELS`: the page-image models of transformers, and the differences between them."""

from __future__ import annotations

from dataclasses import dataclass

__all__ = ["PAGE_MODELS", "PageModel"]


@dataclass(frozen=True)
class PageModel:
    """The properties of one model class of transformers.

    Attributes:
        processor: Its processor, a class of transformers.
        query_starts_with_bos: Whether the processor puts the token that begins a sequence in front of a query.
        needs_patch_positions: Whether the model must be given the row and column of each patch (M-RoPE of Qwen2-VL),
            which transformers 5 does not compute for it.
    """

    processor: str
    query_starts_with_bos: bool = False
    needs_patch_positions: bool = False


PAGE_MODELS = {
    "ColPaliForRetrieval": PageModel("ColPaliProcessor", query_starts_with_bos=True),
    "ColQwen2ForRetrieval": PageModel("ColQwen2Processor", needs_patch_positions=True),
    "ColModernVBertForRetrieval": PageModel("ColModernVBertProcessor"),
}
"""By architecture, as ``config.json`` names it: the model class of transformers."""
