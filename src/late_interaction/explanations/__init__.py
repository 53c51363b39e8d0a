"""Why a document matches: which of its words, or which patches of a page, each word of the query meets."""

from late_interaction.explanations.patches import PageExplanation, PatchMatch
from late_interaction.explanations.words import Explanation, MatchSpan

__all__ = ["Explanation", "MatchSpan", "PageExplanation", "PatchMatch"]
