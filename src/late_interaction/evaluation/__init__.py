"""Judge retrieval on one's own data: measures, and their mean over queries."""

from late_interaction.evaluation.dataset import Dataset, JudgedQuery
from late_interaction.evaluation.measures import mean_over_queries, ndcg, recall, reciprocal_rank

__all__ = ["Dataset", "JudgedQuery", "mean_over_queries", "ndcg", "recall", "reciprocal_rank"]
