"""Explain scores: which words of a document, or which patches of a page, each query word matches."""

from late_interaction.explanations.patches import PageExplanation, PatchMatch
from late_interaction.explanations.regions import PageRegion
from late_interaction.explanations.words import Explanation, MatchSpan

__all__ = ["Explanation", "MatchSpan", "PageExplanation", "PageRegion", "PatchMatch"]
