"""Judge retrieval on one's own data: measures with intervals, what each system costs, and advice."""

from late_interaction.evaluation.dataset import Dataset, JudgedQuery
from late_interaction.evaluation.measures import mean_over_queries, ndcg, recall, reciprocal_rank
from late_interaction.evaluation.report import Report
from late_interaction.evaluation.results import SystemResult

__all__ = [
    "Dataset",
    "JudgedQuery",
    "Report",
    "SystemResult",
    "mean_over_queries",
    "ndcg",
    "recall",
    "reciprocal_rank",
]
